//! Control messages of workers.

use std::time::Duration;

use evonic_process::channel::Received;
use evonic_shared::control::{FromWorker, SupervisorMetrics, ToWorker, reason_line};

use super::EventLoop;
use crate::{
    policy::Event,
    sys,
    worker::{HandshakePhase, WorkerHandles},
};

/// After this heartbeat the pages that only a start needs are given back.
const SETTLED: u64 = 2;

/// Packets of one worker read in one turn.
const MAX_PACKETS: usize = 64;

impl EventLoop {
    /// Reads a worker's control channel.
    pub(super) fn read_control(&mut self, serial: u64) {
        for _ in 0..MAX_PACKETS {
            let Some(worker) = find(&mut self.workers, serial) else { return };
            match worker.control.receive(&mut self.scratch) {
                Received::Message(message) => self.handle_message(serial, message),
                Received::Refused(error) => self.drop_message(serial, &error),
                Received::Nothing => return,
                Received::Closed => {
                    // Level-triggered, it would wake the loop for ever. The pidfd reports an exit;
                    // a worker that only closed its channel sends no more heartbeats.
                    let _ = self.poller.forget(&worker.control.socket);
                    return;
                }
            }
        }
    }

    fn handle_message(&mut self, serial: u64, message: FromWorker) {
        let others = self.workers.iter().filter(|worker| worker.serial != serial);
        let taken: Vec<u64> = others.map(|worker| worker.generation).collect();
        let Some(worker) = find(&mut self.workers, serial) else { return };
        let generation = worker.generation;
        match (message, worker.phase) {
            (FromWorker::Hello(hello), _) => {
                let (proposed, generation) = (worker.proposed, hello.generation);
                match worker.hello(hello, &taken) {
                    Ok(budget) => {
                        self.history.started(worker.generation);
                        self.feed(Event::Hello { proposed, generation, budget });
                    }
                    Err(error) => self.drop_message(serial, &error),
                }
            }
            // A start may fail before there is anything to say hello with.
            (FromWorker::Failed { reason }, _) => {
                let reason = reason_line(&reason);
                tracing::debug!(generation, reason, "worker says why it ends");
                self.feed(Event::Failed { generation, reason });
            }
            (_, HandshakePhase::New) => self.drop_message(serial, &OutOfTurn),
            (FromWorker::Ready, HandshakePhase::Known) => {
                worker.phase = HandshakePhase::Ready;
                tracing::info!(generation, "worker is ready");
                self.feed(Event::Ready { generation });
            }
            (FromWorker::Ready, _) => self.drop_message(serial, &OutOfTurn),
            (FromWorker::Heartbeat { sequence, age_ms, sandbox, database, storage }, phase) => {
                if sequence == SETTLED {
                    sys::forget_program_pages();
                }
                (worker.sandbox, worker.database) = (sandbox, database);
                worker.storage = storage;
                let timeout = self.config.supervisor.heartbeat_timeout / 4;
                let answered = match phase {
                    HandshakePhase::Ready => worker.probe.turn(self.clock.now(), timeout),
                    _ => None,
                };
                let age = age_ms.into_iter().map(|(part, ms)| (part, Duration::from_millis(ms)));
                let age = age.collect();
                self.feed(Event::Heartbeat { generation, age });
                if let Some(answered) = answered {
                    self.feed(Event::Probe { generation, answered });
                }
                self.clients.status_changed();
                self.send_metrics(serial);
            }
            (FromWorker::HighDescriptor { number }, _) => {
                tracing::debug!(generation, number, "worker was handed a high descriptor");
                self.feed(Event::HighDescriptor { generation });
            }
            (FromWorker::Draining, _) => {
                worker.phase = HandshakePhase::Draining;
                tracing::info!(generation, "worker is draining");
                self.feed(Event::Draining { generation });
            }
        }
    }

    /// Sends a worker this supervisor's metrics, if it asked for them and they have changed.
    fn send_metrics(&mut self, serial: u64) {
        let Some(worker) = find(&mut self.workers, serial) else { return };
        let wants = worker.hello.as_ref().is_some_and(|hello| hello.wants_metrics);
        let Some(view) = self.policy.worker(worker.generation).filter(|_| wants) else { return };
        let metrics = SupervisorMetrics {
            started_at: self.started_at.clone(),
            restarts: self.history.restarts,
            last_restart_at: self.history.last().map(|last| last.at.clone()),
            fds: view.open,
            threshold: self.config.fd.threshold,
            ceiling: self.config.fd.ceiling,
        };
        if worker.sent_metrics.as_ref() == Some(&metrics) {
            return;
        }
        // A worker that does not read gets them with its next heartbeat.
        if worker.control.send(&ToWorker::Metrics(metrics.clone())).is_ok() {
            worker.sent_metrics = Some(metrics);
        }
    }

    /// Counts a message that is dropped, and logs it at a bounded rate.
    fn drop_message(&mut self, serial: u64, reason: &(dyn std::error::Error + 'static)) {
        let Some(worker) = find(&mut self.workers, serial) else { return };
        worker.refused_packets = worker.refused_packets.saturating_add(1);
        if worker.refused_packets.is_power_of_two() {
            tracing::warn!(
                generation = worker.generation,
                refused = worker.refused_packets,
                error = reason,
                "worker's message is dropped"
            );
        }
    }
}

fn find(workers: &mut [WorkerHandles], serial: u64) -> Option<&mut WorkerHandles> {
    workers.iter_mut().find(|worker| worker.serial == serial)
}

#[derive(Debug, thiserror::Error)]
#[error("the message is out of turn")]
struct OutOfTurn;

//! The policy's actions, executed.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use evonic_shared::{
    control::ToWorker,
    error_chain::ErrorChain,
    reason::Reason,
    status::{FORMAT, PostMortem, Replacement, State},
    timestamp::rfc3339,
};

use super::{EventLoop, RunState, exits, status::seconds};
use crate::{
    census::{self, Order},
    policy::{Action, Event, Record},
    poller::{EventFlags, Token},
    post_mortem,
    sys::KernelError,
    worker::{AtReady, HandshakePhase, StartError, WorkerHandles},
};

impl EventLoop {
    /// Executes one step's actions in order. Results that the policy awaits go to `results`.
    pub(super) fn execute(&mut self, actions: Vec<Action>, results: &mut VecDeque<Event>) {
        for action in actions {
            match action {
                Action::Spawn { generation, predecessor } => {
                    results.push_back(self.spawn(generation, predecessor));
                }
                Action::Count { generation } => {
                    results.extend(self.count(generation));
                    // Each count comes with a poll of the accept queue.
                    results.push_back(Event::AcceptQueue { waiting: self.sockets.accept_queue() });
                }
                Action::CensusReady { generation } => self.pending_censuses.push(generation),
                Action::PostMortem { generation, reason, detail } => {
                    self.take_post_mortem(generation, reason, detail);
                }
                Action::Drain { generation, reason, grace } => {
                    self.drain(generation, reason, grace);
                }
                Action::Kill { generation } => self.kill(generation),
                Action::PredecessorGone { to, gone } => {
                    if let Some(worker) = self.worker_mut(to) {
                        worker.send(&ToWorker::PredecessorGone { generation: gone });
                    }
                }
                Action::Answer { generation, outcome } => {
                    let now = self.clock.now();
                    self.clients.answer_waiting(&self.poller, generation, &outcome, now);
                }
                Action::Record(record) => self.record(record),
                Action::Changed => self.changed(),
                Action::Exit => self.run_state = RunState::Stopped,
            }
        }
    }

    fn spawn(&mut self, generation: u64, predecessor: Option<u64>) -> Event {
        // A worker inherits what was changed.
        self.mend();
        self.next_serial += 1;
        let serial = self.next_serial;
        let started =
            WorkerHandles::start(&self.launch, &self.sockets, serial, generation, predecessor)
                .and_then(|worker| self.watch(worker));
        match started {
            Ok(worker) => {
                let pid = worker.child.number();
                tracing::info!(generation, pid, "worker started");
                self.workers.push(worker);
                self.history.started(generation);
                Event::Spawned { generation, pid }
            }
            Err(error) => {
                tracing::error!(
                    generation,
                    error = %ErrorChain(&error),
                    "worker cannot be started"
                );
                self.integrity.check_now();
                Event::SpawnFailed { generation, error: ErrorChain(&error).to_string() }
            }
        }
    }

    fn watch(&self, mut worker: WorkerHandles) -> Result<WorkerHandles, StartError> {
        let pidfd = worker.child.pidfd();
        let watched =
            self.poller.watch(pidfd, Token::Exit(worker.serial), EventFlags::IN).and_then(|()| {
                self.poller.watch(
                    &worker.control.socket,
                    Token::Control(worker.serial),
                    EventFlags::IN,
                )
            });
        if let Err(source) = watched {
            // Its exit would not be noticed, so it must not live. SIGCHLD reaps the orphan.
            let _ = worker.child.kill();
            return Err(KernelError::new("make the watch for a worker")(source).into());
        }
        Ok(worker)
    }

    fn count(&mut self, generation: u64) -> Option<Event> {
        let (open, owned) = self.worker_mut(generation)?.count()?;
        Some(Event::Counted { generation, open, owned })
    }

    /// Takes the baseline censuses, after the actions: on a host with many connections one takes
    /// milliseconds, in which a predecessor waits to be drained.
    pub(super) fn take_ready_censuses(&mut self) {
        for generation in std::mem::take(&mut self.pending_censuses) {
            let Some(worker) = self.worker_mut(generation) else { continue };
            match census::take(worker.child.pid) {
                Ok(inventory) => {
                    let at = SystemTime::now();
                    worker.at_ready = Some(AtReady { at, inventory, owned: worker.owned() });
                }
                Err(error) => {
                    tracing::warn!(
                        generation,
                        error = %ErrorChain(&error),
                        "census at ready failed: growth will not be known"
                    );
                }
            }
        }
    }

    /// Takes a post-mortem while the worker lives; [`EventLoop::save`] writes it to disk.
    fn take_post_mortem(&mut self, generation: u64, reason: Reason, detail: String) {
        let view = self.policy.worker(generation);
        let worker = self.workers.iter().find(|worker| worker.generation == generation);
        let (Some(view), Some(worker)) = (view, worker) else { return };
        let inventory = match census::take(worker.child.pid) {
            Ok(inventory) => inventory,
            Err(error) => {
                tracing::warn!(
                    generation,
                    error = %ErrorChain(&error),
                    "post-mortem cannot be taken"
                );
                return;
            }
        };
        let at_ready = worker.at_ready.as_ref();
        let ready = at_ready.map(|at_ready| &at_ready.inventory);
        let culprit = inventory.culprit(ready, &worker.owned_growth());
        tracing::warn!(generation, reason = %reason, detail, culprit, "worker is to be replaced");
        self.post_mortems.push_back(PostMortem {
            format: FORMAT,
            reason,
            detail,
            culprit,
            fd: self.descriptors(view, Some(worker)),
            census: inventory.census(worker.subject(SystemTime::now()), ready, Order::Growth),
            ready: at_ready.map(|at_ready| {
                at_ready.inventory.census(worker.subject(at_ready.at), None, Order::Count)
            }),
        });
        self.examined.push((generation, reason));
    }

    fn drain(&mut self, generation: u64, reason: Reason, grace: Duration) {
        let Some(worker) = self.worker_mut(generation) else { return };
        worker.phase = HandshakePhase::Draining;
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        worker.send(&ToWorker::Drain { reason, grace_ms });
        match worker.child.terminate() {
            Ok(()) => tracing::info!(generation, reason = %reason, "worker is told to stop"),
            Err(error) => tracing::debug!(generation, %error, "SIGTERM was not sent"),
        }
    }

    fn kill(&mut self, generation: u64) {
        let Some(worker) = self.worker_mut(generation) else { return };
        match worker.child.kill() {
            Ok(()) => tracing::warn!(generation, "worker is killed"),
            Err(error) => tracing::debug!(generation, %error, "SIGKILL was not sent"),
        }
    }

    fn record(&mut self, record: Record) {
        let examined = self.examined.iter().rfind(|&&(own, _)| own == record.generation);
        let post_mortem = examined.map(|&(own, reason)| post_mortem::file_name(own, reason));
        self.examined.retain(|&(own, _)| own != record.generation);
        let took_ms = u64::try_from(record.took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            generation = record.generation,
            reason = %record.reason,
            detail = record.detail,
            exit = %exits::describe(&record.exit),
            fd_open = record.fd_open,
            took_ms,
            "worker's end is recorded"
        );
        if record.reason == Reason::Stop {
            return;
        }
        self.history.record(Replacement {
            at: rfc3339(self.clock.wall(record.decided_at)),
            generation: record.generation,
            pid: record.pid,
            reason: record.reason,
            detail: record.detail,
            exit: record.exit,
            fd_open: record.fd_open,
            took_ms,
            lived_seconds: seconds(record.lived),
            post_mortem,
        });
    }

    fn changed(&mut self) {
        self.clients.status_changed();
        // Ready means: it serves, or a start has failed. systemd must not give up on a supervisor
        // that keeps trying.
        let failed = self.policy.last_error().is_some();
        if failed || !matches!(self.policy.state(), State::Starting | State::Stopping) {
            self.notify.ready();
        }
        if let Some(until) = self.policy.stop_ends_at() {
            self.notify.extend_stop(self.clock.now(), until);
        }
        self.notify_status();
    }

    /// Sends systemd the current status line, if it has changed.
    pub(super) fn notify_status(&mut self) {
        if self.notify.is_connected() {
            let line = self.status_line();
            self.notify.status(line);
        }
    }
}

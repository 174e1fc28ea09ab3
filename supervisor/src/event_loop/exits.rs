//! Signals and exits.

use std::time::Duration;

use evonic_shared::status::Exit;
use nix::sys::{signal::Signal, signalfd::siginfo};

use super::{EventLoop, RunState, requests::STOPPING};
use crate::{child, policy::Event, sys, terminal::Hangup};

/// The same signal to stop that comes sooner after the first is a part of it: `timeout` sends one to
/// the process and one to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// As of another one: at Ctrl-C the terminal sends SIGINT, and a script that runs this process passes
/// it on as SIGTERM.
const OTHER_SIGNAL: Duration = Duration::from_secs(1);

/// Orphans reaped in one turn.
const REAPED: usize = 256;

impl EventLoop {
    pub(super) fn read_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo.cast_signed()) {
                Ok(Signal::SIGCHLD) => self.reap_orphans(),
                Ok(Signal::SIGHUP) => self.hang_up(signal.ssi_uid),
                Ok(stop @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) => {
                    self.stop_by(stop, signal.ssi_uid);
                }
                Ok(Signal::SIGCONT) if self.resumptions.admit(self.clock.now()) => self.resume(),
                other => self.pass_over(other.ok(), &signal),
            }
        }
    }

    /// SIGHUP.
    fn hang_up(&mut self, uid: u32) {
        match self.terminal.hangup() {
            Hangup::PassOver => {
                tracing::info!(uid, "SIGHUP was ignored from the start; passed over")
            }
            Hangup::End => {
                tracing::info!("stop asked for: the terminal is gone");
                self.stop();
            }
            Hangup::Reload => {
                tracing::info!(uid, "reload asked for by SIGHUP");
                // `reload` logs a refusal; a signal has no reply.
                let _ = self.reload(uid);
            }
        }
    }

    /// A signal to stop: the first drains, a later one hurries, and so does SIGQUIT.
    fn stop_by(&mut self, signal: Signal, uid: u32) {
        let signal_name = signal.as_str();
        let now = self.clock.now();
        match self.stopped_by {
            // The first signal, after whatever began a stop before.
            None => {
                tracing::info!(signal = signal_name, uid, "stop asked for");
                self.stop();
                self.stopped_by = Some((now, signal));
                if signal == Signal::SIGQUIT {
                    self.feed(Event::ShortenStop);
                }
            }
            Some((began, by)) => {
                let pause = if by == signal { SAME_SIGNAL } else { OTHER_SIGNAL };
                if now.saturating_sub(began) < pause {
                    return;
                }
                tracing::info!(signal = signal_name, uid, "stop asked for again: it hurries");
                self.feed(Event::ShortenStop);
            }
        }
    }

    /// A signal that is no message to the supervisor, and would end it.
    fn pass_over(&mut self, known: Option<Signal>, signal: &siginfo) {
        let times = self.passed_over.entry(signal.ssi_signo).or_default();
        *times = times.saturating_add(1);
        // Somebody may send one in a loop.
        if !times.is_power_of_two() {
            return;
        }
        let name =
            known.map_or_else(|| format!("signal {}", signal.ssi_signo), |it| it.to_string());
        let (pid, uid) = (signal.ssi_pid, signal.ssi_uid);
        match known {
            Some(Signal::SIGXFSZ) => {
                tracing::error!("a file met the limit of sizes (`ulimit -f`, LimitFSIZE=)");
            }
            Some(Signal::SIGXCPU) => tracing::error!(
                "the limit of processor time is reached (`ulimit -t`, LimitCPU=): the kernel ends \
                 this process soon"
            ),
            _ => tracing::warn!(signal = name, pid, uid, "signal is passed over"),
        }
    }

    /// Stops every worker, then the supervisor.
    pub(super) fn stop(&mut self) {
        let now = self.clock.now();
        if self.run_state == RunState::Running {
            self.run_state = RunState::Stopping;
            self.notify.stopping();
        }
        self.feed(Event::Stop);
        self.clients.refuse_waiting(&self.poller, STOPPING, now);
    }

    /// Reaps the dead children: orphans that the subreaper inherited, and workers.
    fn reap_orphans(&mut self) {
        for _ in 0..REAPED {
            match sys::peek_dead_child() {
                Ok(Some(pid)) => {
                    let worker = self.workers.iter().find(|worker| worker.child.pid == pid);
                    match worker.map(|worker| worker.serial) {
                        Some(serial) => self.reap(serial),
                        None => child::reap_orphan(pid),
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "dead children cannot be found");
                    return;
                }
            }
        }
    }

    /// Reads a dead worker's last messages, reaps it, and closes its descriptors.
    pub(super) fn reap(&mut self, serial: u64) {
        self.read_control(serial);
        let Some(index) = self.workers.iter().position(|worker| worker.serial == serial) else {
            return;
        };
        let Some(exit) = self.workers[index].child.reap() else { return };
        let worker = self.workers.swap_remove(index);
        tracing::info!(
            generation = worker.generation,
            pid = worker.child.number(),
            exit = %describe(&exit),
            "worker ended"
        );
        let generation = worker.generation;
        drop(worker);
        self.feed(Event::Exited { generation, exit });
    }
}

/// An exit for the log.
pub(super) fn describe(exit: &Exit) -> String {
    match exit {
        Exit::Code { code } => format!("code {code}"),
        Exit::Signal { signal, after_grace: true } => format!("{signal} after grace"),
        Exit::Signal { signal, .. } => signal.clone(),
        Exit::NotStarted { error } => format!("not started: {error}"),
    }
}

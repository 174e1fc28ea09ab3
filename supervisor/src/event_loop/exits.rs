//! Signals and exits.

use evonic_shared::status::Exit;
use nix::sys::signal::Signal;

use super::{EventLoop, RunState};
use crate::{child, policy::Event, sys};

/// Orphans reaped in one turn.
const REAPED: usize = 256;

impl EventLoop {
    pub(super) fn read_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo.cast_signed()) {
                Ok(Signal::SIGCHLD) => self.reap_orphans(),
                Ok(Signal::SIGHUP) => {
                    let uid = signal.ssi_uid;
                    tracing::info!(uid, "reload asked for by SIGHUP");
                    // `reload` logs a refusal; a signal has no reply.
                    let _ = self.reload(uid);
                }
                Ok(Signal::SIGCONT) => self.resume(),
                Ok(stop) => {
                    tracing::info!(signal = stop.as_str(), uid = signal.ssi_uid, "stop asked for");
                    self.stop();
                }
                Err(_) => {}
            }
        }
    }

    /// Stops every worker, then the supervisor.
    pub(super) fn stop(&mut self) {
        if self.run_state == RunState::Running {
            self.run_state = RunState::Stopping;
            self.notify.stopping();
        }
        self.feed(Event::Stop);
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

//! Signals, and the dead.

use nix::sys::signal::Signal;

use super::{Course, EventLoop, words};
use crate::{child, policy::Event, sys};

/// Orphans reaped in one turn.
const REAPED: usize = 256;

impl EventLoop {
    /// Signals: stop, reload, and that somebody died.
    pub(super) fn read_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            match Signal::try_from(signal.ssi_signo.cast_signed()) {
                Ok(Signal::SIGCHLD) => self.reap(),
                Ok(Signal::SIGHUP) => {
                    let uid = signal.ssi_uid;
                    tracing::info!(uid, "reload asked for by SIGHUP");
                    // Its refusal is logged there; a signal has nobody to be told.
                    let _ = self.reload(uid);
                }
                Ok(stop) => {
                    tracing::info!(signal = stop.as_str(), uid = signal.ssi_uid, "stop asked for");
                    self.stop();
                }
                Err(_) => {}
            }
        }
    }

    /// Both processes are to end.
    pub(super) fn stop(&mut self) {
        if self.course == Course::On {
            self.course = Course::Ending;
            self.notify.stopping();
        }
        self.feed(Event::Stop);
    }

    /// Reaps orphans that the subreaper inherited. A worker among the dead is left to its own
    /// pidfd's way.
    fn reap(&mut self) {
        for _ in 0..REAPED {
            match sys::peek_dead_child() {
                Ok(Some(pid)) => {
                    let worker = self.crew.iter().find(|worker| worker.child.pid() == pid);
                    match worker.map(|worker| worker.serial) {
                        Some(serial) => self.bury(serial),
                        None => child::reap_orphan(pid),
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "dead children cannot be looked for");
                    return;
                }
            }
        }
    }

    /// A worker is dead: hears its last words, reaps it, closes all that was its own.
    pub(super) fn bury(&mut self, serial: u64) {
        self.listen(serial);
        let Some(place) = self.crew.iter().position(|worker| worker.serial == serial) else {
            return;
        };
        let Some(exit) = self.crew[place].child.reap() else { return };
        let worker = self.crew.swap_remove(place);
        tracing::info!(
            generation = worker.generation,
            pid = worker.child.number(),
            exit = %words::exit(&exit),
            "worker ended"
        );
        let generation = worker.generation;
        drop(worker);
        self.feed(Event::Exited { generation, exit });
    }
}

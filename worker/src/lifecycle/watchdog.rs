//! The hard end: a plain thread that ends the process when its drain outlives its time.
//!
//! It is started before the runtime and needs nothing of it: no lock that other code holds while
//! it waits, no task, no allocator trick. Neither a blocked runtime nor a destructor that hangs
//! can keep the process alive.

use std::{
    io,
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use evonic_shared::exit::ExitCode;
use parking_lot::{Condvar, Mutex};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::{log, raw};
use evonic_agent::Agents;
use evonic_handles::Budget;

/// The end that was set, if any.
#[derive(Debug)]
pub(super) struct Watchdog {
    end: Mutex<Option<End>>,
    changed: Condvar,
    owners: OnceLock<(Budget, Agents)>,
    style: log::Style,
}

/// A wake-up that is later than this after its time proves that the process did not run meanwhile:
/// its time starts anew.
const MAX_LATENESS: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct End {
    at: Instant,
    /// From when it was set.
    time: Duration,
    code: ExitCode,
}

impl Watchdog {
    /// Starts the thread.
    ///
    /// # Errors
    /// The OS error when it cannot be started.
    pub(super) fn start(style: log::Style) -> io::Result<Arc<Self>> {
        let watchdog = Arc::new(Self {
            end: Mutex::new(None),
            changed: Condvar::new(),
            owners: OnceLock::new(),
            style,
        });
        let watched = Arc::clone(&watchdog);
        thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let end = watched.wait();
            watched.report_held(end);
            raw::end_process(end.code)
        })?;
        Ok(watchdog)
    }

    /// Names who knows what is held.
    pub(super) fn know(&self, budget: Budget, agents: Agents) {
        // The first ones stay: there is one budget and one queue a process.
        let _ = self.owners.set((budget, agents));
    }

    /// Ends the process at this time, with this code. The earliest time stands.
    pub(super) fn arm(&self, at: Instant, code: ExitCode) {
        let mut end = self.end.lock();
        if end.is_none_or(|end| at < end.at) {
            let time = at.saturating_duration_since(Instant::now());
            *end = Some(End { at, time, code });
            self.changed.notify_one();
        }
    }

    /// Waits until the time is over.
    fn wait(&self) -> End {
        let mut end = self.end.lock();
        loop {
            let now = Instant::now();
            match *end {
                Some(late) if late.at + MAX_LATENESS < now => {
                    *end = Some(End { at: now + late.time, ..late });
                }
                Some(end) if end.at <= now => return end,
                Some(End { at, .. }) => {
                    self.changed.wait_until(&mut end, at);
                }
                None => self.changed.wait(&mut end),
            }
        }
    }

    /// Says what is still held, past the log's own lock, and only where that does not wait.
    fn report_held(&self, end: End) {
        let held = self.owners.get().map_or_else(
            || "it had not started yet".to_owned(),
            |(budget, agents)| {
                let usage = budget.usage();
                let held = usage.iter().filter(|kind| kind.permits > 0 || kind.descriptors > 0);
                let kinds: Vec<_> = held
                    .map(|kind| format!("{}={}/{}", kind.kind, kind.permits, kind.descriptors))
                    .collect();
                let kinds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(" ") };
                format!("held (handles/descriptors): {kinds}; turns running: {}", agents.running())
            },
        );
        let line = log::bare_line(
            self.style,
            &format!("drain outlived its time, ending now with code {}; {held}", end.code.code()),
        );
        #[expect(clippy::disallowed_methods, reason = "a line of the log, encoded by it")]
        let stderr = rustix::stdio::stderr();
        let mut writable = [PollFd::new(&stderr, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if rustix::event::poll(&mut writable, Some(&now)).is_ok_and(|ready| ready > 0) {
            // Whether it was read is not ours to find out any more.
            let _ = rustix::io::write(stderr, &line);
        }
    }
}

#[cfg(test)]
mod tests;

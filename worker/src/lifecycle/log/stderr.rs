//! Standard error, whose reader is never waited for.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    pipe::PIPE_BUF,
};

/// How long a line waits for its reader before it is dropped.
pub(super) const WRITE_TIMEOUT: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Standard error, for a line at a time: a pipe that has room takes it whole.
#[derive(Debug, Default)]
pub(super) struct Stderr {
    /// The last line was dropped, so the next ones do not wait.
    is_stalled: AtomicBool,
}

impl Stderr {
    /// Writes a line, or drops it when its reader does not read.
    pub(super) fn write(&self, line: &[u8]) {
        let stderr = rustix::stdio::stderr();
        let mut ready = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
        let timeout = if self.is_stalled.load(Ordering::Relaxed) { NO_WAIT } else { WRITE_TIMEOUT };
        let polled = rustix::event::poll(&mut ready, Some(&timeout));
        let is_stalled = polled.is_err() || !ready[0].revents().contains(PollFlags::OUT);
        self.is_stalled.store(is_stalled, Ordering::Relaxed);
        if !is_stalled {
            // Room for a page is what makes a pipe writable: more than that could block.
            let _ = rustix::io::write(stderr, &line[..line.len().min(PIPE_BUF)]);
        }
    }
}

//! Standard error, whose reader is never waited for.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    pipe::PIPE_BUF,
};

/// How long a line waits for its reader before it is dropped.
pub(super) const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// No wait at all.
const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Standard error, for a line at a time: a pipe that has room takes it whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Stderr {
    /// Whether the last line was dropped: then the next ones do not wait.
    stands: Arc<AtomicBool>,
}

impl io::Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let stderr = rustix::stdio::stderr();
        let mut ready = [PollFd::from_borrowed_fd(stderr, PollFlags::OUT)];
        let patience = if self.stands.load(Ordering::Relaxed) { NONE } else { PATIENCE };
        let polled = rustix::event::poll(&mut ready, Some(&patience));
        let stands = polled.is_err() || !ready[0].revents().contains(PollFlags::OUT);
        self.stands.store(stands, Ordering::Relaxed);
        if stands {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Room for a page is what makes a pipe writable: more than that could block.
        let piece = &line[..line.len().min(PIPE_BUF)];
        Ok(rustix::io::write(stderr, piece)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

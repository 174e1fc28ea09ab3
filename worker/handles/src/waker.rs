//! Wakes a thread that waits in `poll(2)`: an eventfd.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use rustix::{
    event::{EventfdFlags, eventfd},
    io::{read, write},
};

/// Wakes the thread that holds the [`Wakeups`]. Cloning shares it; does nothing once they are gone.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

/// The end of the thread that is woken. Owns the one descriptor, which is closed when this is
/// dropped, whoever still holds a [`Waker`].
#[derive(Debug)]
pub struct Wakeups {
    eventfd: Arc<OwnedFd>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Taken out when the thread ends, so that no waker closes the descriptor later.
    eventfd: Mutex<Option<Arc<OwnedFd>>>,
    /// Whether it is woken already: most wakes need no system call.
    pending: AtomicBool,
}

impl Waker {
    /// Opens one descriptor.
    ///
    /// # Errors
    /// The OS error.
    pub fn open() -> std::io::Result<(Self, Wakeups)> {
        let eventfd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let shared = Arc::new(Shared {
            eventfd: Mutex::new(Some(Arc::clone(&eventfd))),
            pending: AtomicBool::new(false),
        });
        Ok((Self { shared: Arc::clone(&shared) }, Wakeups { eventfd, shared }))
    }

    /// Wakes the thread, now or at its next wait.
    pub fn wake(&self) {
        if self.shared.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(eventfd) = &*self.shared.eventfd.lock() {
            // Fails only when the count is full, and then the thread is woken.
            let _full = write(eventfd, &1_u64.to_ne_bytes());
        }
    }
}

impl Wakeups {
    /// Ends the wake; returns whether there was one. What was handed over before the wake is seen
    /// after this.
    pub fn clear(&self) -> bool {
        // A wake between these two lines is seen by the caller's look after this.
        let _empty = read(&self.eventfd, &mut [0_u8; 8]);
        self.shared.pending.swap(false, Ordering::AcqRel)
    }
}

impl AsFd for Wakeups {
    /// Readable while the thread is woken.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        drop(self.shared.eventfd.lock().take());
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_woken(wakeups: &Wakeups) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(wakeups, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn wakes_add_up_to_one_until_they_are_cleared() {
        let (waker, wakeups) = Waker::open().unwrap();
        assert!(!is_woken(&wakeups) && !wakeups.clear());
        waker.wake();
        waker.clone().wake();
        assert!(is_woken(&wakeups) && wakeups.clear());
        assert!(!is_woken(&wakeups) && !wakeups.clear());
        waker.wake();
        assert!(is_woken(&wakeups));
    }

    #[test]
    fn the_descriptor_is_closed_with_the_thread() {
        let (waker, wakeups) = Waker::open().unwrap();
        let eventfd = Arc::downgrade(&wakeups.eventfd);
        drop(wakeups);
        assert!(eventfd.upgrade().is_none());
        waker.wake();
    }
}

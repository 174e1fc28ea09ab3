//! Wakes the thread of a connection.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{EventfdFlags, eventfd},
    io::{read, write},
};

/// An eventfd, kept by the thread that listens; whoever holds the bell may ring.
#[derive(Debug)]
pub(super) struct Bell {
    /// Taken out when the thread ends: one descriptor, counted by the connection's permit.
    descriptor: Mutex<Option<Arc<OwnedFd>>>,
    /// Whether it was rung and nobody has listened yet: most rings need no system call.
    rung: AtomicBool,
}

impl Bell {
    /// A silent one. Opens one descriptor.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn open() -> rustix::io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let descriptor = Mutex::new(Some(Arc::new(descriptor)));
        Ok(Self { descriptor, rung: AtomicBool::new(false) })
    }

    /// Wakes the thread, if it is still there.
    pub(super) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let descriptor = self.descriptor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(descriptor) = descriptor.as_ref() {
            // Full only when it is loud already.
            let _loud = write(descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// What the thread waits for.
    pub(super) fn descriptor(&self) -> Option<Arc<OwnedFd>> {
        self.descriptor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Silences it. What was ordered before is seen after this.
    pub(super) fn heard(&self) {
        let descriptor = self.descriptor.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(descriptor) = descriptor.as_ref() {
            let _silent = read(descriptor, &mut [0_u8; 8]);
        }
        self.rung.store(false, Ordering::Release);
    }

    /// Closes it. Nobody listens any more.
    pub(super) fn close(&self) {
        drop(self.descriptor.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

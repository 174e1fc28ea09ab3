//! The ledger page: counts that the supervisor reads from outside.

use std::os::fd::OwnedFd;

use evonic_shared::kind::Kind;

/// The page cannot be mapped.
#[derive(Debug, thiserror::Error)]
#[error("ledger page cannot be mapped")]
pub struct PageError(#[source] std::io::Error);

/// One shared page of atomic counters. See [`evonic_shared::ledger`].
#[derive(Debug)]
pub struct Page {
    _private: (),
}

impl Page {
    /// Maps the inherited anonymous file; the descriptor is closed once it is mapped.
    ///
    /// # Errors
    /// [`PageError`] when the kernel refuses.
    pub fn map(file: OwnedFd) -> Result<Self, PageError> {
        let _ = file;
        todo!()
    }

    /// A page that nobody else reads, for commands without a supervisor and for tests.
    ///
    /// # Errors
    /// [`PageError`] when the kernel refuses.
    pub fn private() -> Result<Self, PageError> {
        todo!()
    }

    /// Adds to a kind's count and returns the new one.
    pub fn add(&self, kind: Kind, descriptors: u32) -> u32 {
        let _ = (kind, descriptors);
        todo!()
    }

    /// Takes from a kind's count. Never below 0.
    pub fn sub(&self, kind: Kind, descriptors: u32) {
        let _ = (kind, descriptors);
        todo!()
    }

    /// A kind's count.
    #[must_use]
    pub fn get(&self, kind: Kind) -> u32 {
        let _ = kind;
        todo!()
    }
}

//! Ownership of turns by a kernel lock that dies with the process.

use std::path::Path;

/// A lock cannot be taken or tried.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of generation {generation} failed")]
pub struct OwnershipError {
    operation: &'static str,
    generation: u64,
    #[source]
    source: std::io::Error,
}

/// This worker's generation, with its lock held for as long as it lives.
#[derive(Debug)]
pub struct Generation {
    number: u64,
}

impl Generation {
    /// Locks `FOLDER/NUMBER.lock`, made if missing. Holds one descriptor.
    ///
    /// # Errors
    /// [`OwnershipError`] when it cannot be made, or another process holds it.
    pub fn lock(folder: &Path, number: u64) -> Result<Self, OwnershipError> {
        let _ = (folder, number);
        todo!()
    }

    /// The number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether the worker of another generation is dead: its lock is free or its file is gone.
    /// Removes the file of a dead one.
    ///
    /// # Errors
    /// [`OwnershipError`] when the lock cannot be tried.
    pub fn is_dead(folder: &Path, number: u64) -> Result<bool, OwnershipError> {
        let _ = (folder, number);
        todo!()
    }
}

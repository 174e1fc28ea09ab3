//! The fd page: counts that the supervisor reads from outside.
#![allow(unsafe_code, reason = "a shared mapping is unsafe to make and to read through")]

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use evonic_shared::{
    fd_page::{PAGE_BYTES, SLOTS},
    kind::Kind,
};
use rustix::{
    fs::{MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
};

/// The page cannot be made or mapped.
#[derive(Debug, thiserror::Error)]
#[error("fd page cannot be mapped")]
pub struct PageError(#[source] io::Error);

impl From<rustix::io::Errno> for PageError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.into())
    }
}

/// One shared page of atomic counters. See [`evonic_shared::fd_page`]. Holds no descriptor.
#[derive(Debug)]
pub struct Page {
    mapping: NonNull<AtomicU32>,
}

// SAFETY: the mapping is reached only through atomic counters, and lives as long as the page.
unsafe impl Send for Page {}
// SAFETY: as above: every access is atomic.
unsafe impl Sync for Page {}

impl Page {
    /// Maps the inherited anonymous file; the descriptor is closed once it is mapped.
    ///
    /// # Errors
    /// [`PageError`] when the kernel refuses, or the file is smaller than a page.
    pub fn map(file: OwnedFd) -> Result<Self, PageError> {
        let size = rustix::fs::fstat(&file)?.st_size;
        if usize::try_from(size).is_ok_and(|bytes| bytes < PAGE_BYTES) {
            // A mapping beyond the end of its file would kill the process at the first access.
            return Err(PageError(io::ErrorKind::UnexpectedEof.into()));
        }
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing. The file
        // is at least a page long, and whoever made it sealed it against shrinking.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file.as_fd(),
                0,
            )?
        };
        let mapping = NonNull::new(address.cast()).ok_or(PageError(io::ErrorKind::Other.into()))?;
        Ok(Self { mapping })
    }

    /// A page that nobody else reads, for commands without a supervisor and for tests.
    ///
    /// # Errors
    /// [`PageError`] when the kernel refuses.
    pub fn private() -> Result<Self, PageError> {
        let file = rustix::fs::memfd_create(
            "evonic-fd-page",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        rustix::fs::ftruncate(&file, PAGE_BYTES as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK)?;
        Self::map(file)
    }

    /// Adds to a kind's count and returns the new one.
    pub fn add(&self, kind: Kind, descriptors: u32) -> u32 {
        self.slots()[kind.slot()].fetch_add(descriptors, Ordering::Relaxed) + descriptors
    }

    /// Takes from a kind's count. Never below 0.
    pub fn sub(&self, kind: Kind, descriptors: u32) {
        let slot = &self.slots()[kind.slot()];
        let taken = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            Some(count.saturating_sub(descriptors))
        });
        debug_assert!(taken.is_ok_and(|before| before >= descriptors), "{kind} account below zero");
    }

    /// A kind's count.
    #[must_use]
    pub fn get(&self, kind: Kind) -> u32 {
        self.slots()[kind.slot()].load(Ordering::Relaxed)
    }

    fn slots(&self) -> &[AtomicU32; SLOTS] {
        // SAFETY: the mapping is aligned to a page, at least SLOTS words long, and lives as long
        // as `self`. Other processes only read it.
        unsafe { self.mapping.cast().as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and no reference to it outlives
        // `self`.
        let unmapped = unsafe { rustix::mm::munmap(self.mapping.as_ptr().cast(), PAGE_BYTES) };
        debug_assert!(unmapped.is_ok(), "fd page was not mapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_seen_in_the_file() {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, PAGE_BYTES as u64).unwrap();
        let page = Page::map(file.try_clone().unwrap()).unwrap();
        assert_eq!(page.add(Kind::Model, 3), 3);
        page.add(Kind::Child, 7);
        page.sub(Kind::Child, 2);

        let mut bytes = [0; evonic_shared::fd_page::READ_BYTES];
        rustix::io::pread(&file, &mut bytes, 0).unwrap();
        let slots = evonic_shared::fd_page::decode(&bytes);
        assert_eq!(slots[Kind::Model.slot()], 3);
        assert_eq!(slots[Kind::Child.slot()], 5);
        assert_eq!(slots.iter().sum::<u32>(), 8);
    }

    #[test]
    fn a_short_file_is_refused() {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        assert!(Page::map(file).is_err());
    }
}

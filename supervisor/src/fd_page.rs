//! The fd page of a worker, read from outside.

use std::{io, os::fd::OwnedFd};

use evonic_shared::fd_page::{PAGE_BYTES, READ_BYTES, SLOTS, decode};
use rustix::fs::{MemfdFlags, SealFlags};

/// A sealed anonymous file of one page: one descriptor. See [`evonic_shared::fd_page`].
#[derive(Debug)]
pub struct FdPage {
    pub file: OwnedFd,
}

impl FdPage {
    /// An empty page. Its size is sealed: a worker can write it, but never shrink it under its own
    /// mapping.
    pub fn create() -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let page = rustix::fs::memfd_create(c"evonic-fd-page", flags)?;
        rustix::fs::ftruncate(&page, PAGE_BYTES as u64)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&page, seals)?;
        Ok(Self { file: page })
    }

    /// Every slot, of one instant.
    pub fn read(&self) -> io::Result<[u32; SLOTS]> {
        let mut bytes = [0; READ_BYTES];
        let read = rustix::io::pread(&self.file, &mut bytes, 0)?;
        if read < READ_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(decode(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_other_side_wrote_and_keeps_its_size() {
        let page = FdPage::create().unwrap();
        assert_eq!(page.read().unwrap(), [0; SLOTS]);
        rustix::io::pwrite(&page.file, &7_u32.to_ne_bytes(), 4).unwrap();
        assert_eq!(page.read().unwrap()[..3], [0, 7, 0]);
        assert!(rustix::fs::ftruncate(&page.file, 0).is_err());
    }
}

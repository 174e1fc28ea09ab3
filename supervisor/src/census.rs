//! A census of a worker's descriptors: one pass of `readlink` over `/proc/PID/fd`.
//!
//! Kinds come from the link's text; sockets are looked up by inode in the tables of
//! `/proc/PID/net`. The pass is bounded in descriptors, distinct targets and bytes read, so that
//! neither a fast leak nor a host with many sockets delays a restart.

mod inventory;
mod link;
mod net;

use std::collections::HashMap;

use rustix::{fs::OFlags, process::Pid};

pub use self::inventory::{Inventory, Order, Subject};
use self::link::Link;
use crate::{disk::FileError, fd_watch};

/// Descriptors that one pass reads.
const MAX_DESCRIPTORS: u32 = 65_536;

/// Takes the census of a process. Opens one descriptor at a time, and closes it before it returns.
///
/// # Errors
/// [`FileError`] when the process is gone, or another user's.
pub fn take(pid: Pid) -> Result<Inventory, FileError> {
    let folder = fd_watch::open_folder("read", pid, OFlags::RDONLY)?;
    let mut inventory = Inventory::default();
    let mut sockets = HashMap::new();
    let mut seen = 0;
    fd_watch::list(&folder, |name| {
        seen += 1;
        if seen > MAX_DESCRIPTORS {
            return;
        }
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        // It may be closed since the folder was read.
        let Ok((text, _)) = rustix::fs::readlinkat_raw(&folder, name, &mut buffer) else { return };
        match Link::parse(&String::from_utf8_lossy(text)) {
            Link::Socket { inode } => *sockets.entry(inode).or_insert(0) += 1,
            Link::Other { kind, target } => inventory.add(&kind, &target, 1),
        }
    })
    .map_err(FileError::new("read", &fd_watch::folder(pid)))?;
    drop(folder);
    net::resolve(pid, &mut sockets, &mut inventory);
    Ok(inventory)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::net::UnixListener,
    };

    use super::*;

    fn count(inventory: &Inventory, kind: &str, target: &str) -> u32 {
        inventory.count(kind, target)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "descriptors of every kind to be found")]
    fn the_own_process_has_what_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept open");
        let deleted = folder.path().join("gone");
        let _files = [(); 3].map(|()| std::fs::File::create(&path).unwrap());
        let _deleted = std::fs::File::create(&deleted).unwrap();
        std::fs::remove_file(&deleted).unwrap();
        let socket_path = folder.path().join("s.sock");
        let _unix = UnixListener::bind(&socket_path).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        let _accepted = [(); 2].map(|()| listener.accept().unwrap());
        let listener6 = TcpListener::bind("[::1]:0").unwrap();
        let _pipe = rustix::pipe::pipe().unwrap();
        let _memory =
            rustix::fs::memfd_create(c"census-test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();

        let inventory = take(rustix::process::getpid()).unwrap();

        assert_eq!(count(&inventory, "file", path.to_str().unwrap()), 3);
        assert_eq!(count(&inventory, "file", &format!("{} (deleted)", deleted.display())), 1);
        assert_eq!(count(&inventory, "unix", &format!("unix {}", socket_path.display())), 1);
        assert_eq!(count(&inventory, "tcp", &format!("tcp listening on {address}")), 1);
        assert_eq!(count(&inventory, "tcp", &format!("tcp accepted on {address}")), 2);
        assert_eq!(count(&inventory, "tcp", &format!("tcp {address}")), 2);
        let address6 = listener6.local_addr().unwrap();
        assert_eq!(count(&inventory, "tcp", &format!("tcp listening on {address6}")), 1);
        assert!(count(&inventory, "pipe", "pipe") >= 2);
        assert_eq!(count(&inventory, "memfd", "memfd:census-test"), 1);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        let nobody = Pid::from_raw(i32::MAX).unwrap();
        assert_eq!(take(nobody).unwrap_err().source.kind(), std::io::ErrorKind::NotFound);
    }
}

//! journald, by its own protocol: one datagram a line.

use std::{io, os::unix::net::UnixDatagram, path::Path};

use rustix::event::{PollFd, PollFlags};

use super::stderr::PATIENCE;

/// A connection to journald: one descriptor, of the runtime's.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// Connects.
    ///
    /// # Errors
    /// The operating system's word: there is no journald here.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        Ok(Self { socket })
    }

    /// Sends a datagram. One that journald does not take within [`PATIENCE`] is dropped; to one
    /// that was started anew it is sent again.
    pub(super) fn send(&self, datagram: &[u8], path: &Path) {
        let Err(error) = self.socket.send(datagram) else { return };
        if error.kind() == io::ErrorKind::WouldBlock {
            let mut ready = [PollFd::new(&self.socket, PollFlags::OUT)];
            // What comes of it the second attempt tells.
            let _ = rustix::event::poll(&mut ready, Some(&PATIENCE));
        } else if self.socket.connect(path).is_err() {
            return;
        }
        // A line that cannot be told has nobody to be told to.
        let _ = self.socket.send(datagram);
    }
}

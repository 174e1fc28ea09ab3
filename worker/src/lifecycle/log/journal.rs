//! The connection to journald: one datagram a line.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use rustix::event::{PollFd, PollFlags};

use super::stderr::WRITE_TIMEOUT;

/// A connection to journald: one descriptor of the runtime's.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Connects.
    ///
    /// # Errors
    /// The OS error: there is no journald here.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(path)?;
        Ok(Self { socket, path: path.to_owned() })
    }

    /// Sends a datagram. One that journald does not take within [`WRITE_TIMEOUT`] is dropped; to a
    /// journald that was started anew it is sent again.
    pub(super) fn send(&self, datagram: &[u8]) {
        let Err(error) = self.socket.send(datagram) else { return };
        if error.kind() == io::ErrorKind::WouldBlock {
            let mut ready = [PollFd::new(&self.socket, PollFlags::OUT)];
            // The second attempt shows what comes of it.
            let _ = rustix::event::poll(&mut ready, Some(&WRITE_TIMEOUT));
        } else if self.socket.connect(&self.path).is_err() {
            return;
        }
        // A line that cannot be logged has nowhere to go.
        let _ = self.socket.send(datagram);
    }
}

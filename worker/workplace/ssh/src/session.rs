//! An authenticated session of libssh2, and the transport below it.

use std::{os::fd::OwnedFd, sync::Arc, thread::JoinHandle};

use rustix::net::Shutdown;

use evonic_handles::Permit;

/// An authenticated session. Closed with its socket when dropped, without waiting for the peer.
pub(super) struct AuthenticatedSession {
    /// In blocking mode, with a timeout.
    pub(super) session: ssh2::Session,
    /// Another handle of what the session reads and writes: shutting it down unblocks any call.
    pub(super) socket: Arc<OwnedFd>,
    /// Ended after the session.
    pub(super) _jump: Option<Jump>,
    /// Closed after the session. A jump host's permit is held by its own session.
    pub(super) permit: Permit,
}

/// A stream of bytes to a host, before anything was sent on it.
pub(super) struct Transport {
    pub(super) socket: OwnedFd,
    /// The jump host that it goes over.
    pub(super) jump: Option<Jump>,
    /// Owns the socket.
    pub(super) permit: Permit,
}

/// The thread of a jump host's session. Dropping it ends the thread and waits for that, so that its
/// descriptors and permit are back when the session that went over it is gone.
pub(super) struct Jump {
    /// The thread's end of the socket pair, and its session's socket.
    sockets: [Arc<OwnedFd>; 2],
    thread: Option<JoinHandle<()>>,
}

impl Jump {
    pub(super) const fn new(sockets: [Arc<OwnedFd>; 2], thread: JoinHandle<()>) -> Self {
        Self { sockets, thread: Some(thread) }
    }
}

impl Drop for Jump {
    fn drop(&mut self) {
        for socket in &self.sockets {
            // It may be shut already, by the other side.
            let _shut = rustix::net::shutdown(socket, Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has closed all that it owned.
            let _ended = thread.join();
        }
    }
}

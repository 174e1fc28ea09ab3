//! A connection (RFC 4254) at work, as its users see it.
//!
//! ```text
//!   futures --ChannelRequest--> queue --Waker--> thread evonic-ssh-N --> poll(socket, eventfd)
//!      ^                                            |  every channel in turn, waiting for none
//!      +--------- Stream: data, then its end -------+
//! ```
//! Only the driver's thread uses the libssh2 session, which is non-blocking: a channel without data
//! or with a slow reader delays no other, and one that is abandoned is closed without waiting for
//! its command.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{channel::ChannelRequest, shell_facts::Facts};
use evonic_backend::{Stage, WorkplaceError};
use evonic_handles::Waker;

/// What a connection is for. They are kept apart, so that a transfer slows no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Commands, many at once.
    Commands,
    /// Small operations on files, one after the other.
    Files,
    Transfers,
}

/// A connection. Holds no descriptor.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) role: Role,
    host: String,
    requests: Mutex<mpsc::Sender<ChannelRequest>>,
    waker: Waker,
    socket: Weak<OwnedFd>,
    /// Channels in use, and those about to be opened.
    users: AtomicU32,
    /// Channels that the server lets a connection have, as far as is known.
    max_channels: AtomicU32,
    ending: AtomicBool,
    over: AtomicBool,
    last_used: Mutex<Instant>,
    /// What the login shell reports, asked once.
    pub(super) facts: OnceCell<Facts>,
}

/// How much a connection is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) users: u32,
    /// When the last user left.
    pub(super) last_used: Instant,
}

/// `MaxSessions` of OpenSSH, unless it is configured.
const DEFAULT_MAX_SESSIONS: u32 = 10;

impl Connection {
    /// A connection whose driver takes requests from the other end of `requests`, and is woken by
    /// `waker`.
    pub(super) fn new(
        role: Role,
        host: &str,
        requests: mpsc::Sender<ChannelRequest>,
        waker: Waker,
        socket: Weak<OwnedFd>,
    ) -> Self {
        Self {
            role,
            host: host.to_owned(),
            requests: Mutex::new(requests),
            waker,
            socket,
            users: AtomicU32::new(0),
            max_channels: AtomicU32::new(DEFAULT_MAX_SESSIONS),
            ending: AtomicBool::new(false),
            over: AtomicBool::new(false),
            last_used: Mutex::new(Instant::now()),
            facts: OnceCell::new(),
        }
    }

    /// `user@host:port`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is closed or about to be, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) || self.is_ending()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// The driver has ended.
    pub(super) fn set_over(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Takes a slot for a channel; [`None`] when there is none.
    pub(super) fn take_slot(self: &Arc<Self>) -> Option<ChannelSlot> {
        let max = self.max_channels.load(Ordering::Relaxed);
        let more = |users| (users < max).then_some(users + 1);
        self.users.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        self.slot()
    }

    /// Keeps the connection from being idle, without a channel; [`None`] when it ends.
    pub(super) fn hold(self: &Arc<Self>) -> Option<ChannelSlot> {
        self.users.fetch_add(1, Ordering::SeqCst);
        self.slot()
    }

    fn slot(self: &Arc<Self>) -> Option<ChannelSlot> {
        let slot = ChannelSlot { connection: Arc::clone(self), counts: AtomicBool::new(true) };
        // In this order: the driver counts users after it has set `ending`.
        (!self.is_over()).then_some(slot)
    }

    pub(super) fn usage(&self) -> Usage {
        let last_used = *self.last_used.lock();
        Usage { users: self.users.load(Ordering::Acquire), last_used }
    }

    /// The server refused a channel: there are no more than now.
    pub(super) fn limit_channels(&self) {
        let now = self.users.load(Ordering::Acquire).saturating_sub(1).max(1);
        self.max_channels.fetch_min(now, Ordering::AcqRel);
    }

    /// Ends it soon: what uses it fails.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Ends it if it is unused. Returns whether that is so.
    pub(super) fn end_if_unused(&self) -> bool {
        let before = self.ending.swap(true, Ordering::SeqCst);
        let unused = self.users.load(Ordering::SeqCst) == 0;
        if !unused && !before {
            self.ending.store(false, Ordering::SeqCst);
        } else {
            self.wake();
        }
        unused
    }

    /// Cuts it: the driver ends whatever it does.
    pub(super) fn cut(&self) {
        self.end();
        if let Some(socket) = self.socket.upgrade() {
            // It may be cut already.
            let _cut = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
    }

    /// The error of a connection that broke, or of a host that does not answer.
    pub(super) fn unreachable(&self, stage: Stage, said: impl Into<String>) -> WorkplaceError {
        WorkplaceError::unreachable(&self.host, stage, said)
    }

    /// Has a channel opened.
    pub(super) fn open(&self, request: ChannelRequest) {
        // A driver that is gone drops it, which ends its stream.
        let _gone = self.requests.lock().send(request);
        self.wake();
    }

    /// Wakes the driver.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }
}

/// The right to one channel on a connection.
#[derive(Debug)]
pub(super) struct ChannelSlot {
    connection: Arc<Connection>,
    counts: AtomicBool,
}

impl ChannelSlot {
    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// From now on the channel does not keep the connection from being idle.
    pub(super) fn set_idle(&self) {
        if !self.counts.swap(false, Ordering::AcqRel) {
            return;
        }
        *self.connection.last_used.lock() = Instant::now();
        if self.connection.users.fetch_sub(1, Ordering::SeqCst) == 1 {
            // The driver waits for the end of a time that does not count any more.
            self.connection.wake();
        }
    }
}

impl Drop for ChannelSlot {
    fn drop(&mut self) {
        self.set_idle();
    }
}

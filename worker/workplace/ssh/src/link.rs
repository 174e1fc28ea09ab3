//! A connection at work: one thread, which alone speaks to the session, and many channels.
//!
//! ```text
//!   futures --Order--> queue --bell--> thread evonic-ssh-N --> poll(socket, bell)
//!      ^                                  |  every channel in turn, never waiting for one
//!      +---- Stream: bytes, then its end -+
//! ```
//! The session is in non-blocking mode: a channel that has nothing to say, or whose reader is slow,
//! holds nobody up, and a channel that is given up is closed without waiting for its command.

mod bell;
mod channel;
mod driver;
mod stream;

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::Instant,
};

use tokio::sync::OnceCell;

pub(super) use self::stream::{ChannelError, Frames, Inlet, Stream};
use self::{bell::Bell, stream::Channel};
use super::facts::Facts;
use evonic_backend::{Stage, WorkplaceError, error::Cause};

/// What a connection is for. They are kept apart, so that a transfer slows no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Commands, many at once.
    Commands,
    /// Files: small operations, one after the other.
    Files,
    /// Transfers.
    Bulk,
}

/// What is asked of a session.
#[derive(Clone, Debug)]
pub(super) enum Startup {
    /// A command line for the login shell.
    Exec(String),
    /// SFTP.
    Sftp,
}

/// A connection, as those see it that use it. Holds no descriptor.
#[derive(Debug)]
pub(super) struct Link {
    role: Role,
    host: String,
    orders: Mutex<mpsc::Sender<Channel>>,
    bell: Bell,
    socket: Weak<OwnedFd>,
    /// Channels that somebody uses, and those that somebody is about to open.
    users: AtomicU32,
    /// Channels that the server lets a connection have, as far as is known.
    most: AtomicU32,
    ending: AtomicBool,
    over: AtomicBool,
    used: Mutex<Instant>,
    /// What the host says of the user, asked once.
    pub(super) facts: OnceCell<Facts>,
}

/// Sessions that OpenSSH lets a connection have, unless it is told otherwise.
const SESSIONS: u32 = 10;

impl Link {
    /// What it is for.
    pub(super) const fn role(&self) -> Role {
        self.role
    }

    /// `user@host:port`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it still works, as far as is known.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst) || self.ending.load(Ordering::SeqCst)
    }

    /// Takes a place for a channel; [`None`] when it has none.
    pub(super) fn place(self: &Arc<Self>) -> Option<ChannelSlot> {
        let most = self.most.load(Ordering::Relaxed);
        let more = |users| (users < most).then_some(users + 1);
        self.users.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        let place = ChannelSlot { link: Arc::clone(self), counts: AtomicBool::new(true) };
        // In this order: its thread looks for users after it has said that it ends.
        (!self.is_over()).then_some(place)
    }

    /// Keeps the connection from being idle, without a channel; [`None`] when it ends.
    pub(super) fn visit(self: &Arc<Self>) -> Option<ChannelSlot> {
        self.users.fetch_add(1, Ordering::SeqCst);
        let place = ChannelSlot { link: Arc::clone(self), counts: AtomicBool::new(true) };
        (!self.is_over()).then_some(place)
    }

    /// How many use it, and since when nobody does.
    pub(super) fn usage(&self) -> (u32, Instant) {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (self.users.load(Ordering::Acquire), used)
    }

    /// It has no room for as many channels as was thought.
    pub(super) fn is_full(&self) {
        let now = self.users.load(Ordering::Acquire).saturating_sub(1).max(1);
        self.most.fetch_min(now, Ordering::AcqRel);
    }

    /// Ends it soon: what uses it fails.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    /// Ends it if nobody uses it.
    pub(super) fn end_if_unused(&self) -> bool {
        let before = self.ending.swap(true, Ordering::SeqCst);
        let unused = self.users.load(Ordering::SeqCst) == 0;
        if !unused && !before {
            self.ending.store(false, Ordering::SeqCst);
        } else {
            self.bell.ring();
        }
        unused
    }

    /// Cuts it: its thread ends whatever it does.
    pub(super) fn cut(&self) {
        self.end();
        if let Some(socket) = self.socket.upgrade() {
            // It may be cut already.
            let _cut = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
    }

    /// The error of a connection that broke, or of a host that does not answer.
    pub(super) fn broke(&self, stage: Stage, said: impl Into<String>) -> WorkplaceError {
        unreachable(&self.host, stage, said)
    }

    fn order(&self, channel: Channel) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // A thread that is gone drops it, which tells its stream.
        let _gone = orders.send(channel);
        self.bell.ring();
    }
}

/// A place for one channel on a connection.
#[derive(Debug)]
pub(super) struct ChannelSlot {
    link: Arc<Link>,
    counts: AtomicBool,
}

impl ChannelSlot {
    /// The connection.
    pub(super) const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// What is in it does not keep the connection from being idle.
    pub(super) fn rests(&self) {
        if self.counts.swap(false, Ordering::AcqRel) {
            self.leave();
        }
    }

    fn leave(&self) {
        *self.link.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if self.link.users.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Its thread waits for the end of a time that does not count any more.
            self.link.bell.ring();
        }
    }
}

impl Drop for ChannelSlot {
    fn drop(&mut self) {
        self.rests();
    }
}

/// See [`Link::broke`].
pub(super) fn unreachable(host: &str, stage: Stage, said: impl Into<String>) -> WorkplaceError {
    WorkplaceError::Unreachable { host: host.to_owned(), stage, source: Cause(said.into()) }
}

pub(super) use self::driver::{Started, run};

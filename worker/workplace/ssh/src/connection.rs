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
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    channel::ChannelRequest,
    flight::Flight,
    shell_facts::{Facts, ShellFacts},
};
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
    /// The same, with those that are idle.
    channels: AtomicU32,
    limit: Mutex<Limit>,
    ending: AtomicBool,
    over: AtomicBool,
    /// Whether the server has opened a channel.
    served: AtomicBool,
    /// Whether the server ended it before.
    ended_early: AtomicBool,
    counted: AtomicBool,
    began: Instant,
    /// From when on it is not used for anything new.
    stale_from: Mutex<Option<Instant>>,
    last_used: Mutex<Instant>,
    /// What the login shell reports, once it did.
    facts: Mutex<Option<ShellFacts>>,
    /// The login shell is asked once at a time.
    pub(super) asking: Flight<Facts>,
}

/// Channels that the server lets a connection have, as far as is known.
#[derive(Clone, Copy, Debug)]
struct Limit {
    channels: u32,
    /// When the server refused one more.
    since: Option<Instant>,
}

impl Limit {
    const DEFAULT: Self = Self { channels: DEFAULT_MAX_SESSIONS, since: None };

    /// How long a refusal is believed.
    const BELIEVED: Duration = Duration::from_secs(60);
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
            channels: AtomicU32::new(0),
            limit: Mutex::new(Limit::DEFAULT),
            ending: AtomicBool::new(false),
            over: AtomicBool::new(false),
            served: AtomicBool::new(false),
            ended_early: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            began: Instant::now(),
            stale_from: Mutex::new(None),
            last_used: Mutex::new(Instant::now()),
            facts: Mutex::new(None),
            asking: Flight::default(),
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
        let early = !self.has_served() && !self.is_ending();
        self.ended_early.store(early, Ordering::Release);
        self.over.store(true, Ordering::SeqCst);
    }

    /// Whether it takes anything new.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_over() && !self.is_stale()
    }

    /// Whether it ends once nobody uses it.
    pub(super) fn is_stale(&self) -> bool {
        self.stale_from.lock().is_some_and(|from| from <= Instant::now())
    }

    /// The host refused something, which may be repaired: an account's shell, groups and settings
    /// are those of its login. From `age` on nothing new is asked on this connection.
    pub(super) fn refused(&self, age: Duration) {
        let from = (self.began + age).max(Instant::now());
        let mut stale_from = self.stale_from.lock();
        *stale_from = Some(stale_from.map_or(from, |before| before.min(from)));
        drop(stale_from);
        self.wake();
    }

    /// Whether the server has opened a channel.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Acquire)
    }

    /// Whether the server ended it before it opened a channel, and that was not counted yet.
    pub(super) fn count_early_end(&self) -> bool {
        self.has_ended_early() && !self.counted.swap(true, Ordering::AcqRel)
    }

    /// Whether the server ended it before it opened a channel.
    pub(super) fn has_ended_early(&self) -> bool {
        self.ended_early.load(Ordering::Acquire)
    }

    /// The server has opened a channel.
    pub(super) fn set_served(&self) {
        self.served.store(true, Ordering::Release);
    }

    /// What the login shell reported.
    pub(super) fn facts(&self) -> Option<ShellFacts> {
        self.facts.lock().clone()
    }

    /// The login shell reported this.
    pub(super) fn learn(&self, facts: &ShellFacts) {
        *self.facts.lock() = Some(facts.clone());
    }

    /// Takes a slot for a channel; [`None`] when there is none.
    pub(super) fn take_slot(self: &Arc<Self>) -> Option<ChannelSlot> {
        let max = self.max_channels();
        let more = |channels| (channels < max).then_some(channels + 1);
        self.channels.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        self.users.fetch_add(1, Ordering::SeqCst);
        self.slot(true)
    }

    /// Keeps the connection from being idle, without a channel; [`None`] when it ends.
    pub(super) fn hold(self: &Arc<Self>) -> Option<ChannelSlot> {
        self.users.fetch_add(1, Ordering::SeqCst);
        self.slot(false)
    }

    fn slot(self: &Arc<Self>, is_channel: bool) -> Option<ChannelSlot> {
        let counts = AtomicBool::new(true);
        let slot = ChannelSlot { connection: Arc::clone(self), counts, is_channel };
        // In this order: the driver counts users after it has set `ending`.
        self.is_usable().then_some(slot)
    }

    pub(super) fn usage(&self) -> Usage {
        let last_used = *self.last_used.lock();
        Usage { users: self.users.load(Ordering::Acquire), last_used }
    }

    fn max_channels(&self) -> u32 {
        let mut limit = self.limit.lock();
        if limit.since.is_some_and(|since| since.elapsed() >= Limit::BELIEVED) {
            *limit = Limit::DEFAULT;
        }
        limit.channels
    }

    /// Whether the server has refused a channel lately.
    pub(super) fn is_limited(&self) -> bool {
        self.limit.lock().since.is_some()
    }

    /// The server refused one more channel than these.
    pub(super) fn limit_channels(&self, open: usize) {
        let open = u32::try_from(open).unwrap_or(u32::MAX).max(1);
        let mut limit = self.limit.lock();
        *limit = Limit { channels: limit.channels.min(open), since: Some(Instant::now()) };
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
    is_channel: bool,
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
        if self.is_channel {
            self.connection.channels.fetch_sub(1, Ordering::SeqCst);
        }
        self.set_idle();
    }
}

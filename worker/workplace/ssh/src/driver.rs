//! The thread of a connection, which alone uses its libssh2 session.

mod delivery;
mod liveness;
mod running;

use std::{
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use evonic_shared::config;
use rustix::event::{PollFd, PollFlags, poll};
use ssh2::{ErrorCode, Session};

use self::{
    liveness::{Liveness, MIN_KEEPALIVE, MIN_WAIT},
    running::{AGAIN, Outcome, RunningChannel, again},
};
use super::{
    channel::{ChannelError, ChannelRequest},
    connection::{Connection, Role},
    deadline::timespec,
    session::AuthenticatedSession,
};
use evonic_backend::{Result, Stage, WorkplaceError};
use evonic_handles::{Waker, Wakeups};

/// A connection that is ready to be driven.
pub(super) struct Started {
    authenticated: AuthenticatedSession,
    requests: mpsc::Receiver<ChannelRequest>,
    wakeups: Wakeups,
    pub(super) connection: Arc<Connection>,
}

/// The size of the buffer that output is read into.
const BUFFER_BYTES: usize = 256 * 1024;

/// The longest wait while an answer may already have been read for another channel.
const MAX_GLANCE: Duration = Duration::from_millis(64);

/// How long after a channel's end the server may count it still, and after which pause it is asked
/// for another one again.
const MAX_COUNTED: Duration = Duration::from_secs(1);
const OPEN_PAUSE: Duration = Duration::from_millis(15);

/// The longest wait while the socket holds bytes that no channel reads.
const MAX_UNREAD_WAIT: Duration = Duration::from_millis(200);

impl Started {
    /// Makes a connection of a session. Opens one more descriptor: the waker's.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError::Unreachable`].
    pub(super) fn new(
        mut authenticated: AuthenticatedSession,
        host: &str,
        role: Role,
    ) -> Result<Self> {
        let (waker, wakeups) = Waker::open().map_err(|error| {
            WorkplaceError::unreachable(host, Stage::Connect, error.to_string())
        })?;
        let number = wakeups.as_fd().as_raw_fd().unsigned_abs();
        authenticated.permit.owns(2, Some(number));
        let (sender, requests) = mpsc::channel();
        let socket = Arc::downgrade(&authenticated.socket);
        let connection = Arc::new(Connection::new(role, host, sender, waker, socket));
        Ok(Self { authenticated, requests, wakeups, connection })
    }
}

/// Drives a connection until it is over, on its thread. Closes it.
pub(super) fn run(started: Started, settings: &config::Ssh) {
    let Started { authenticated, requests, wakeups, connection } = started;
    let session = &authenticated.session;
    session.set_blocking(false);
    let interval = settings.keepalive_interval.max(MIN_KEEPALIVE);
    session.set_keepalive(true, u32::try_from(interval.as_secs()).unwrap_or(u32::MAX));
    let mut driver = Driver {
        session,
        socket: &authenticated.socket,
        connection: &connection,
        requests,
        wakeups,
        waiting: VecDeque::new(),
        opening: None,
        opening_since: Instant::now(),
        next_open: None,
        last_end: None,
        channels: Vec::new(),
        stuck: None,
        buffer: vec![0; BUFFER_BYTES],
        liveness: Liveness::new(Instant::now()),
        settings,
        idle_waits: 0,
        unread_bytes: 0,
        peer_ended: false,
    };
    let reason = driver.drive();
    connection.set_over();
    tracing::debug!(host = connection.host(), role = ?connection.role, reason, "connection ends");
    for channel in &mut driver.channels {
        channel.connection_over(&reason);
    }
    // The peer is notified if that can be sent at once. Then the socket is shut: closing what is left
    // must neither wait for an answer nor be put off.
    let _told = session.disconnect(None, "bye", None);
    let _shut = rustix::net::shutdown(&authenticated.socket, rustix::net::Shutdown::Both);
    // The waker's descriptor is closed before the permit is given back.
    drop(driver);
    drop(authenticated);
}

struct Driver<'a> {
    session: &'a Session,
    socket: &'a OwnedFd,
    connection: &'a Connection,
    requests: mpsc::Receiver<ChannelRequest>,
    wakeups: Wakeups,
    waiting: VecDeque<ChannelRequest>,
    /// libssh2 opens one channel at a time.
    opening: Option<ChannelRequest>,
    opening_since: Instant,
    /// The server is not asked for another channel before.
    next_open: Option<Instant>,
    /// When the last channel ended.
    last_end: Option<Instant>,
    channels: Vec<RunningChannel>,
    /// What is half sent: it is repeated before anything else is sent.
    stuck: Option<Stuck>,
    buffer: Vec<u8>,
    liveness: Liveness,
    settings: &'a config::Ssh,
    /// Waits in a row that only their time ended.
    idle_waits: u32,
    /// Bytes that the socket held at the last wait, unless something was done since.
    unread_bytes: u64,
    /// Whether the peer has closed its side.
    peer_ended: bool,
}

/// Why a connection is over that the host closed.
const CLOSED: &str = "the host closed it";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stuck {
    Opening,
    Channel(usize),
}

impl Driver<'_> {
    /// Returns why it ended.
    fn drive(&mut self) -> String {
        loop {
            if self.connection.is_ending() {
                return "it is closed".to_owned();
            }
            self.wakeups.clear();
            self.waiting.extend(self.requests.try_iter());
            match self.round() {
                Ok(true) => (self.idle_waits, self.unread_bytes) = (0, 0),
                Ok(false) => {
                    if let Some(reason) = self.wait() {
                        return reason;
                    }
                }
                Err(error) => return error.message().to_owned(),
            }
        }
    }

    /// A step of every channel. Returns whether anything was done.
    fn round(&mut self) -> Result<bool, ssh2::Error> {
        if let Some(stuck) = self.stuck.take() {
            let outcome = match stuck {
                Stuck::Opening => self.open()?,
                Stuck::Channel(index) => self.step(index)?,
            };
            if outcome == Outcome::Stuck {
                return Ok(false);
            }
        }
        let mut done = self.opens()?;
        let mut index = 0;
        while self.stuck.is_none() && index < self.channels.len() {
            match self.step(index)? {
                Outcome::Over => done = true,
                outcome => {
                    done |= outcome == Outcome::Done;
                    index += 1;
                }
            }
        }
        let more = || self.channels.iter().any(RunningChannel::has_more);
        Ok(self.stuck.is_none() && (done || more()))
    }

    fn opens(&mut self) -> Result<bool, ssh2::Error> {
        let mut done = false;
        loop {
            if self.next_open.is_some_and(|next| Instant::now() < next) {
                return Ok(done);
            }
            self.next_open = None;
            if self.opening.is_none() {
                self.opening = self.waiting.pop_front();
                self.opening_since = Instant::now();
            }
            if self.opening.is_none() || self.open()? != Outcome::Done {
                return Ok(done);
            }
            done = true;
        }
    }

    fn open(&mut self) -> Result<Outcome, ssh2::Error> {
        let refused = |error: &ssh2::Error| error.code() == ErrorCode::Session(-21);
        let outcome = match self.session.channel_session() {
            Ok(channel) => {
                self.connection.set_served();
                let request = self.opening.take();
                self.channels.extend(request.map(|request| RunningChannel::new(channel, request)));
                Outcome::Done
            }
            Err(error) if error.code() == AGAIN => again(self.session),
            Err(error) if refused(&error) => {
                self.refused(&error);
                Outcome::Done
            }
            Err(error) => return Err(error),
        };
        if outcome == Outcome::Stuck {
            self.stuck = Some(Stuck::Opening);
        }
        Ok(outcome)
    }

    /// The server opens no other channel.
    fn refused(&mut self, error: &ssh2::Error) {
        let Some(request) = self.opening.take() else { return };
        if self.last_end.is_some_and(|end| end.elapsed() < MAX_COUNTED) {
            self.waiting.push_front(request);
            self.next_open = Some(Instant::now() + OPEN_PAUSE);
            return;
        }
        let why = if self.connection.has_served() || !self.channels.is_empty() {
            self.connection.limit_channels(self.channels.len());
            ChannelError::Full
        } else {
            let said = error.message();
            let advice = "MaxSessions in its sshd_config must be 1 or more";
            ChannelError::Refused(format!("the server opens no session ({said}); {advice}"))
        };
        // Its user may be gone.
        let _gone = request.end.send(Err(why));
    }

    fn step(&mut self, index: usize) -> Result<Outcome, ssh2::Error> {
        let limit = self.settings.connect_timeout;
        let outcome = self.channels[index].step(self.session, limit, &mut self.buffer)?;
        match outcome {
            Outcome::Stuck => self.stuck = Some(Stuck::Channel(index)),
            Outcome::Over => {
                self.last_end = Some(Instant::now());
                drop(self.channels.remove(index));
            }
            Outcome::Done | Outcome::Waiting => {}
        }
        Ok(outcome)
    }

    /// Waits for the socket or the waker. Returns why the connection is over, if it is.
    ///
    /// Only channels read the socket: without one, the answer to a keepalive stays there, and so
    /// does the rest of an output whose reader is slow. While such bytes are there, polling for
    /// more would return at once.
    fn wait(&mut self) -> Option<String> {
        let unread = rustix::io::ioctl_fionread(self.socket).unwrap_or(0);
        let left_lying = unread > 0 && unread == self.unread_bytes;
        if unread > self.unread_bytes {
            self.liveness.hear();
        }
        self.unread_bytes = unread;
        let mut due = match self.due() {
            Ok(due) => due,
            Err(reason) => return Some(reason),
        };
        let reads = !self.channels.is_empty() || self.opening.is_some();
        if self.peer_ended && !reads {
            return Some(CLOSED.to_owned());
        }
        let mut flags = PollFlags::IN;
        if left_lying || self.peer_ended {
            due = due.min(MAX_UNREAD_WAIT);
            flags = PollFlags::empty();
        }
        flags.set(PollFlags::RDHUP, !reads);
        if self.stuck.is_some() {
            flags |= PollFlags::OUT;
        }
        let mut wanted = [
            PollFd::from_borrowed_fd(self.socket.as_fd(), flags),
            PollFd::new(&self.wakeups, PollFlags::IN),
        ];
        match poll(&mut wanted, Some(&timespec(due))) {
            Ok(0) => self.idle_waits = self.idle_waits.saturating_add(1),
            Ok(_) => self.idle_waits = 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Some(error.to_string()),
        }
        let events = wanted[0].revents();
        if events.contains(PollFlags::RDHUP) {
            return Some(CLOSED.to_owned());
        }
        if events.contains(PollFlags::IN) {
            // Readable and nothing to read: the end.
            self.peer_ended = rustix::io::ioctl_fionread(self.socket).is_ok_and(|left| left == 0);
            self.liveness.hear();
        } else if events.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Some(CLOSED.to_owned());
        }
        None
    }

    /// How long to wait at the most.
    ///
    /// # Errors
    /// Why the connection is over.
    fn due(&mut self) -> Result<Duration, String> {
        let now = Instant::now();
        let mut due = self.liveness.wait(self.settings, self.stuck.is_some(), now)?;
        if self.liveness.is_keepalive_due(self.settings, now) && self.stuck.is_none() {
            self.liveness.keepalive_sent(self.settings, now);
            self.session.keepalive_send().map_err(|error| error.message().to_owned())?;
        }
        let limit = self.settings.connect_timeout;
        // Each time it says so, this thread is woken.
        if !self.connection.is_stale() && self.channels.iter().any(RunningChannel::lingers) {
            self.connection.refused(Duration::ZERO);
        }
        let usage = self.connection.usage();
        if usage.users == 0 && self.opening.is_none() && self.waiting.is_empty() {
            let stale = self.connection.is_stale();
            let left = self.settings.idle_timeout.saturating_sub(usage.last_used.elapsed());
            if (left.is_zero() || stale) && self.connection.end_if_unused() {
                return Err("nobody used it".to_owned());
            }
            due = due.min(left.max(MIN_WAIT));
        }
        if self.opening.is_some() {
            let left = limit.saturating_sub(self.opening_since.elapsed());
            if left.is_zero() {
                return Err(format!("the server opens no channel within {} s", limit.as_secs()));
            }
            due = due.min(left);
        }
        if let Some(next) = self.next_open {
            due = due.min(next.saturating_duration_since(now).max(MIN_WAIT));
        }
        if let Some(left) = self.channels.iter().filter_map(|one| one.due(limit)).min() {
            due = due.min(left.max(MIN_WAIT));
        }
        if self.opening.is_some() || self.channels.iter().any(RunningChannel::is_between) {
            due = due.min(Duration::from_millis(1 << self.idle_waits.min(6)).min(MAX_GLANCE));
        }
        Ok(due.max(MIN_WAIT))
    }
}

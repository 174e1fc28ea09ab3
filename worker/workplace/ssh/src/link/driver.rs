//! The thread of a connection.

use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use evonic_shared::config;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{ErrorCode, Session};
use tokio::sync::OnceCell;

use super::{
    Link, Role, SESSIONS,
    bell::Bell,
    channel::{AGAIN, Outcome, Running, again},
    stream::{Channel, ChannelError},
    unreachable,
};
use crate::connect::Connection;
use evonic_backend::{Stage, WorkplaceError};

/// A connection that is ready to be driven.
pub(crate) struct Started {
    connection: Connection,
    orders: mpsc::Receiver<Channel>,
    link: Arc<Link>,
}

/// The size of the buffer that output is read into.
const BUFFER_BYTES: usize = 256 * 1024;

/// The least pause between two signs of life: libssh2's own.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// The longest wait while an answer may already have been read for somebody else.
const GLANCE: Duration = Duration::from_millis(64);

impl Started {
    /// Makes a link of a connection. Opens one more descriptor: the bell.
    ///
    /// # Errors
    /// [`WorkplaceError::Unreachable`].
    pub(crate) fn new(
        mut connection: Connection,
        host: &str,
        role: Role,
    ) -> Result<Self, WorkplaceError> {
        let bell =
            Bell::open().map_err(|error| unreachable(host, Stage::Connect, error.to_string()))?;
        let number = bell.descriptor().map(|bell| bell.as_raw_fd().unsigned_abs());
        connection.permit.owns(connection.descriptors + 1, number);
        let (sender, orders) = mpsc::channel();
        let link = Arc::new(Link {
            role,
            host: host.to_owned(),
            orders: Mutex::new(sender),
            bell,
            socket: Arc::downgrade(&connection.socket),
            users: AtomicU32::new(0),
            most: AtomicU32::new(SESSIONS),
            ending: AtomicBool::new(false),
            over: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
            facts: OnceCell::new(),
        });
        Ok(Self { connection, orders, link })
    }

    /// The link.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

/// Drives a connection until it is over, on its thread. Closes it.
pub(crate) fn run(started: Started, settings: &config::Ssh) {
    let Started { connection, orders, link } = started;
    connection.session.set_blocking(false);
    let interval = settings.keepalive_interval.max(KEEPALIVE);
    let seconds = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX);
    connection.session.set_keepalive(true, seconds);
    let mut driver = Driver {
        session: &connection.session,
        socket: &connection.socket,
        link: &link,
        orders,
        waiting: VecDeque::new(),
        opening: None,
        channels: Vec::new(),
        stuck: None,
        buffer: vec![0; BUFFER_BYTES],
        life: Life { heard: Instant::now(), unanswered: None, next: Instant::now() },
        settings,
        glances: 0,
        unread: 0,
    };
    let reason = driver.work();
    link.over.store(true, Ordering::SeqCst);
    tracing::debug!(host = link.host, role = ?link.role, reason, "connection ends");
    for channel in &mut driver.channels {
        channel.abandon(&reason);
    }
    // A word to the peer if it can be sent at once. Then the socket is shut: closing what is left
    // must neither wait for an answer nor be put off.
    let _word = connection.session.disconnect(None, "bye", None);
    let _shut = rustix::net::shutdown(&connection.socket, rustix::net::Shutdown::Both);
    drop(driver);
    link.bell.close();
    drop(connection);
}

struct Driver<'a> {
    session: &'a Session,
    socket: &'a OwnedFd,
    link: &'a Link,
    orders: mpsc::Receiver<Channel>,
    waiting: VecDeque<Channel>,
    /// libssh2 opens one channel at a time.
    opening: Option<Channel>,
    channels: Vec<Running>,
    /// Who has something half sent: it is repeated before anybody else speaks.
    stuck: Option<Stuck>,
    buffer: Vec<u8>,
    life: Life,
    settings: &'a config::Ssh,
    /// Waits in a row that nothing ended.
    glances: u32,
    /// Bytes that the socket held at the last wait, unless something was done since.
    unread: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stuck {
    Opening,
    Channel(usize),
}

/// When the peer was last heard of.
struct Life {
    heard: Instant,
    /// The first sign of life since then that was asked for.
    unanswered: Option<Instant>,
    /// The next one is not sent before.
    next: Instant,
}

impl Life {
    fn hear(&mut self) {
        self.heard = Instant::now();
        self.unanswered = None;
    }
}

impl Driver<'_> {
    /// Returns why it ended.
    fn work(&mut self) -> String {
        loop {
            if self.link.ending.load(Ordering::SeqCst) {
                return "it is closed".to_owned();
            }
            self.link.bell.heard();
            self.waiting.extend(self.orders.try_iter());
            match self.round() {
                Ok(true) => (self.glances, self.unread) = (0, 0),
                Ok(false) => {
                    if let Some(reason) = self.wait() {
                        return reason;
                    }
                }
                Err(error) => return error.message().to_owned(),
            }
        }
    }

    /// Every channel's step. Returns whether anything was done.
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
        let more = || self.channels.iter().any(Running::has_more);
        Ok(self.stuck.is_none() && (done || more()))
    }

    fn opens(&mut self) -> Result<bool, ssh2::Error> {
        let mut done = false;
        loop {
            if self.opening.is_none() {
                self.opening = self.waiting.pop_front();
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
                let order = self.opening.take();
                self.channels.extend(order.map(|order| Running::new(channel, order)));
                Outcome::Done
            }
            Err(error) if error.code() == AGAIN => again(self.session),
            Err(error) if refused(&error) => {
                if let Some(order) = self.opening.take() {
                    self.link.is_full();
                    // Its user may be gone.
                    let _gone = order.end.send(Err(ChannelError::Full));
                }
                Outcome::Done
            }
            Err(error) => return Err(error),
        };
        if outcome == Outcome::Stuck {
            self.stuck = Some(Stuck::Opening);
        }
        Ok(outcome)
    }

    fn step(&mut self, index: usize) -> Result<Outcome, ssh2::Error> {
        let outcome = self.channels[index].step(self.session, &mut self.buffer)?;
        match outcome {
            Outcome::Stuck => self.stuck = Some(Stuck::Channel(index)),
            Outcome::Over => drop(self.channels.remove(index)),
            Outcome::Done | Outcome::Waiting => {}
        }
        Ok(outcome)
    }

    /// Waits for the socket or the bell. Returns why the connection is over, if it is.
    ///
    /// What the socket holds is read by channels only: the answer to a sign of life stays there
    /// when there is none, and the rest of an output when its reader is slow. Who waited for more
    /// than that would not wait at all.
    fn wait(&mut self) -> Option<String> {
        let unread = rustix::io::ioctl_fionread(self.socket).unwrap_or(0);
        let left_lying = unread > 0 && unread == self.unread;
        if unread > self.unread {
            self.life.hear();
        }
        self.unread = unread;
        let mut due = match self.due() {
            Ok(due) => due,
            Err(reason) => return Some(reason),
        };
        let bell = self.link.bell.descriptor()?;
        let mut flags = PollFlags::IN;
        if left_lying {
            due = due.min(DEAF);
            flags = PollFlags::empty();
            flags.set(PollFlags::RDHUP, self.channels.is_empty());
        }
        if self.stuck.is_some() {
            flags |= PollFlags::OUT;
        }
        let mut wanted = [
            PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(self.socket), flags),
            PollFd::new(&*bell, PollFlags::IN),
        ];
        let patience = Timespec {
            tv_sec: i64::try_from(due.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(due.subsec_nanos()),
        };
        match poll(&mut wanted, Some(&patience)) {
            Ok(0) => self.glances = self.glances.saturating_add(1),
            Ok(_) => self.glances = 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Some(error.to_string()),
        }
        let told = wanted[0].revents();
        if told.contains(PollFlags::IN) {
            self.life.hear();
        } else if told.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            return Some("the host closed it".to_owned());
        }
        None
    }

    /// How long to wait at the most.
    ///
    /// # Errors
    /// Why the connection is over.
    fn due(&mut self) -> Result<Duration, String> {
        let now = Instant::now();
        let silent = now.saturating_duration_since(self.life.heard);
        let settings = self.settings;
        let patience = settings.dead_after.saturating_sub(settings.keepalive_interval);
        let patience = patience.max(settings.dead_after / 2);
        let unanswered = self.life.unanswered.map(|since| now.saturating_duration_since(since));
        let dead = unanswered.is_some_and(|unanswered| unanswered >= patience)
            || (self.stuck.is_some() && silent >= self.settings.dead_after);
        if dead {
            return Err(format!("the host was silent for {} s", silent.as_secs_f32().round()));
        }
        let mut due = patience.saturating_sub(unanswered.unwrap_or_default()).max(LEAST);
        if silent >= self.settings.keepalive_interval && now >= self.life.next {
            self.keepalive(now)?;
        } else {
            let next = self.life.next.saturating_duration_since(now);
            due = due.min(self.settings.keepalive_interval.saturating_sub(silent).max(next));
        }
        let (users, used) = self.link.usage();
        if users == 0 && self.opening.is_none() {
            let left = self.settings.idle_timeout.saturating_sub(used.elapsed());
            if left.is_zero() && self.link.end_if_unused() {
                return Err("nobody used it".to_owned());
            }
            due = due.min(left.max(LEAST));
        }
        if self.opening.is_some() || self.channels.iter().any(Running::is_between) {
            due = due.min(Duration::from_millis(1 << self.glances.min(6)).min(GLANCE));
        }
        Ok(due.max(LEAST))
    }

    fn keepalive(&mut self, now: Instant) -> Result<(), String> {
        if self.stuck.is_some() {
            return Ok(());
        }
        self.life.next = now + self.settings.keepalive_interval.max(KEEPALIVE);
        self.life.unanswered.get_or_insert(now);
        self.session.keepalive_send().map(drop).map_err(|error| error.message().to_owned())
    }
}

/// The longest wait beside bytes that nobody reads.
const DEAF: Duration = Duration::from_millis(200);

/// The shortest wait.
const LEAST: Duration = Duration::from_millis(1);

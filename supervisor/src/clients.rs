//! Clients of the status socket: their number, their requests and their buffers are bounded, and
//! none is ever waited for.
//!
//! A client's next request is parsed when its last reply is sent entirely, so that a client never
//! has more than one reply in memory. While a reply waits for its reader, nothing is read from that
//! client. Those who watch or wait for an outcome have places of their own, so that none of them keeps
//! another kind out. What answering costs is counted for each user, and bounded ([`Shares`]).

mod client;
mod share;
mod token;

use std::{os::unix::net::UnixListener, time::Duration};

use evonic_shared::status::{ErrorCode, FORMAT, Reply, RequestLine, Status};
use rustix::{
    io::Errno,
    net::{SocketFlags, sockopt},
};

use self::share::Shares;
pub use self::token::TokenHolder;
pub(crate) use self::{
    client::{Client, Wait},
    share::thread_time,
};
use crate::{
    policy::Instant,
    poller::{EventFlags, Poller, Token},
};

/// Clients at once that neither watch nor wait. One more replaces the one that has been quiet for
/// longest.
const MAX_CLIENTS: usize = 64;

/// Clients beside those that get each status.
const MAX_WATCHERS: usize = 16;

/// Clients beside those that wait for the outcome of a restart.
const MAX_WAITING: usize = 128;

/// A client that has not read a reply entirely by then is dropped.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections accepted in one turn of the loop.
const MAX_ACCEPTS: usize = 16;

/// The pause after a failed accept. Without it the waiting client would wake the loop at once, for
/// ever.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// All clients: one descriptor each.
#[derive(Debug)]
pub struct Clients {
    listener: UnixListener,
    /// When the listener is watched again.
    paused_until: Option<Instant>,
    all: Vec<Client>,
    shares: Shares,
    next_serial: u64,
}

/// A client's serial number and user, and its request or what refuses it.
pub type Pending = (u64, Option<u32>, Result<RequestLine, Reply>);

impl Clients {
    /// Without clients.
    ///
    /// # Errors
    /// The OS error when the listener cannot be watched.
    pub fn new(listener: UnixListener, poller: &Poller) -> std::io::Result<Self> {
        poller.watch(&listener, Token::Listener, EventFlags::IN)?;
        Ok(Self {
            listener,
            paused_until: None,
            all: Vec::new(),
            shares: Shares::default(),
            next_serial: 0,
        })
    }

    pub fn accept(&mut self, poller: &Poller, now: Instant) {
        for _ in 0..MAX_ACCEPTS {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    tracing::warn!(%error, "status client cannot be accepted");
                    self.pause(poller, now);
                    return;
                }
            };
            if self.all.iter().filter(|client| client.asks()).count() >= MAX_CLIENTS {
                self.make_room();
            }
            let uid = sockopt::socket_peercred(&socket).ok().map(|peer| peer.uid.as_raw());
            let serial = self.next_serial;
            self.next_serial += 1;
            let client = Client::new(socket, serial, uid, now);
            if client.register(poller).is_ok() {
                self.all.push(client);
            }
        }
    }

    pub fn ready(&mut self, poller: &Poller, serial: u64, events: EventFlags, now: Instant) {
        if let Some(client) = self.find(serial) {
            client.ready(events, now);
        }
        self.settle(poller);
    }

    /// The next pending request, or what refuses it, from each client in turn whose user has not used
    /// up its share: with the client's serial number, for [`Clients::reply`].
    pub fn next_request(&mut self, poller: &Poller, now: Instant) -> Option<Pending> {
        while let Some(index) = self.all.iter().position(|client| self.is_due(client, now)) {
            // To the end of the list, so that no client keeps the others waiting.
            let mut client = self.all.remove(index);
            let line = client.take_request();
            let (serial, uid) = (client.serial, client.uid);
            self.all.push(client);
            if let Some(line) = line {
                return Some((serial, uid, line));
            }
            self.settle(poller);
        }
        None
    }

    fn is_due(&self, client: &Client, now: Instant) -> bool {
        client.has_request() && self.shares.due_at(client.uid) <= now
    }

    /// When a pending request may be answered; [`None`] when there is none.
    pub fn due_at(&self) -> Option<Instant> {
        let pending = self.all.iter().filter(|client| client.has_request());
        pending.map(|client| self.shares.due_at(client.uid)).min()
    }

    /// Counts what a user's request took of the supervisor's time.
    pub fn charge(&mut self, uid: Option<u32>, cost: Duration, now: Instant) {
        self.shares.charge(uid, cost, now);
    }

    pub fn reply(&mut self, poller: &Poller, serial: u64, reply: &Reply, now: Instant) {
        if let Some(client) = self.find(serial) {
            client.send(reply, now);
        }
        self.settle(poller);
    }

    /// Makes a client a watcher: it gets a status at each [`Clients::show`] from now on, and is dropped
    /// like any other when it leaves one unread. Refused beyond [`MAX_WATCHERS`].
    pub fn watch(&mut self, poller: &Poller, serial: u64, now: Instant) {
        if self.all.iter().filter(|client| client.watches()).count() >= MAX_WATCHERS {
            let message = format!("{MAX_WATCHERS} clients watch already");
            self.reply(poller, serial, &error(ErrorCode::Unavailable, message), now);
        } else if let Some(client) = self.find(serial) {
            client.watch();
        }
    }

    /// Makes a client wait for a worker of this generation or a later one; it is answered until then
    /// by [`Clients::answer_waiting`]. Returns whether it may: beyond [`MAX_WAITING`] it is refused.
    pub fn wait(&mut self, poller: &Poller, serial: u64, wait: Wait, now: Instant) -> bool {
        if self.all.iter().filter(|client| client.waits().is_some()).count() >= MAX_WAITING {
            let message = format!("{MAX_WAITING} clients wait for a new worker already");
            self.reply(poller, serial, &error(ErrorCode::Unavailable, message), now);
            return false;
        }
        if let Some(client) = self.find(serial) {
            client.wait(wait);
        }
        true
    }

    /// Answers those who wait for this generation or an earlier one.
    pub fn answer_waiting(
        &mut self,
        poller: &Poller,
        generation: u64,
        outcome: &Result<(), String>,
        now: Instant,
    ) {
        for client in &mut self.all {
            let Some(wait) = client.waits().filter(|wait| wait.generation <= generation) else {
                continue;
            };
            let op = wait.op.to_owned();
            let reply = match outcome {
                Ok(()) => Reply::Replaced { format: FORMAT, op, generation },
                Err(reason) => error(ErrorCode::Failed, reason.as_str()),
            };
            client.send(&reply, now);
        }
        self.settle(poller);
    }

    /// Answers all who wait that there will be no worker.
    pub fn refuse_waiting(&mut self, poller: &Poller, reason: &str, now: Instant) {
        let reply = error(ErrorCode::Unavailable, reason);
        let waiting = self.all.iter_mut().filter(|client| client.waits().is_some());
        waiting.for_each(|client| client.send(&reply, now));
        self.settle(poller);
    }

    pub fn status_changed(&mut self) {
        self.all.iter_mut().for_each(Client::status_changed);
    }

    /// Whether a watcher can take a changed status.
    pub fn wants_status(&self) -> bool {
        self.all.iter().any(Client::wants_status)
    }

    /// Sends a status to each watcher that wants one. A slow one skips those in between.
    pub fn show(&mut self, poller: &Poller, status: &Status, now: Instant) {
        let reply = Reply::Status(status.clone());
        for client in self.all.iter_mut().filter(|client| client.wants_status()) {
            client.send(&reply, now);
        }
        self.settle(poller);
    }

    /// Drops clients that leave a reply unread, answers those that have waited for too long, and
    /// resumes accepting after a pause.
    pub fn expire(&mut self, poller: &Poller, now: Instant, last_error: Option<&str>) {
        self.all.retain(|client| client.ends_at().is_none_or(|end| now < end));
        for client in &mut self.all {
            if client.waits().is_some_and(|wait| wait.until <= now) {
                let last_error = last_error.map_or_else(String::new, |error| format!(": {error}"));
                let message = format!("no new worker became ready in time{last_error}");
                client.send(&error(ErrorCode::Unavailable, message), now);
            }
        }
        self.settle(poller);
        if self.paused_until.is_some_and(|until| until <= now) {
            match poller.change(&self.listener, Token::Listener, EventFlags::IN) {
                Ok(()) => self.paused_until = None,
                Err(error) => tracing::warn!(%error, "status listener cannot be watched"),
            }
        }
    }

    /// When [`Clients::expire`] has something to do.
    pub fn expires_at(&self) -> Option<Instant> {
        let waits = self.all.iter().filter_map(Client::waits).map(|wait| wait.until);
        let ends = self.all.iter().filter_map(Client::ends_at);
        waits.chain(ends).chain(self.paused_until).min()
    }

    fn pause(&mut self, poller: &Poller, now: Instant) {
        if poller.change(&self.listener, Token::Listener, EventFlags::empty()).is_ok() {
            self.paused_until = Some(now + ACCEPT_PAUSE);
        }
    }

    fn find(&mut self, serial: u64) -> Option<&mut Client> {
        self.all.iter_mut().find(|client| client.serial == serial)
    }

    /// Drops finished clients and updates the watched events of the others.
    fn settle(&mut self, poller: &Poller) {
        self.all.retain_mut(|client| !client.is_finished() && client.rearm(poller).is_ok());
    }

    /// Drops the client that has been quiet for longest and neither watches nor waits, of the user who
    /// has most: nobody's flood takes the place of another user.
    fn make_room(&mut self) {
        let quiet = || self.all.iter().enumerate().filter(|(_, client)| client.asks());
        let of = |uid| quiet().filter(|(_, client)| client.uid == uid).count();
        let greediest = quiet().map(|(_, client)| client.uid).max_by_key(|&uid| of(uid));
        let mine = quiet().filter(|(_, client)| Some(client.uid) == greediest);
        let quietest = mine.min_by_key(|(_, client)| client.last_active).map(|(index, _)| index);
        if let Some(index) = quietest {
            self.all.remove(index);
        }
    }
}

pub fn error(code: ErrorCode, message: impl Into<String>) -> Reply {
    Reply::Error { format: FORMAT, code, message: message.into() }
}

#[cfg(test)]
mod tests;

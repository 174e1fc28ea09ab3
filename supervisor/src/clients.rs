//! Clients of the status socket: their number, their requests and their buffers are bounded, and
//! none is ever waited for.
//!
//! A client's next request is parsed when its last reply is sent entirely, so that a client never
//! has more than one reply in memory. While a reply waits for its reader, nothing is read from that
//! client.

mod client;

use std::{
    os::{fd::OwnedFd, unix::net::UnixListener},
    time::Duration,
};

use evonic_shared::{
    peer::{is_command, limits_path},
    status::{ErrorCode, FORMAT, Reply, Request, Status},
};
use rustix::{
    io::Errno,
    net::{SocketFlags, sockopt},
};

pub(crate) use self::client::Client;
pub use self::client::Permission;
use crate::{
    policy::Instant,
    poller::{EventFlags, Poller, Token},
};

/// Clients at once. One more replaces the one that has been quiet for longest.
const MAX_CLIENTS: usize = 32;

const MAX_WATCHERS: usize = 16;

/// A client that leaves a reply unread for longer is dropped.
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
    next_serial: u64,
}

/// A client's serial number and permission, and its request or what refuses it.
pub type Pending = (u64, Permission, Result<Request, Reply>);

impl Clients {
    /// Without clients.
    ///
    /// # Errors
    /// The OS error when the listener cannot be watched.
    pub fn new(listener: UnixListener, poller: &Poller) -> std::io::Result<Self> {
        poller.watch(&listener, Token::Listener, EventFlags::IN)?;
        Ok(Self { listener, paused_until: None, all: Vec::new(), next_serial: 0 })
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
            if self.all.len() >= MAX_CLIENTS && !self.make_room() {
                return;
            }
            let permission = permission(&socket);
            let serial = self.next_serial;
            self.next_serial += 1;
            let client = Client::new(socket, serial, permission, now);
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

    /// The next pending request, or what refuses it, from each client in turn: with the client's
    /// serial number, for [`Clients::reply`].
    pub fn next_request(&mut self, poller: &Poller) -> Option<Pending> {
        while let Some(index) = self.all.iter().position(Client::has_request) {
            // To the end of the list, so that no client keeps the others waiting.
            let mut client = self.all.remove(index);
            let line = client.take_request();
            let (serial, permission) = (client.serial, client.permission);
            self.all.push(client);
            if let Some(line) = line {
                return Some((serial, permission, line));
            }
            self.settle(poller);
        }
        None
    }

    pub fn has_request(&self) -> bool {
        self.all.iter().any(Client::has_request)
    }

    pub fn reply(&mut self, poller: &Poller, serial: u64, reply: &Reply, now: Instant) {
        if let Some(client) = self.find(serial) {
            client.send(reply, now);
        }
        self.settle(poller);
    }

    /// Makes a client a watcher: it gets a status at each [`Clients::show`] from now on. Refused
    /// beyond [`MAX_WATCHERS`].
    pub fn watch(&mut self, poller: &Poller, serial: u64, now: Instant) {
        if self.all.iter().filter(|client| client.watches()).count() >= MAX_WATCHERS {
            let message = format!("{MAX_WATCHERS} clients watch already");
            self.reply(poller, serial, &error(ErrorCode::Unavailable, message), now);
        } else if let Some(client) = self.find(serial) {
            client.watch();
        }
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

    /// Drops clients that leave a reply unread, and resumes accepting after a pause.
    pub fn expire(&mut self, poller: &Poller, now: Instant) {
        self.all.retain(|client| !client.is_stuck(now, REPLY_TIMEOUT));
        if self.paused_until.is_some_and(|until| until <= now) {
            match poller.change(&self.listener, Token::Listener, EventFlags::IN) {
                Ok(()) => self.paused_until = None,
                Err(error) => tracing::warn!(%error, "status listener cannot be watched"),
            }
        }
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

    /// Drops the client that has been quiet for longest and does not watch.
    fn make_room(&mut self) -> bool {
        let quiet = self.all.iter().enumerate().filter(|(_, client)| !client.watches());
        let quietest = quiet.min_by_key(|(_, client)| client.last_active).map(|(index, _)| index);
        quietest.map(|index| self.all.remove(index)).is_some()
    }
}

/// Root and the service's user may command, but no command of an agent.
fn permission(socket: &OwnedFd) -> Permission {
    let Ok(peer) = sockopt::socket_peercred(socket) else { return Permission::Read };
    let ours = peer.uid == rustix::process::geteuid();
    let limits =
        || std::fs::read_to_string(limits_path(peer.pid.as_raw_nonzero().get().cast_unsigned()));
    if ours && is_command(&limits().unwrap_or_default()) {
        return Permission::Read;
    }
    match ours || peer.uid.is_root() {
        true => Permission::Command { uid: peer.uid.as_raw() },
        false => Permission::Read,
    }
}

pub fn error(code: ErrorCode, message: impl Into<String>) -> Reply {
    Reply::Error { format: FORMAT, code, message: message.into() }
}

#[cfg(test)]
mod tests;

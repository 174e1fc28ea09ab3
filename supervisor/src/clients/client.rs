//! One client of the status socket.

use std::{io, os::fd::OwnedFd, time::Duration};

use evonic_shared::status::{ErrorCode, MAX_REQUEST_BYTES, Reply, Request};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};

use crate::{
    policy::Instant,
    poller::{EventFlags, Poller, Token},
};

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// What is going on.
    Read,
    /// That something be done, too: root, and the service's user.
    Command {
        /// Which of them.
        uid: u32,
    },
}

/// What a client asked.
#[derive(Debug)]
pub enum Asked {
    Request(Request),
    /// Something that is none.
    Refused {
        code: ErrorCode,
        message: String,
    },
}

/// A connection: one descriptor.
#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
    serial: u64,
    permission: Permission,
    /// Not more than one line and one byte.
    input: Vec<u8>,
    /// The rest of the reply that is being sent.
    output: Vec<u8>,
    state: State,
    /// Its side will say nothing more.
    half_closed: bool,
    /// It asked something before, so that its half-close is no question.
    has_asked: bool,
    last_active: Instant,
    armed: EventFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It asks and is answered.
    Asking,
    /// It gets a status at each change; whether one is due.
    Watching { due: bool },
    /// To be closed when the output has left.
    Closing,
    /// To be dropped.
    Dead,
}

impl Client {
    pub(super) fn new(socket: OwnedFd, serial: u64, permission: Permission, now: Instant) -> Self {
        Self {
            socket,
            serial,
            permission,
            input: Vec::new(),
            output: Vec::new(),
            state: State::Asking,
            half_closed: false,
            has_asked: false,
            last_active: now,
            armed: EventFlags::IN,
        }
    }

    pub(super) fn register(&self, poller: &Poller) -> io::Result<()> {
        poller.watch(&self.socket, Token::Client(self.serial), self.armed)
    }

    /// Waits for what it can go on with: its own next words, or room for ours.
    pub(super) fn rearm(&mut self, poller: &Poller) -> io::Result<()> {
        let wanted = if !self.output.is_empty() {
            EventFlags::OUT
        } else if self.state == State::Asking && !self.half_closed && !self.can_be_asked() {
            EventFlags::IN
        } else {
            // Only its end, which is always told.
            EventFlags::empty()
        };
        if wanted != self.armed {
            poller.change(&self.socket, Token::Client(self.serial), wanted)?;
            self.armed = wanted;
        }
        Ok(())
    }

    pub(super) const fn serial(&self) -> u64 {
        self.serial
    }

    pub(super) const fn permission(&self) -> Permission {
        self.permission
    }

    pub(super) const fn last_active(&self) -> Instant {
        self.last_active
    }

    pub(super) const fn watches(&self) -> bool {
        matches!(self.state, State::Watching { .. })
    }

    pub(super) fn ready(&mut self, events: EventFlags, now: Instant) {
        if events.contains(EventFlags::OUT) {
            self.flush(now);
        }
        if events.contains(EventFlags::IN) {
            self.read(now);
        }
        // Both directions are closed. What it sent before is answered to nobody.
        if events.intersects(EventFlags::ERR | EventFlags::HUP) && !events.contains(EventFlags::IN)
        {
            self.state = State::Dead;
        }
    }

    /// Whether a whole line is there (or the client is done speaking), and its last reply left.
    pub(super) fn can_be_asked(&self) -> bool {
        self.state == State::Asking
            && self.output.is_empty()
            && (self.half_closed
                || self.input.contains(&b'\n')
                || self.input.len() > MAX_REQUEST_BYTES)
    }

    /// Takes the next line as a request. [`None`] for an empty line, and when the client is done.
    pub(super) fn take_request(&mut self) -> Option<Asked> {
        let line = match self.input.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                line
            }
            None if self.input.len() > MAX_REQUEST_BYTES => {
                self.state = State::Closing;
                self.input = Vec::new();
                return Some(Asked::Refused {
                    code: ErrorCode::TooLong,
                    message: format!("a request is at most {MAX_REQUEST_BYTES} bytes"),
                });
            }
            None => std::mem::take(&mut self.input),
        };
        if line.is_empty() {
            if !self.half_closed || !self.input.is_empty() {
                return None;
            }
            // Nothing more will come. One who never asked wants to know the status.
            self.state = State::Closing;
            return (!self.has_asked).then_some(Asked::Request(Request::Status));
        }
        self.has_asked = true;
        Some(match serde_json::from_slice(&line) {
            Ok(request) => Asked::Request(request),
            Err(error) => Asked::Refused {
                code: ErrorCode::Malformed,
                message: format!("the line is no request: {error}"),
            },
        })
    }

    /// Sends a reply, as much of it as the socket takes now.
    pub(super) fn send(&mut self, reply: &Reply, now: Instant) {
        if let State::Watching { due } = &mut self.state {
            *due = false;
        }
        match serde_json::to_vec(reply) {
            Ok(line) => self.output = line,
            Err(error) => {
                tracing::error!(%error, "reply cannot be encoded");
                self.state = State::Dead;
            }
        }
        self.output.push(b'\n');
        self.last_active = now;
        self.flush(now);
    }

    pub(super) fn watch(&mut self) {
        self.state = State::Watching { due: true };
    }

    pub(super) fn status_changed(&mut self) {
        if let State::Watching { due } = &mut self.state {
            *due = true;
        }
    }

    pub(super) fn wants_status(&self) -> bool {
        self.state == State::Watching { due: true } && self.output.is_empty()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state == State::Dead || (self.state == State::Closing && self.output.is_empty())
    }

    pub(super) fn is_stuck(&self, now: Instant, patience: Duration) -> bool {
        !self.output.is_empty() && now.saturating_sub(self.last_active) > patience
    }

    fn read(&mut self, now: Instant) {
        let mut chunk = [0; MAX_REQUEST_BYTES + 1];
        let room = chunk.len().saturating_sub(self.input.len());
        if room == 0 {
            return;
        }
        match rustix::net::recv(&self.socket, &mut chunk[..room], RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.half_closed = true,
            Ok((length, _)) => {
                self.input.extend_from_slice(&chunk[..length]);
                self.last_active = now;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.state = State::Dead,
        }
    }

    fn flush(&mut self, now: Instant) {
        while !self.output.is_empty() {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, &self.output, flags) {
                Ok(length) => {
                    self.output.drain(..length);
                    self.last_active = now;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.state = State::Dead;
                    return;
                }
            }
        }
        self.output = Vec::new();
        if self.state == State::Closing {
            self.discard();
        }
    }

    /// Reads away what was said too much: a Unix socket that is closed with unread words resets
    /// its peer, who might lose our last ones. Bounded: who says megabytes is reset.
    fn discard(&self) {
        let mut chunk = [0; MAX_REQUEST_BYTES];
        for _ in 0..16 {
            match rustix::net::recv(&self.socket, &mut chunk, RecvFlags::DONTWAIT) {
                Ok((length, _)) if length > 0 => {}
                _ => return,
            }
        }
    }
}

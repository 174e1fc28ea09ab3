//! One client of the status socket.

use std::{io, os::fd::OwnedFd};

use evonic_shared::status::{ErrorCode, MAX_REQUEST_BYTES, Reply, Request, RequestLine};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, sockopt},
};

use super::{REPLY_TIMEOUT, error};
use crate::{
    policy::Instant,
    poller::{EventFlags, Poller, Token},
};

/// A connection: one descriptor.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    pub(super) serial: u64,
    /// As the kernel tells; [`None`] when it does not.
    pub(super) uid: Option<u32>,
    /// At most one line and one byte.
    input: Vec<u8>,
    /// The unsent rest of the reply.
    output: Vec<u8>,
    state: State,
    /// It will send nothing more.
    half_closed: bool,
    /// It sent a request before, so that its half-close is none.
    has_asked: bool,
    pub(super) last_active: Instant,
    /// When the reply in `output` was given.
    replied_at: Instant,
    armed: EventFlags,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// `restart` or `reload`.
    pub(crate) op: &'static str,
    /// A worker of this generation or a later one.
    pub(crate) generation: u64,
    /// When it is told that there is none.
    pub(crate) until: Instant,
}

/// What a watcher may leave unread before that is noticed, in bytes: the least that the kernel allows.
/// With its usual 200 kB a reader that reads nothing looks like one that does for minutes.
const WATCHER_BUFFER: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asking,
    /// It gets a status at each change; `due` when one has changed.
    Watching {
        due: bool,
    },
    /// Its reply is the outcome of a replacement.
    Waiting(Wait),
    /// To be dropped when the output is sent.
    Closing,
    Dead,
}

impl Client {
    pub(crate) fn new(socket: OwnedFd, serial: u64, uid: Option<u32>, now: Instant) -> Self {
        Self {
            socket,
            serial,
            uid,
            input: Vec::new(),
            output: Vec::new(),
            state: State::Asking,
            half_closed: false,
            has_asked: false,
            last_active: now,
            replied_at: now,
            armed: EventFlags::IN,
        }
    }

    pub(crate) fn register(&self, poller: &Poller) -> io::Result<()> {
        poller.watch(&self.socket, Token::Client(self.serial), self.armed)
    }

    /// Watches for room for the output, or for the next request.
    pub(crate) fn rearm(&mut self, poller: &Poller) -> io::Result<()> {
        let wanted = if !self.output.is_empty() {
            EventFlags::OUT
        } else if self.state == State::Asking && !self.half_closed && !self.has_request() {
            EventFlags::IN
        } else {
            // Only its hang-up, which epoll always reports.
            EventFlags::empty()
        };
        if wanted != self.armed {
            poller.change(&self.socket, Token::Client(self.serial), wanted)?;
            self.armed = wanted;
        }
        Ok(())
    }

    pub(crate) const fn watches(&self) -> bool {
        matches!(self.state, State::Watching { .. })
    }

    pub(crate) const fn waits(&self) -> Option<Wait> {
        match self.state {
            State::Waiting(wait) => Some(wait),
            _ => None,
        }
    }

    /// Whether it neither watches nor waits.
    pub(crate) const fn asks(&self) -> bool {
        !self.watches() && self.waits().is_none()
    }

    pub(crate) fn ready(&mut self, events: EventFlags, now: Instant) {
        if events.contains(EventFlags::OUT) {
            self.flush(now);
        }
        if events.contains(EventFlags::IN) {
            self.read(now);
        }
        // Both directions are closed: no reply would be read.
        if events.intersects(EventFlags::ERR | EventFlags::HUP) && !events.contains(EventFlags::IN)
        {
            self.state = State::Dead;
        }
    }

    /// Whether a whole line is there (or the client sends no more), and its last reply is sent.
    pub(crate) fn has_request(&self) -> bool {
        self.state == State::Asking
            && self.output.is_empty()
            && (self.half_closed
                || self.input.contains(&b'\n')
                || self.input.len() > MAX_REQUEST_BYTES)
    }

    /// Takes the next line: a request, or the reply that refuses it. [`None`] for an empty line, and when there is no more.
    pub(crate) fn take_request(&mut self) -> Option<Result<RequestLine, Reply>> {
        let line = match self.input.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                line
            }
            None if self.input.len() > MAX_REQUEST_BYTES => {
                self.state = State::Closing;
                self.input = Vec::new();
                let message = format!("a request is at most {MAX_REQUEST_BYTES} bytes");
                return Some(Err(error(ErrorCode::TooLong, message)));
            }
            None => std::mem::take(&mut self.input),
        };
        if line.is_empty() {
            if !self.half_closed || !self.input.is_empty() {
                return None;
            }
            // A client that half-closes without a request gets the status.
            self.state = State::Closing;
            return (!self.has_asked)
                .then_some(Ok(RequestLine { request: Request::Status, token: None }));
        }
        self.has_asked = true;
        let refuse = |problem: serde_json::Error| {
            error(ErrorCode::Malformed, format!("the line is no request: {problem}"))
        };
        Some(RequestLine::decode(&line).map_err(refuse))
    }

    /// Sends as much of a reply as the socket takes now.
    pub(crate) fn send(&mut self, reply: &Reply, now: Instant) {
        match &mut self.state {
            State::Watching { due } => *due = false,
            State::Waiting(_) => self.state = State::Asking,
            State::Asking | State::Closing | State::Dead => {}
        }
        match serde_json::to_vec(reply) {
            Ok(line) => self.output = line,
            Err(error) => {
                tracing::error!(%error, "reply cannot be encoded");
                self.state = State::Dead;
            }
        }
        self.output.push(b'\n');
        (self.last_active, self.replied_at) = (now, now);
        self.flush(now);
    }

    pub(crate) fn wait(&mut self, wait: Wait) {
        self.state = State::Waiting(wait);
    }

    pub(crate) fn watch(&mut self) {
        if let Err(error) = sockopt::set_socket_send_buffer_size(&self.socket, WATCHER_BUFFER) {
            tracing::debug!(%error, "a watcher's buffer stays long");
        }
        self.state = State::Watching { due: true };
    }

    pub(crate) fn status_changed(&mut self) {
        if let State::Watching { due } = &mut self.state {
            *due = true;
        }
    }

    pub(crate) fn wants_status(&self) -> bool {
        self.state == State::Watching { due: true } && self.output.is_empty()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Dead || (self.state == State::Closing && self.output.is_empty())
    }

    /// When it is dropped because its reply is unread by then.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        (!self.output.is_empty()).then(|| self.replied_at + REPLY_TIMEOUT)
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

    /// Discards input that is too long: a Unix socket that is closed with unread input resets its
    /// peer, which could lose the last reply. Bounded: a client that sends megabytes is reset.
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

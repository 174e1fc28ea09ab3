//! One channel on the driver's thread: what it does next, and what it must repeat.
//!
//! ```text
//! Starting -> Working --eof--> Ended --remote close--> end sent
//!     |          |                                        |
//!     +----------+--- abandoned ---> Closing <------------+ --remote close--> freed
//! ```
//! libssh2 sends through one buffer a session: what could not be sent whole must be repeated, with
//! the same arguments, before anything else is sent. So each step ends with an [`Outcome`], and the
//! driver repeats a [`Outcome::Stuck`] one first; `stuck` remembers which operation that was.

use std::{
    io::{self, Read, Write},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use ssh2::{BlockDirections, ErrorCode, Session};
use tokio::sync::oneshot;

use super::delivery::Delivery;
use crate::channel::{ChannelEnd, ChannelError, ChannelRequest, ChannelState, NextInput, Startup};
use evonic_backend::spool::ScriptEnd;

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Something was done: there may be more.
    Done,
    /// Nothing to do before the next event.
    Waiting,
    /// Something is half sent.
    Stuck,
    /// It is over: nothing is left of it.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Working,
    Ended,
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Write,
    SendEof,
    Read,
    ReadError,
}

/// A channel that is open.
pub(super) struct RunningChannel {
    channel: ssh2::Channel,
    startup: Startup,
    shared: Arc<ChannelState>,
    delivery: Delivery,
    end: Option<oneshot::Sender<ChannelEnd>>,
    /// How it ended; told when it is closed.
    ended: Option<ChannelEnd>,
    state: State,
    /// When this state began.
    since: Instant,
    stuck: Option<Operation>,
    /// What is being sent, and how much of it was.
    input: Bytes,
    eof_sent: bool,
}

/// `LIBSSH2_ERROR_EAGAIN`: nothing can be done now.
pub(super) const AGAIN: ErrorCode = ErrorCode::Session(-37);

/// What an operation that could not be done now means for the others.
pub(super) fn again(session: &Session) -> Outcome {
    match session.block_directions() {
        BlockDirections::Outbound | BlockDirections::Both => Outcome::Stuck,
        BlockDirections::None | BlockDirections::Inbound => Outcome::Waiting,
    }
}

impl RunningChannel {
    /// A channel that was just opened.
    pub(super) fn new(channel: ssh2::Channel, request: ChannelRequest) -> Self {
        let ChannelRequest { startup, state: shared, output, end } = request;
        Self {
            channel,
            startup,
            shared: Arc::clone(&shared),
            delivery: Delivery::new(shared, output),
            end: Some(end),
            ended: None,
            state: State::Starting,
            since: Instant::now(),
            stuck: None,
            input: Bytes::new(),
            eof_sent: false,
        }
    }

    /// Does what can be done now. The server may take `limit` to start what was asked for.
    ///
    /// # Errors
    /// The session's, when it broke.
    pub(super) fn step(
        &mut self,
        session: &Session,
        limit: Duration,
        buffer: &mut [u8],
    ) -> Result<Outcome, ssh2::Error> {
        let is_late = self.state == State::Starting && self.since.elapsed() >= limit;
        if is_late && self.stuck.is_none() {
            let said = format!("the server does not start it within {} s", limit.as_secs());
            self.close(Some(Err(ChannelError::Broken(said))));
        }
        let abandoned = self.shared.abandoned.load(Ordering::Acquire);
        if abandoned && self.state != State::Closing && self.stuck.is_none() {
            self.close(None);
        }
        match self.state {
            State::Starting => self.start(session),
            State::Working => self.work(session, buffer),
            State::Ended => self.wait(session),
            State::Closing => match self.channel.close() {
                Ok(()) => {
                    self.tell();
                    Ok(Outcome::Over)
                }
                Err(error) if error.code() == AGAIN => Ok(again(session)),
                Err(error) => Err(error),
            },
        }
    }

    /// Whether it can do more without the socket: another channel's step may have read what belongs
    /// to this one.
    pub(super) fn has_more(&self) -> bool {
        match self.state {
            State::Working => {
                let writable = !self.input.is_empty() && self.channel.write_window().remaining > 0;
                let readable = !self.delivery.is_held()
                    && (self.channel.read_window().available > 0 || self.channel.eof());
                writable || readable
            }
            State::Starting | State::Ended | State::Closing => false,
        }
    }

    /// Whether the server does not close it for its part, long after it was closed here.
    pub(super) fn lingers(&self) -> bool {
        self.state == State::Closing && self.since.elapsed() >= LINGERS
    }

    /// How long the server may take to start it, if that is what it waits for.
    pub(super) fn due(&self, limit: Duration) -> Option<Duration> {
        (self.state == State::Starting).then(|| limit.saturating_sub(self.since.elapsed()))
    }

    /// Whether it waits for an answer of which [`RunningChannel::has_more`] knows nothing.
    pub(super) fn is_between(&self) -> bool {
        self.state != State::Working
    }

    fn start(&mut self, session: &Session) -> Result<Outcome, ssh2::Error> {
        let started = match &self.startup {
            Startup::Exec(command) => self.channel.exec(command),
            Startup::Sftp => self.channel.subsystem("sftp"),
        };
        match started {
            Ok(()) => {
                self.state = State::Working;
                self.stuck = None;
                Ok(Outcome::Done)
            }
            Err(error) if error.code() == AGAIN => {
                let outcome = again(session);
                self.stuck = (outcome == Outcome::Stuck).then_some(Operation::Write);
                Ok(outcome)
            }
            Err(error) if is_of_channel(&error) => {
                self.close(Some(Err(ChannelError::Refused(error.message().to_owned()))));
                Ok(Outcome::Done)
            }
            Err(error) => Err(error),
        }
    }

    fn work(&mut self, session: &Session, buffer: &mut [u8]) -> Result<Outcome, ssh2::Error> {
        let mut done = false;
        for operation in
            [Operation::Write, Operation::SendEof, Operation::Read, Operation::ReadError]
        {
            if self.stuck.is_some_and(|stuck| stuck != operation) {
                continue;
            }
            self.stuck = None;
            match self.operate(operation, buffer) {
                Ok(any) => done |= any,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if again(session) == Outcome::Stuck {
                        self.stuck = Some(operation);
                        return Ok(Outcome::Stuck);
                    }
                }
                Err(error) => return self.broke(session, &error),
            }
            if self.state != State::Working {
                return Ok(Outcome::Done);
            }
        }
        if !self.delivery.is_held() && self.channel.eof() {
            self.state = State::Ended;
            done = true;
        }
        Ok(if done { Outcome::Done } else { Outcome::Waiting })
    }

    /// Does one operation as often as it goes. Returns whether anything was done.
    fn operate(&mut self, operation: Operation, buffer: &mut [u8]) -> io::Result<bool> {
        match operation {
            Operation::Write => self.write(),
            Operation::SendEof => self.send_eof(),
            Operation::Read => self.read(0, buffer),
            Operation::ReadError => self.read(1, buffer),
        }
    }

    fn write(&mut self) -> io::Result<bool> {
        let mut any = false;
        // A bound: other channels want to send too.
        for _ in 0..MAX_REPEATS {
            if self.input.is_empty() {
                let NextInput::Data(bytes) = self.shared.next_input() else { break };
                self.input = bytes;
                continue;
            }
            let written = self.channel.write(&self.input)?;
            self.input.advance(written);
            any = true;
        }
        Ok(any)
    }

    fn send_eof(&mut self) -> io::Result<bool> {
        if self.eof_sent || !self.input.is_empty() {
            return Ok(false);
        }
        match self.shared.next_input() {
            NextInput::Data(bytes) => self.input = bytes,
            NextInput::Pending => return Ok(false),
            NextInput::Eof => {
                self.channel.send_eof().map_err(io::Error::from)?;
                self.eof_sent = true;
            }
        }
        Ok(true)
    }

    fn read(&mut self, stream: i32, buffer: &mut [u8]) -> io::Result<bool> {
        let mut any = false;
        for _ in 0..MAX_REPEATS {
            if !self.delivery.make_room() {
                break;
            }
            let read = self.channel.stream(stream).read(buffer)?;
            if read == 0 {
                break;
            }
            if let Err(problem) = self.delivery.deliver(stream, &buffer[..read]) {
                self.close(Some(Err(ChannelError::Broken(problem))));
            }
            any = true;
            if self.state != State::Working {
                break;
            }
        }
        Ok(any)
    }

    /// After the end of its output: its exit status has come when the server closes it.
    fn wait(&mut self, session: &Session) -> Result<Outcome, ssh2::Error> {
        match self.channel.wait_close() {
            Ok(()) => {
                let end = self.exit();
                self.close(Some(Ok(end)));
                Ok(Outcome::Done)
            }
            Err(error) if error.code() == AGAIN => Ok(again(session)),
            Err(error) => Err(error),
        }
    }

    /// A command that a signal ended has no exit status: libssh2 returns 0 then.
    fn exit(&self) -> ScriptEnd {
        match self.channel.exit_signal() {
            Ok(signal) if signal.exit_signal.is_some() => ScriptEnd::Killed,
            _ => self.channel.exit_status().map_or(ScriptEnd::Killed, ScriptEnd::Exited),
        }
    }

    fn broke(&mut self, session: &Session, error: &io::Error) -> Result<Outcome, ssh2::Error> {
        match ssh2::Error::last_session_error(session) {
            Some(error) if !is_of_channel(&error) => Err(error),
            _ => {
                self.close(Some(Err(ChannelError::Broken(error.to_string()))));
                Ok(Outcome::Done)
            }
        }
    }

    /// Closes it, and reports its end: at once when it failed, else when the server knows that it is
    /// closed. The server counts it until then (`MaxSessions`).
    fn close(&mut self, end: Option<ChannelEnd>) {
        (self.state, self.since) = (State::Closing, Instant::now());
        self.delivery.close(match &end {
            Some(Err(ChannelError::Refused(reason) | ChannelError::Broken(reason))) => reason,
            _ => "the server ended it",
        });
        let is_failure = end.as_ref().is_some_and(Result::is_err);
        self.ended = end;
        if is_failure {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if let Some(end) = self.ended.take()
            && let Some(sender) = self.end.take()
        {
            // Its user may be gone.
            let _gone = sender.send(end);
        }
    }

    /// The connection is over.
    pub(super) fn connection_over(&mut self, reason: &str) {
        self.delivery.close(reason);
        self.tell();
    }
}

/// How long a server may take to close what is closed here.
const LINGERS: Duration = Duration::from_secs(10);

/// Operations of one kind in a row.
const MAX_REPEATS: usize = 64;

/// Whether an error is one channel's, and the session still works.
fn is_of_channel(error: &ssh2::Error) -> bool {
    // LIBSSH2_ERROR_CHANNEL_*: out of order, failure, request denied, unknown, window or packet
    // exceeded, closed, end of file sent.
    matches!(error.code(), ErrorCode::Session(-27..=-20))
}

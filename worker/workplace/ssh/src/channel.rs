//! A channel of type `session` (RFC 4254, 6), as its user and the driver of the connection share
//! it.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicBool},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use evonic_backend::spool::{ScriptEnd, ScriptOutput};

/// What is started in a channel.
#[derive(Clone, Debug)]
pub(super) enum Startup {
    /// A command line for the login shell.
    Exec(String),
    /// The subsystem `sftp`.
    Sftp,
}

/// Takes a channel's data on the driver's thread. Never waits.
pub(super) trait DataSink: Send {
    /// The next bytes.
    ///
    /// # Errors
    /// What is wrong with them; the channel is closed then.
    fn data(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// The next bytes of standard error.
    fn complaint(&mut self, bytes: &[u8]);

    /// The channel is closed.
    fn closed(&mut self, reason: &str);
}

/// Where a channel's output goes.
pub(super) enum Output {
    /// To a reader that may be slow.
    Queue(mpsc::Sender<ScriptOutput>),
    /// To this.
    Sink(Box<dyn DataSink>),
}

/// What the user and the driver share.
#[derive(Debug, Default)]
pub(super) struct ChannelState {
    input: Mutex<Input>,
    /// Set by the driver: the reader is slow, and wakes it when there is room.
    pub(super) stalled: AtomicBool,
    /// Set by the user: the channel is not wanted any more.
    pub(super) abandoned: AtomicBool,
}

#[derive(Debug, Default)]
struct Input {
    queue: VecDeque<Bytes>,
    eof: bool,
}

/// The next input of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NextInput {
    Data(Bytes),
    /// None yet.
    Pending,
    /// No more.
    Eof,
}

impl ChannelState {
    pub(super) fn send(&self, bytes: Bytes) {
        self.input.lock().queue.push_back(bytes);
    }

    pub(super) fn send_eof(&self) {
        self.input.lock().eof = true;
    }

    /// Takes the next input.
    pub(super) fn next_input(&self) -> NextInput {
        let mut input = self.input.lock();
        match input.queue.pop_front() {
            Some(bytes) => NextInput::Data(bytes),
            None if input.eof => NextInput::Eof,
            None => NextInput::Pending,
        }
    }
}

/// A channel to be opened, as it is handed to the driver.
pub(super) struct ChannelRequest {
    pub(super) startup: Startup,
    pub(super) state: Arc<ChannelState>,
    pub(super) output: Output,
    /// Dropped without an answer when the connection broke.
    pub(super) end: oneshot::Sender<ChannelEnd>,
}

/// How a channel ended.
pub(super) type ChannelEnd = Result<ScriptEnd, ChannelError>;

/// Why a channel was not opened, or broke while its connection did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChannelError {
    /// The server lets the connection have no more channels.
    Full,
    /// The server refuses the request.
    Refused(String),
    Broken(String),
}

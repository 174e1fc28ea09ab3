//! A channel, for its user.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{
    channel::{ChannelEnd, ChannelRequest, ChannelState, DataSink, Output, Startup},
    connection::{ChannelSlot, Connection},
};
use evonic_backend::{Result, Stage, spool::ScriptOutput};

/// Pieces of output that wait for their reader; then the host is made to wait.
const QUEUED_PIECES: usize = 16;

/// An open channel. Dropping it closes the channel, and waits for nothing.
#[derive(Debug)]
pub(super) struct Stream {
    writer: ChannelWriter,
    output: Option<mpsc::Receiver<ScriptOutput>>,
    end: oneshot::Receiver<ChannelEnd>,
    slot: ChannelSlot,
}

/// Sends data into a channel.
#[derive(Clone, Debug)]
pub(super) struct ChannelWriter {
    state: Arc<ChannelState>,
    connection: Arc<Connection>,
}

impl ChannelWriter {
    /// Of a channel that is opened later, in this slot.
    pub(super) fn new(slot: &ChannelSlot) -> Self {
        Self { state: Arc::default(), connection: Arc::clone(slot.connection()) }
    }

    /// Sends bytes, soon. Does not wait: the sender bounds what is under way.
    pub(super) fn send(&self, bytes: Bytes) {
        self.state.send(bytes);
        self.connection.wake();
    }

    /// Nothing more is sent.
    fn send_eof(&self) {
        self.state.send_eof();
        self.connection.wake();
    }
}

impl Stream {
    /// Runs a command line, whose output [`Stream::next`] reads.
    pub(super) fn exec(slot: ChannelSlot, command: String, input: Bytes) -> Self {
        let (sender, output) = mpsc::channel(QUEUED_PIECES);
        let writer = ChannelWriter::new(&slot);
        if !input.is_empty() {
            writer.send(input);
        }
        writer.send_eof();
        Self::open(slot, writer, Startup::Exec(command), Output::Queue(sender), Some(output))
    }

    /// Starts the subsystem `sftp`.
    pub(super) fn sftp(slot: ChannelSlot, writer: ChannelWriter, sink: Box<dyn DataSink>) -> Self {
        Self::open(slot, writer, Startup::Sftp, Output::Sink(sink), None)
    }

    fn open(
        slot: ChannelSlot,
        writer: ChannelWriter,
        startup: Startup,
        to: Output,
        output: Option<mpsc::Receiver<ScriptOutput>>,
    ) -> Self {
        let (sender, end) = oneshot::channel();
        let state = Arc::clone(&writer.state);
        slot.connection().open(ChannelRequest { startup, state, output: to, end: sender });
        Self { writer, output, end, slot }
    }

    /// The next output; [`None`] at its end. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<ScriptOutput> {
        let said = self.output.as_mut()?.recv().await;
        if self.writer.state.stalled.swap(false, Ordering::AcqRel) {
            self.writer.connection.wake();
        }
        said
    }

    /// How it ended, once all of its output was read.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError::Unreachable`] when the connection broke.
    pub(super) async fn end(&mut self) -> Result<ChannelEnd> {
        let connection = self.slot.connection();
        let broke = |_| match connection.has_ended_early() {
            true => connection.unreachable(Stage::Session, ENDED_EARLY),
            false => connection.unreachable(Stage::Script, "the connection broke"),
        };
        (&mut self.end).await.map_err(broke)
    }

    /// The connection that it is on.
    pub(super) const fn connection(&self) -> &Arc<Connection> {
        self.slot.connection()
    }

    /// See [`ChannelSlot::set_idle`].
    pub(super) fn set_idle(&self) {
        self.slot.set_idle();
    }

    pub(super) const fn writer(&self) -> &ChannelWriter {
        &self.writer
    }

    pub(super) fn is_over(&self) -> bool {
        self.slot.connection().is_over() || !self.end.is_empty() || self.end.is_terminated()
    }
}

/// What a connection's end means that came after the login, and before anything else.
pub(super) const ENDED_EARLY: &str = "the login is good, and the server ends the connection after \
    it; its log says why: a ChrootDirectory, and each folder above it, must belong to root and be \
    writable for nobody else";

impl Drop for Stream {
    fn drop(&mut self) {
        self.writer.state.abandoned.store(true, Ordering::Release);
        self.writer.connection.wake();
    }
}

//! A channel, as its user and the connection's thread share it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::{ChannelSlot, Link, Startup};
use evonic_backend::{
    Stage, WorkplaceError,
    spool::{ScriptEnd, ScriptOutput},
};

/// Pieces of output that wait for their reader; then the host is told to wait.
const PIECES: usize = 16;

/// Takes what a channel says, on the connection's thread. Never waits.
pub(crate) trait Frames: Send {
    /// The next bytes.
    ///
    /// # Errors
    /// What is wrong with them; the channel is closed then.
    fn take(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// The channel is over.
    fn over(&mut self, reason: &str);
}

/// What both sides see.
#[derive(Debug, Default)]
pub(super) struct Shared {
    input: Mutex<Input>,
    /// Set by the thread: the reader is slow, and rings when there is room.
    pub(super) stalled: AtomicBool,
    /// Set by the user: nobody wants it any more.
    pub(super) gone: AtomicBool,
}

#[derive(Debug, Default)]
struct Input {
    queue: VecDeque<Bytes>,
    ended: bool,
}

impl Shared {
    /// The next input; [`Err`] with whether more may come.
    pub(super) fn input(&self) -> Result<Bytes, bool> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.queue.pop_front().ok_or(!input.ended)
    }
}

/// Where a channel's output goes.
pub(super) enum Sink {
    /// To a reader that may be slow.
    Said(mpsc::Sender<ScriptOutput>),
    /// Standard output to this; standard error is thrown away.
    Frames(Box<dyn Frames>),
}

/// A channel to be opened, as it is handed to the thread.
pub(super) struct Channel {
    pub(super) startup: Startup,
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Sink,
    /// Dropped unanswered when the connection broke.
    pub(super) end: oneshot::Sender<Result<ScriptEnd, ChannelError>>,
}

/// Why a channel was not opened, or broke while its connection did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChannelError {
    /// The server lets the connection have no more channels.
    Full,
    /// The server does not do what is asked.
    Refused(String),
    /// It broke.
    Broken(String),
}

/// A channel, for its user. Dropping it closes the channel, and waits for nothing.
#[derive(Debug)]
pub(crate) struct Stream {
    inlet: Inlet,
    said: Option<mpsc::Receiver<ScriptOutput>>,
    end: oneshot::Receiver<Result<ScriptEnd, ChannelError>>,
    place: ChannelSlot,
}

/// The way into a channel.
#[derive(Clone, Debug)]
pub(crate) struct Inlet {
    shared: Arc<Shared>,
    link: Arc<Link>,
}

impl Inlet {
    /// A way that leads nowhere yet.
    pub(crate) fn new(place: &ChannelSlot) -> Self {
        Self { shared: Arc::default(), link: Arc::clone(place.link()) }
    }

    /// Sends bytes, soon. Does not wait: the sender bounds how many are under way.
    pub(crate) fn send(&self, bytes: Bytes) {
        let mut input = self.shared.input.lock().unwrap_or_else(PoisonError::into_inner);
        input.queue.push_back(bytes);
        drop(input);
        self.link.bell.ring();
    }

    /// Nothing more is sent.
    pub(crate) fn end(&self) {
        self.shared.input.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.link.bell.ring();
    }

    /// The connection.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Stream {
    /// Opens a channel whose output is read by [`Stream::next`].
    pub(crate) fn exec(place: ChannelSlot, command: String, input: Bytes) -> Self {
        let (sender, said) = mpsc::channel(PIECES);
        let inlet = Inlet::new(&place);
        if !input.is_empty() {
            inlet.send(input);
        }
        inlet.end();
        Self::open(place, inlet, Startup::Exec(command), Sink::Said(sender), Some(said))
    }

    /// Opens a channel of SFTP.
    pub(crate) fn sftp(place: ChannelSlot, inlet: Inlet, frames: Box<dyn Frames>) -> Self {
        Self::open(place, inlet, Startup::Sftp, Sink::Frames(frames), None)
    }

    fn open(
        place: ChannelSlot,
        inlet: Inlet,
        startup: Startup,
        sink: Sink,
        said: Option<mpsc::Receiver<ScriptOutput>>,
    ) -> Self {
        let (sender, end) = oneshot::channel();
        let shared = Arc::clone(&inlet.shared);
        place.link().order(Channel { startup, shared, sink, end: sender });
        Self { inlet, said, end, place }
    }

    /// The next output; [`None`] at its end. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<ScriptOutput> {
        let said = self.said.as_mut()?.recv().await;
        if self.inlet.shared.stalled.swap(false, Ordering::AcqRel) {
            self.place.link().bell.ring();
        }
        said
    }

    /// How it ended, once all of its output was read.
    ///
    /// # Errors
    /// [`ChannelError`] of a channel; [`WorkplaceError::Unreachable`] when the connection broke.
    pub(crate) async fn end(&mut self) -> Result<Result<ScriptEnd, ChannelError>, WorkplaceError> {
        let broke = |_| self.place.link().broke(Stage::Script, "the connection broke");
        (&mut self.end).await.map_err(broke)
    }

    /// See [`ChannelSlot::rests`].
    pub(crate) fn rests(&mut self) {
        self.place.rests();
    }

    /// Whether it is over.
    pub(crate) fn is_over(&self) -> bool {
        self.place.link().is_over() || !self.end.is_empty() || self.end.is_terminated()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.inlet.shared.gone.store(true, Ordering::Release);
        self.inlet.link.bell.ring();
    }
}

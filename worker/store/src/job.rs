//! What the writer is asked, and whoever waits for the answer.

use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{Reader, StoreError, Writer, pool::guarded};
use evonic_handles::Permit;

/// What the writer is asked.
pub(super) enum Job {
    /// To write.
    Write(Box<dyn Work>),
    /// To read, where no other handle can.
    Read(Box<dyn ReadWork>),
    /// To answer, after a read.
    Ping(ReplySlot<()>),
    /// Whether another process wrote.
    PollForeignCommits(ReplySlot<bool>),
    /// To reopen its handle when it is quiet.
    ReleaseParked,
    /// To end.
    Close,
}

/// Whoever waits for an answer, and the place in the queue that is taken until then. A question
/// that costs no write takes none.
pub(super) struct ReplySlot<T> {
    answer: oneshot::Sender<Result<T, StoreError>>,
    asked: Instant,
    _place: Option<OwnedSemaphorePermit>,
}

impl<T> ReplySlot<T> {
    /// One who waits.
    pub(super) const fn new(
        answer: oneshot::Sender<Result<T, StoreError>>,
        asked: Instant,
        place: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { answer, asked, _place: place }
    }

    /// Answers, and gives the place back.
    pub(super) fn answer(self, result: Result<T, StoreError>) {
        // Fails only when the caller has gone.
        let _ = self.answer.send(result);
    }
}

/// A closure of [`super::Store::write`] and whoever waits for it.
pub(super) trait Work: Send {
    /// Runs the closure. Its result waits for [`Work::answer`]. Does not unwind.
    fn run(&mut self, writer: &mut Writer<'_>);

    /// When its caller asked.
    fn asked(&self) -> Instant;

    /// The error that the closure returned, if it ran and did.
    fn error(&self) -> Option<&StoreError>;

    /// Answers: with the closure's result, or with the failure of the transaction.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

/// See [`Work`].
pub(super) struct Call<T, F> {
    closure: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: ReplySlot<T>,
}

impl<T, F> Call<T, F> {
    /// A call that has not run yet.
    pub(super) const fn new(closure: F, reply: ReplySlot<T>) -> Self {
        Self { closure: Some(closure), result: None, reply }
    }
}

impl<T, F> Work for Call<T, F>
where
    T: Send,
    F: FnOnce(&mut Writer<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, writer: &mut Writer<'_>) {
        if let Some(closure) = self.closure.take() {
            self.result = Some(guarded(|| closure(writer)));
        }
    }

    fn asked(&self) -> Instant {
        self.reply.asked
    }

    fn error(&self) -> Option<&StoreError> {
        self.result.as_ref().and_then(|result| result.as_ref().err())
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let result = match (self.result, failure) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(failure)) => Err(failure.shared()),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(StoreError::Closed),
        };
        self.reply.answer(result);
    }
}

/// A closure of [`super::Store::read`] and whoever waits for it.
pub(super) trait ReadWork: Send {
    /// Runs the closure on this handle and answers. Does not unwind.
    fn run(self: Box<Self>, handle: Result<&Connection, StoreError>);
}

/// See [`ReadWork`]. Holds the caller's permit, so that no more wait than may read.
pub(super) struct ReadCall<T, F> {
    pub(super) closure: F,
    pub(super) answer: oneshot::Sender<Result<T, StoreError>>,
    pub(super) permit: Permit,
}

impl<T, F> ReadWork for ReadCall<T, F>
where
    T: Send,
    F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send,
{
    fn run(self: Box<Self>, handle: Result<&Connection, StoreError>) {
        let Self { closure, answer, permit } = *self;
        // The caller has gone.
        if answer.is_closed() {
            return;
        }
        let read = handle.and_then(|handle| guarded(|| closure(&Reader::new(handle))));
        // Before the answer: whoever gets it may read again at once.
        drop(permit);
        let _ = answer.send(read);
    }
}

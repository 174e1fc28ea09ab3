//! What the writer is asked, and whoever waits for the answer.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{StoreError, Writer, pool::guarded};

/// What the writer is asked.
pub(super) enum Job {
    /// To write.
    Write(Box<dyn Work>),
    /// To answer, after a read.
    Ping(ReplySlot<()>),
    /// Whether another process wrote.
    PollForeignCommits(ReplySlot<bool>),
    /// To reopen its handle when it is quiet.
    ReleaseParked,
    /// To end.
    Close,
}

/// Whoever waits for an answer, and the place in the queue that is taken until then.
pub(super) struct ReplySlot<T> {
    answer: oneshot::Sender<Result<T, StoreError>>,
    _place: OwnedSemaphorePermit,
}

impl<T> ReplySlot<T> {
    /// One who waits.
    pub(super) const fn new(
        answer: oneshot::Sender<Result<T, StoreError>>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { answer, _place: place }
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

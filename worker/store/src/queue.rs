//! The bounded way to the writer's thread.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    StoreError,
    commit::WriteLoop,
    job::{Job, ReplySlot},
    pool::{join, spawn},
};

/// The queue holds so many full batches.
const BATCHES: u32 = 4;

/// A full queue drains with each commit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The writer's queue and thread. When the queue is full, callers wait their turn for
/// `store.acquire_timeout` and then are refused.
#[derive(Debug)]
pub(super) struct WriteQueue {
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    size: u32,
    acquire_timeout: Duration,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriteQueue {
    /// Starts the thread, `store-write`, that serves the receiving end of `jobs`.
    pub(super) fn start(
        jobs: mpsc::Sender<Job>,
        serve: WriteLoop,
        batch: u32,
        acquire_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let thread = spawn("store-write".to_owned(), move || serve.run())?;
        let size = batch.max(1).saturating_mul(BATCHES);
        let places = Arc::new(Semaphore::new(size as usize));
        Ok(Self { jobs, places, size, acquire_timeout, thread: Mutex::new(Some(thread)) })
    }

    /// Queues the job that `job` makes of whom to answer, and waits for the answer.
    pub(super) async fn ask<T>(
        &self,
        job: impl FnOnce(ReplySlot<T>) -> Job,
    ) -> Result<T, StoreError> {
        let asked = Instant::now();
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(self.acquire_timeout, place)
            .await
            .map_err(|_| StoreError::Overloaded { waiting: self.size, retry_after: RETRY_AFTER })?
            .map_err(|_| StoreError::Closed)?;
        self.send(job, asked, Some(place)).await
    }

    /// As [`WriteQueue::ask`], without a place in the queue: what is asked needs no lock, and is
    /// answered although writes wait for one.
    pub(super) async fn ask_at_once<T>(
        &self,
        job: impl FnOnce(ReplySlot<T>) -> Job,
    ) -> Result<T, StoreError> {
        self.send(job, Instant::now(), None).await
    }

    async fn send<T>(
        &self,
        job: impl FnOnce(ReplySlot<T>) -> Job,
        asked: Instant,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let slot = ReplySlot::new(answer, asked, place);
        self.jobs.send(job(slot)).map_err(|_| StoreError::Closed)?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Finishes what is queued and joins the thread. Again: does nothing.
    pub(super) fn close(&self) {
        self.places.close();
        // Fails only when the thread has ended.
        let _ = self.jobs.send(Job::Close);
        let thread = self.thread.lock().take();
        thread.into_iter().for_each(join);
    }
}

impl Drop for WriteQueue {
    fn drop(&mut self) {
        self.close();
    }
}

//! The threads that read.
//!
//! There are as many as permits for readers, and a job comes with its permit: so none waits for a
//! thread, and the queue never holds more jobs than there are threads.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::StoreError;

/// One read, its permit included. Does not unwind.
pub(super) type ReadJob = Box<dyn FnOnce() + Send>;

/// The bounded, named reader threads.
#[derive(Debug)]
pub(super) struct ReadPool {
    queue: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    done: Notify,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<ReadJob>,
    closed: bool,
}

impl ReadPool {
    /// Starts `count` threads, `store-read-1` and on.
    pub(super) fn start(count: u32) -> Result<Self, StoreError> {
        let pool = Self { queue: Arc::default(), threads: Mutex::default() };
        for number in 1..=count {
            let name = format!("store-read-{number}");
            let queue = Arc::clone(&pool.queue);
            let thread = thread::Builder::new()
                .name(name.clone())
                .spawn(move || queue.work())
                .map_err(|source| StoreError::Thread { name, source })?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// Hands a job to a free thread.
    pub(super) fn submit(&self, job: ReadJob) -> Result<(), StoreError> {
        let mut waiting = self.queue.waiting.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.queue.arrived.notify_one();
        Ok(())
    }

    /// Returns when a job ends after it was first polled. Cancel safe.
    pub(super) async fn progress(&self) {
        self.queue.done.notified().await;
    }

    /// Finishes the jobs that were handed over and joins the threads. Again: does nothing.
    pub(super) fn close(&self) {
        self.queue.waiting.lock().closed = true;
        self.queue.arrived.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(join);
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn work(&self) {
        while let Some(job) = self.next() {
            job();
            self.done.notify_waiters();
        }
    }

    fn next(&self) -> Option<ReadJob> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.closed {
                return None;
            }
            self.arrived.wait(&mut waiting);
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting.lock().jobs.len()).finish()
    }
}

/// Waits for a thread of the store to end; not for the one that asks, when a closure held the
/// last clone of the store.
pub(super) fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        // It catches what closures throw; a panic of its own was reported by the panic hook.
        let _ = thread.join();
    }
}

/// Runs a closure of a caller; a panic of it is an error of the call and nothing else.
pub(super) fn guarded<T>(f: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    // What the closure touched is its own and the transaction, which is undone.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(Err(StoreError::Panicked))
}

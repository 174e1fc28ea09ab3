//! The threads that read.
//!
//! There are as many as permits for readers, and a job comes with its permit: so none waits for a
//! thread, and the queue never holds more jobs than there are threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::StoreError;

/// One read, its permit included. Does not unwind.
pub(super) type ReadJob = Box<dyn FnOnce() + Send>;

/// The bounded, named reader threads.
#[derive(Debug)]
pub(super) struct ReadPool {
    /// None once it is closed.
    jobs: Mutex<Option<mpsc::Sender<ReadJob>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    done: Arc<Notify>,
}

impl ReadPool {
    /// Starts `count` threads, `store-read-1` and on.
    pub(super) fn start(count: u32) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let jobs = Mutex::new(Some(jobs));
        let pool = Self { jobs, threads: Mutex::default(), done: Arc::default() };
        for number in 1..=count {
            let (queue, done) = (Arc::clone(&queue), Arc::clone(&pool.done));
            let thread = spawn(format!("store-read-{number}"), move || work(&queue, &done))?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// Hands a job to a free thread.
    pub(super) fn submit(&self, job: ReadJob) -> Result<(), StoreError> {
        let jobs = self.jobs.lock();
        let sent = jobs.as_ref().and_then(|jobs| jobs.send(job).ok());
        sent.ok_or(StoreError::Closed)
    }

    /// Returns when a job ends after it was first polled. Cancel safe.
    pub(super) async fn progress(&self) {
        self.done.notified().await;
    }

    /// Finishes the jobs that were handed over and joins the threads. Again: does nothing.
    pub(super) fn close(&self) {
        drop(self.jobs.lock().take());
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(join);
    }
}

impl Drop for ReadPool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs jobs until the pool is closed. The lock is held while waiting: the other threads wait for
/// it as they would for a job.
fn work(queue: &Mutex<mpsc::Receiver<ReadJob>>, done: &Notify) {
    let next = || queue.lock().recv().ok();
    while let Some(job) = next() {
        job();
        done.notify_waiters();
    }
}

/// Starts a thread of the store.
pub(super) fn spawn(
    name: String,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let thread = thread::Builder::new().name(name.clone()).spawn(work);
    thread.map_err(|source| StoreError::Thread { name, source })
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

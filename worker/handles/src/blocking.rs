//! A fixed number of named threads for work that blocks: slow disks, starts of programs, scans of
//! `/proc`.
//!
//! The queue needs no bound of its own: every job comes with the permits of what it opens, so the
//! budget bounds how many there are.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, mpsc},
    thread,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when the pool is dropped and their current job is done.
#[derive(Debug)]
pub struct BlockingPool {
    queue: mpsc::Sender<Job>,
}

/// The caller of a job, which a long job asks now and then.
pub struct Waiter<'a>(&'a dyn Fn() -> bool);

impl Waiter<'_> {
    /// False once the future that waits for the job was dropped.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        (self.0)()
    }
}

impl BlockingPool {
    /// Starts the threads `NAME-1` to `NAME-N`.
    ///
    /// # Errors
    /// The OS error, when no more threads can be started.
    pub fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 1..=threads {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                // The lock is held while waiting: the other threads wait for it as they would
                // for a job.
                let next = || jobs.lock().recv().ok();
                while let Some(job) = next() {
                    job()
                }
            })?;
        }
        Ok(Self { queue })
    }

    /// Runs a job on one of the threads. When the future is dropped a job that waits for its
    /// thread is not begun; one that runs continues until it notices, and what it owns is dropped at
    /// its end. A panic of the job is the caller's.
    ///
    /// Dropping the future is how a job is cancelled.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Waiter<'_>) -> T + Send + 'static,
    ) -> T {
        let (reply, result) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        let job = move || {
            if reply.is_closed() {
                return;
            }
            let done = catch_unwind(AssertUnwindSafe(|| work(&Waiter(&|| !reply.is_closed()))));
            // Fails only when the caller has gone: the result is dropped, and with it what it holds.
            drop(reply.send(done));
        };
        self.queue.send(Box::new(job)).expect("the threads live as long as the pool");
        match result.await.expect("a job always replies") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests;

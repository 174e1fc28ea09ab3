//! Named threads for work that blocks: files on a slow disk, starts of programs, scans of `/proc`.
//!
//! The queue needs no bound of its own: every job comes with the permits of what it opens, so the
//! budget bounds how many there are.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads. They end when the pool is dropped and their current job is done.
#[derive(Debug)]
pub(super) struct Pool {
    queue: mpsc::Sender<Job>,
}

/// Whether somebody still waits for a job's result. A long job asks now and then.
pub(super) struct Wanted<'a>(&'a dyn Fn() -> bool);

impl Wanted<'_> {
    /// False once the future that waits for the job was dropped.
    pub(super) fn still(&self) -> bool {
        (self.0)()
    }
}

impl Pool {
    /// Starts the threads `NAME-1` to `NAME-N`.
    ///
    /// # Errors
    /// The operating system's, when it gives no more threads.
    pub(super) fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel::<Job>();
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 1..=threads {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                while let Some(job) = next(&jobs) {
                    job()
                }
            })?;
        }
        Ok(Self { queue })
    }

    /// Runs a job on one of the threads. When the future is dropped a job that waits for its
    /// thread is not begun; one that runs goes on until it notices, and what it owns is dropped at
    /// its end. A panic of the job is the caller's.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Wanted<'_>) -> T + Send + 'static,
    ) -> T {
        let (reply, result) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        let job = move || {
            if reply.is_closed() {
                return;
            }
            let done = catch_unwind(AssertUnwindSafe(|| work(&Wanted(&|| !reply.is_closed()))));
            // Nobody waits any more: the result is dropped, and with it what it holds.
            drop(reply.send(done));
        };
        self.queue.send(Box::new(job)).expect("the threads live as long as the pool");
        match result.await.expect("a job always replies") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }
}

/// The next job, or [`None`] when the pool is gone. The lock is held while waiting: the others
/// have nothing better to do than to wait for it.
fn next(jobs: &Mutex<mpsc::Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

#[cfg(test)]
mod tests;

//! A thread that does jobs in their order, behind a bounded queue: what may stall (a disk, the reader
//! of the log) stalls it, and never the event loop.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The thread and its queue. The thread ends when this is dropped and the queue is empty; it is not
/// waited for, because it may be stalled for ever.
#[derive(Debug)]
pub struct Background<J> {
    shared: Arc<Shared<J>>,
}

#[derive(Debug)]
struct Shared<J> {
    queue: Mutex<Queue<J>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Queue<J> {
    waiting: VecDeque<J>,
    capacity: usize,
    /// A job is being done.
    is_busy: bool,
    is_closed: bool,
}

impl<J: Send + 'static> Background<J> {
    /// Starts a thread of this name that does each job. `capacity` jobs wait at most.
    ///
    /// # Errors
    /// The OS error when there is no thread to be had.
    pub fn start(
        name: &str,
        capacity: usize,
        mut work: impl FnMut(J) + Send + 'static,
    ) -> io::Result<Self> {
        let waiting = VecDeque::with_capacity(capacity);
        let queue = Queue { waiting, capacity, is_busy: false, is_closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() });
        let own = Arc::clone(&shared);
        thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(move || {
            while let Some(job) = own.next() {
                work(job);
            }
        })?;
        Ok(Self { shared })
    }

    /// Hands over a job, without waiting.
    ///
    /// # Errors
    /// The job, when as many wait as may.
    pub fn push(&self, job: J) -> Result<(), J> {
        let mut queue = self.shared.lock();
        if queue.waiting.len() >= queue.capacity {
            return Err(job);
        }
        queue.waiting.push_back(job);
        self.shared.changed.notify_all();
        Ok(())
    }

    pub fn has_room(&self) -> bool {
        let queue = self.shared.lock();
        queue.waiting.len() < queue.capacity
    }

    /// Waits until every job is done, for `limit` at most. Returns whether they are.
    pub fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut queue = self.shared.lock();
        while queue.is_busy || !queue.waiting.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.shared.changed.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// Jobs format lines and encode JSON.
const STACK_BYTES: usize = 128 * 1024;

impl<J> Drop for Background<J> {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl<J> Shared<J> {
    /// Nothing panics while it is locked: a poisoned queue is whole.
    fn lock(&self) -> MutexGuard<'_, Queue<J>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last job is done; waits for the next one. [`None`] when there will be none.
    fn next(&self) -> Option<J> {
        let mut queue = self.lock();
        queue.is_busy = false;
        self.changed.notify_all();
        loop {
            if let Some(job) = queue.waiting.pop_front() {
                queue.is_busy = true;
                return Some(job);
            }
            if queue.is_closed {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Read, sync::mpsc};

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    /// As long as any wait here may take.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_job_that_stalls_stops_nobody_and_the_queue_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("disk");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let (done, results) = mpsc::channel();
        let stalled = pipe.clone();
        let background = Background::start("test", 3, move |job: u32| {
            if job == 0 {
                // Nobody reads it: this waits, as for a disk that does not answer.
                drop(OpenOptions::new().write(true).open(&stalled).unwrap());
            }
            done.send(job).unwrap();
        })
        .unwrap();
        background.push(0).unwrap();
        while !background.has_room() || background.shared.lock().waiting.len() == 1 {
            thread::yield_now();
        }
        for job in 1..=3 {
            background.push(job).unwrap();
        }
        assert!(!background.has_room());
        assert_eq!(background.push(4), Err(4));
        assert!(!background.flush(Duration::from_millis(10)));
        OpenOptions::new().read(true).open(&pipe).unwrap().read_to_end(&mut Vec::new()).unwrap();
        assert!(background.flush(LONG));
        assert_eq!(results.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        background.push(5).unwrap();
        drop(background);
        // The sender is dropped with the thread.
        assert_eq!(results.iter().collect::<Vec<_>>(), [5]);
    }
}

//! The background executor: blocking work of the agents, on a bounded number of threads.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Jobs that run at once. They are file-system calls of microseconds: two are enough, so that one
/// stuck in a broken disk does not hold up the rest.
const THREADS: usize = 2;

/// Runs blocking jobs beside the queue workers, [`THREADS`] at once; more wait for their place.
#[derive(Clone, Debug)]
pub(super) struct Background {
    places: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl Background {
    /// An executor whose jobs `tracker` waits for.
    pub(super) fn new(tracker: TaskTracker) -> Self {
        Self { places: Arc::new(Semaphore::new(THREADS)), tracker }
    }

    /// Runs a job; [`None`] when it panicked. A dropped call's job still runs to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let job = move || {
            let _place = place;
            job()
        };
        self.tracker.spawn_blocking(job).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_many_at_once_and_no_more() {
        let background = Background::new(TaskTracker::new());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Each pair of jobs meets, so the bound is reached for certain.
        let pair = Arc::new(Barrier::new(THREADS));
        let jobs = (0..THREADS * 8).map(|_| {
            let (now, most, pair) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&pair));
            background.run(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                pair.wait();
                now.fetch_sub(1, Ordering::SeqCst);
            })
        });
        assert!(futures_util::future::join_all(jobs).await.iter().all(Option::is_some));
        assert_eq!(most.load(Ordering::SeqCst), THREADS);
    }

    #[tokio::test]
    async fn a_panic_gives_its_place_back() {
        let background = Background::new(TaskTracker::new());
        for _ in 0..THREADS * 2 {
            assert_eq!(background.run(|| panic!("a defect")).await, None::<()>);
        }
        assert_eq!(background.run(|| 1).await, Some(1));
    }
}

//! One does what several wait for, and all of them get its result: nobody holds a lock meanwhile,
//! and nobody waits in a queue for the same failure.

use parking_lot::Mutex;
use tokio::sync::watch;

use evonic_backend::{Result, WorkplaceError};

/// What came of it; [`None`] while it is under way.
type Landed<T> = Option<Result<T, std::sync::Arc<WorkplaceError>>>;

/// Work of which one is under way at a time.
#[derive(Debug)]
pub(super) struct Flight<T> {
    under_way: Mutex<Option<watch::Receiver<Landed<T>>>>,
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { under_way: Mutex::default() }
    }
}

/// Ends a flight, also one whose future is dropped: those who wait for it go on by themselves.
struct Landing<'f, T>(&'f Flight<T>);

impl<T> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        *self.0.under_way.lock() = None;
    }
}

impl<T: Clone> Flight<T> {
    /// Does `work`, or waits for the one who does it already. Whoever waits has the deadline of
    /// that work.
    ///
    /// # Errors
    /// That of the work, [`WorkplaceError::shared`].
    pub(super) fn join<'f>(
        &'f self,
        work: impl Future<Output = Result<T>> + Send + 'f,
    ) -> impl Future<Output = Result<T>> + Send + 'f
    where
        T: Send + Sync,
    {
        // On the heap: what connects is deep, and is awaited far down.
        self.joined(Box::pin(work))
    }

    async fn joined(
        &self,
        work: std::pin::Pin<Box<dyn Future<Output = Result<T>> + Send + '_>>,
    ) -> Result<T> {
        loop {
            let (sender, receiver) = watch::channel(None);
            let other = {
                let mut under_way = self.under_way.lock();
                let other = under_way.clone();
                if other.is_none() {
                    *under_way = Some(receiver);
                }
                other
            };
            let Some(mut other) = other else {
                let landing = Landing(self);
                let result = work.await.map_err(std::sync::Arc::new);
                drop(landing);
                sender.send_replace(Some(result.clone()));
                return result.map_err(|error| error.shared());
            };
            // An error here: whoever did it has left.
            if let Ok(landed) = other.wait_for(Option::is_some).await
                && let Some(result) = landed.clone()
            {
                return result.map_err(|error| error.shared());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use tokio::task::yield_now;

    use super::*;
    use evonic_backend::Stage;

    #[tokio::test]
    async fn many_wait_for_one_and_share_what_comes_of_it() {
        let (flight, done) = (Flight::default(), AtomicU32::new(0));
        let work = || async {
            yield_now().await;
            match done.fetch_add(1, Ordering::Relaxed) {
                0 => Err(WorkplaceError::unreachable("h", Stage::Sftp, "no")),
                number => Ok(number),
            }
        };
        let failed = join_all((0..5).map(|_| flight.join(work()))).await;
        assert!(failed.iter().all(|one| matches!(one, Err(WorkplaceError::Unreachable { .. }))));
        let landed = join_all((0..5).map(|_| flight.join(work()))).await;
        assert!(landed.into_iter().all(|one| one.is_ok_and(|number| number == 1)));
        assert_eq!(done.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn who_leaves_in_the_middle_takes_nobody_along() {
        let flight = Flight::default();
        let left = async {
            tokio::select! {
                biased;
                _ = flight.join(std::future::pending::<Result<u32>>()) => panic!("it never ends"),
                () = yield_now() => {}
            }
        };
        let (waited, ()) = tokio::join!(
            async {
                yield_now().await;
                flight.join(async { Ok(7) }).await
            },
            left
        );
        assert_eq!(waited.unwrap(), 7);
    }
}

//! Requests made again after a transient failure.

use std::time::{Duration, Instant};

use evonic_shared::backoff::Backoff;

use crate::console::error::Result;

/// Pauses that grow, with jitter.
#[derive(Debug)]
pub(in crate::console) struct RetryPause(Backoff);

impl Default for RetryPause {
    fn default() -> Self {
        Self(Backoff::new(Duration::from_millis(50), Duration::from_secs(2)))
    }
}

impl RetryPause {
    /// Waits, at least as long as was asked for.
    pub(in crate::console) async fn wait(&mut self, at_least: Option<Duration>) {
        let pause = self.0.next_delay(0.5 + fastrand::f64() / 2.0);
        tokio::time::sleep(pause.max(at_least.unwrap_or_default())).await;
    }
}

/// Tries until it is answered, refused for good, or `retry_for` is over: the worker may be on its
/// way out, with another one on its way in. A socket without a listener is no transient
/// failure: the supervisor holds it whatever its workers do.
pub(super) async fn retry<T>(
    retry_for: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let began = Instant::now();
    let mut pause = RetryPause::default();
    loop {
        match attempt().await {
            Err(error) if error.is_transient() => {
                let asked = error.retry_after();
                // Whoever is to come later than that hears why now.
                if began.elapsed() + asked.unwrap_or_default() >= retry_for {
                    return Err(error);
                }
                pause.wait(asked).await;
            }
            result => return result,
        }
    }
}

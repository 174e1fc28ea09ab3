//! The events of a session, across workers.

use std::time::{Duration, Instant};

use evonic_domain::SessionId;
use evonic_net::sse::Event;

use crate::console::{
    api::{Api, EventStream, RetryPause},
    error::{ConsoleError, Result},
};

/// How long a broken stream is resumed again and again before it is given up.
const RESUME_LIMIT: Duration = Duration::from_secs(60);

/// Follows a session from one event on. A stream that ends or breaks is resumed behind the last
/// event that was taken.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    api: &'a Api,
    path: String,
    /// The last event that was taken.
    pub(super) cursor: u64,
    stream: Option<EventStream>,
    /// The pause before the stream is resumed, as the last one asked.
    retry_after: Option<Duration>,
    lost_at: Option<Instant>,
    pause: RetryPause,
}

impl<'a> Follower<'a> {
    /// Follows the events after this one.
    pub(super) fn new(api: &'a Api, session: &SessionId, cursor: u64) -> Self {
        Self {
            api,
            path: format!("/sessions/{session}/events"),
            cursor,
            stream: None,
            retry_after: None,
            lost_at: None,
            pause: RetryPause::default(),
        }
    }

    /// The next event. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Event> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.open().await?;
                continue;
            };
            let Some(event) = stream.next().await? else {
                self.retry_after = stream.retry_after();
                self.stream = None;
                if self.lost_for() > RESUME_LIMIT {
                    return Err(ConsoleError::Timeout { limit: RESUME_LIMIT });
                }
                self.pause.wait(self.retry_after).await;
                continue;
            };
            self.lost_at = None;
            self.pause = RetryPause::default();
            let number = event.id.as_deref().and_then(|id| id.parse().ok());
            if let Some(number) = number.filter(|number| *number > self.cursor) {
                self.cursor = number;
                return Ok(event);
            }
        }
    }

    async fn open(&mut self) -> Result {
        match self.api.events(&self.path, self.cursor).await {
            Ok(stream) => self.stream = Some(stream),
            Err(error) => {
                let absent = matches!(error, ConsoleError::NotRunning { .. });
                let lost_for = self.lost_for();
                if !(error.is_transient() || absent) || lost_for >= RESUME_LIMIT {
                    return Err(error);
                }
                self.pause.wait(error.retry_after().or(self.retry_after)).await;
            }
        }
        Ok(())
    }

    fn lost_for(&mut self) -> Duration {
        self.lost_at.get_or_insert_with(Instant::now).elapsed()
    }
}

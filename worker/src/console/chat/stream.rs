//! The events of a session, across workers.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::console::{
    api::{Answer, Api, Pauses},
    error::ConsoleError,
};
use evonic_domain::SessionId;
use evonic_net::sse::{Decoder, Event};

/// Silence after which a stream counts as broken. The worker sends a comment every 15 s at least.
const SILENCE: Duration = Duration::from_secs(45);

/// How long a broken stream is resumed again and again before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Follows a session from one event on. A stream that ends or breaks is resumed behind the last
/// event that was taken.
#[derive(Debug)]
pub(super) struct Follower<'a> {
    api: &'a Api,
    path: String,
    /// The last event that was taken.
    cursor: u64,
    stream: Option<(Answer, Decoder)>,
    ready: VecDeque<Event>,
    /// How long to wait before the stream is resumed, as the last one asked.
    retry: Option<Duration>,
    lost_at: Option<Instant>,
    pauses: Pauses,
}

impl<'a> Follower<'a> {
    /// Follows the events after this one.
    pub(super) fn new(api: &'a Api, session: &SessionId, cursor: u64) -> Self {
        Self {
            api,
            path: format!("/sessions/{session}/events"),
            cursor,
            stream: None,
            ready: VecDeque::new(),
            retry: None,
            lost_at: None,
            pauses: Pauses::default(),
        }
    }

    /// The last event that was taken.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The next event. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Event, ConsoleError> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                let number = event.id.as_deref().and_then(|id| id.parse().ok());
                if number.is_some_and(|number| number > self.cursor) {
                    self.cursor = number.unwrap_or(self.cursor);
                    return Ok(event);
                }
            }
            if self.stream.is_some() {
                self.read().await?;
            } else {
                self.open().await?;
            }
        }
    }

    async fn open(&mut self) -> Result<(), ConsoleError> {
        match self.api.events(&self.path, self.cursor).await {
            Ok(answer) => {
                self.stream = Some((answer, Decoder::new()));
                Ok(())
            }
            Err(error) => {
                let absent = matches!(error, ConsoleError::NotRunning { .. });
                let lost_at = *self.lost_at.get_or_insert_with(Instant::now);
                if (error.is_passing() || absent) && lost_at.elapsed() < PATIENCE {
                    self.pauses.pause(error.retry_after().or(self.retry)).await;
                    Ok(())
                } else {
                    Err(error)
                }
            }
        }
    }

    async fn read(&mut self) -> Result<(), ConsoleError> {
        let Some((answer, decoder)) = &mut self.stream else { return Ok(()) };
        if let Ok(Some(Ok(frame))) = timeout(SILENCE, answer.body.frame()).await {
            if let Some(bytes) = frame.data_ref() {
                for event in decoder.push(bytes) {
                    self.ready.push_back(event?);
                    self.lost_at = None;
                    self.pauses = Pauses::default();
                }
            }
            return Ok(());
        }
        self.retry = decoder.retry_ms().map(Duration::from_millis);
        self.stream = None;
        let lost_at = *self.lost_at.get_or_insert_with(Instant::now);
        if lost_at.elapsed() > PATIENCE {
            return Err(ConsoleError::Silent { patience: PATIENCE });
        }
        self.pauses.pause(self.retry).await;
        Ok(())
    }
}

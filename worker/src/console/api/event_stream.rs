//! Answers that are streams of events.

use std::{collections::VecDeque, time::Duration};

use evonic_net::sse::{Decoder, Event, SseError};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::answer::Answer;
use crate::console::error::ConsoleError;

/// Silence after which a stream counts as broken. The worker sends a comment every 15 s at least.
pub(in crate::console) const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// The events of one answer.
#[derive(Debug)]
pub(in crate::console) struct EventStream {
    answer: Answer,
    decoder: Decoder,
    ready: VecDeque<Result<Event, SseError>>,
}

impl EventStream {
    pub(super) fn new(answer: Answer) -> Self {
        Self { answer, decoder: Decoder::default(), ready: VecDeque::new() }
    }

    /// The next event; none when the stream ended, broke or fell silent. Cancel safe.
    pub(in crate::console) async fn next(&mut self) -> Result<Option<Event>, ConsoleError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event?));
            }
            let frame = timeout(SILENCE_LIMIT, self.answer.body.frame()).await;
            let Ok(Some(Ok(frame))) = frame else { return Ok(None) };
            if let Some(bytes) = frame.data_ref() {
                self.ready.extend(self.decoder.push(bytes));
            }
        }
    }

    /// The pause that the worker asks for before the stream is opened again.
    pub(in crate::console) fn retry_after(&self) -> Option<Duration> {
        self.decoder.retry_ms().map(Duration::from_millis)
    }
}

//! Work of the worker that reports its progress: a request whose answer is a stream of events.

use serde::Deserialize;

use super::{
    api::{Api, EventStream, SILENCE_LIMIT},
    error::{ConsoleError, Result},
    output::Console,
};

/// How often work that its worker did not finish is asked for again.
const MAX_ATTEMPTS: u32 = 3;

/// What the worker says of work under way; the data is JSON.
pub(super) enum Progress {
    /// What has been done by now.
    Step(String),
    /// How it ended: an [`Outcome`].
    Done(String),
}

/// How work ended.
#[derive(Deserialize)]
pub(super) struct Outcome {
    pub(super) ok: bool,
    #[serde(default)]
    pub(super) error: String,
}

impl Progress {
    /// The next one; none when the stream ended before the work did. Cancel safe.
    pub(super) async fn next(events: &mut EventStream) -> Result<Option<Self>> {
        let event = events.next().await?;
        Ok(event.map(|event| match event.event.as_str() {
            "done" => Self::Done(event.data),
            _ => Self::Step(event.data),
        }))
    }
}

/// Asks for work that may be done twice, hands on each step of it, and returns the JSON of its
/// [`Outcome`]. When the worker is replaced, its successor is asked, from the beginning.
pub(super) async fn follow(
    api: &Api,
    path: &str,
    console: &mut Console<'_>,
    mut on_step: impl FnMut(&str, &mut Console<'_>) -> Result,
) -> Result<String> {
    for attempt in 1.. {
        let mut events = api.stream_progress(path).await?;
        while let Some(progress) = Progress::next(&mut events).await? {
            match progress {
                Progress::Step(data) => on_step(&data, console)?,
                Progress::Done(data) => return Ok(data),
            }
        }
        if attempt == MAX_ATTEMPTS {
            break;
        }
        console.say("The worker was replaced; once more.");
    }
    Err(ConsoleError::Timeout { limit: SILENCE_LIMIT })
}

//! Work of the worker that tells how it goes: a request whose answer is a stream of events.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::timeout;

use super::{Console, api::Api, error::ConsoleError};
use evonic_net::sse::{Decoder, Event};

/// Silence after which a stream counts as broken. The worker sends a comment every 15 s at least.
const SILENCE: Duration = Duration::from_secs(45);

/// How often work that its worker did not finish is asked for again.
const TRIES: u32 = 3;

/// Asks for work that may be done twice, hands on each word that the worker says of it, and
/// returns the outcome. A worker that is replaced meanwhile is asked no more; its successor is,
/// from the beginning.
///
/// # Errors
/// [`ConsoleError`].
pub(super) async fn follow(
    api: &Api,
    path: &str,
    console: &mut Console<'_>,
    mut each: impl FnMut(&str, &mut Console<'_>) -> Result<(), ConsoleError>,
) -> Result<String, ConsoleError> {
    for attempt in 1.. {
        let mut answer = api.tell(path).await?;
        let mut decoder = Decoder::new();
        while let Ok(Some(Ok(frame))) = timeout(SILENCE, answer.body.frame()).await {
            let Some(bytes) = frame.data_ref() else { continue };
            for event in decoder.push(bytes) {
                let Event { event, data, .. } = event?;
                if event == "done" {
                    return Ok(data);
                }
                each(&data, console)?;
            }
        }
        if attempt == TRIES {
            break;
        }
        console.say("The worker was replaced; once more.");
    }
    Err(ConsoleError::Silent { patience: SILENCE })
}

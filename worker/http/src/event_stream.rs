//! Streams of server-sent events as answers, and work that reports its progress in one.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use warp::reply::{Reply, Response};

use crate::{caller::Caller, problem::Answer, state::ApiState};

/// The client comes back at once: another worker is serving already.
pub(super) const RETRY_HINT: &str = "retry: 100\n\n";

/// A comment: keeps proxies and the client from giving up on a silent stream.
pub(super) const HEARTBEAT: &str = ": \n\n";

const MEDIA_TYPE: &str = "text/event-stream";

/// Updates that wait for the client; when it is slower, the work waits.
const WAITING: usize = 64;

/// Whether an answer is a stream of events.
pub(super) fn is_stream(response: &Response) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == MEDIA_TYPE)
}

/// A stream of events as an answer.
pub(super) fn respond(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let mut response = streamed(events.map(Ok::<_, Infallible>));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A stream of bytes of this kind as an answer; an error cuts it, and its client sees that it is not
/// whole.
pub(super) fn respond_bytes(
    kind: &'static str,
    bytes: impl Stream<Item = Result<Bytes, Cut>> + Send + 'static,
) -> Response {
    let mut response = streamed(bytes);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// An answer that ends in its middle. Why is in the log.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut")]
pub(super) struct Cut;

/// An answer whose body is this stream; an error breaks it off.
pub(super) fn streamed<E: std::error::Error + Send + Sync + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Response {
    warp::reply::stream(Shareable(Mutex::new(Box::pin(pieces)))).into_response()
}

/// Work as an answer: each of its updates is an event of this name, its outcome the last one,
/// `done`. The stream alone drives the work: it ends with its client, with its key, and when the
/// worker drains, with a hint when to ask again.
///
/// # Errors
/// 429 when its key has too many streams; then nothing was begun.
pub(super) fn stream_progress<T, O, W>(
    state: &ApiState,
    caller: &Caller,
    name: &'static str,
    work: impl FnOnce(mpsc::Sender<T>) -> W,
) -> Answer
where
    T: Serialize + Send + 'static,
    O: Serialize + Send + 'static,
    W: Future<Output = O> + Send + 'static,
{
    let counted = state.streams.open(&caller.identity)?;
    let watched = state.keyring.watch(caller.key());
    let (sender, updates) = mpsc::channel(WAITING);
    let progress = ProgressStream {
        name,
        updates,
        work: Box::pin(work(sender)),
        outcome: None,
        ended: false,
        heartbeat: state.app.config.http.sse_heartbeat,
        draining: state.shutdown.draining.clone(),
    };
    let state = (progress, watched, counted);
    Ok(respond(stream::unfold(state, |(mut progress, watched, counted)| async {
        // The work ends with its key, too.
        let text = watched.ended().run_until_cancelled(progress.next()).await??;
        Some((Bytes::from(text), (progress, watched, counted)))
    })))
}

/// Work under way, and the updates that it sent.
struct ProgressStream<T, O> {
    name: &'static str,
    updates: mpsc::Receiver<T>,
    work: Pin<Box<dyn Future<Output = O> + Send>>,
    outcome: Option<O>,
    ended: bool,
    heartbeat: Duration,
    draining: CancellationToken,
}

impl<T: Serialize, O: Serialize> ProgressStream<T, O> {
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(outcome) = &self.outcome {
                // What was sent before the end is in the channel already.
                if let Ok(update) = self.updates.try_recv() {
                    return Some(event(self.name, &update));
                }
                self.ended = true;
                return Some(event("done", outcome));
            }
            tokio::select! {
                biased;
                Some(update) = self.updates.recv() => return Some(event(self.name, &update)),
                () = self.draining.cancelled() => {
                    self.ended = true;
                    return Some(RETRY_HINT.to_owned());
                }
                outcome = &mut self.work => self.outcome = Some(outcome),
                () = tokio::time::sleep(self.heartbeat) => return Some(HEARTBEAT.to_owned()),
            }
        }
    }
}

fn event<T: Serialize>(name: &str, data: &T) -> String {
    let data = serde_json::to_string(data).expect("updates have string keys only");
    format!("event: {name}\ndata: {data}\n\n")
}

/// A stream that only its owner polls, for a body that must be `Sync`: the lock is never taken.
struct Shareable<S>(Mutex<Pin<Box<S>>>);

impl<S: Stream> Stream for Shareable<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.get_mut().as_mut().poll_next(cx)
    }
}

//! Streams of server-sent events as answers, and work that tells how it goes in one.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, header};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use warp::reply::{Reply, Response};

use crate::routes::Site;

/// The client comes back at once: another worker is serving already.
pub(super) const FAREWELL: &str = "retry: 100\n\n";

/// A comment: keeps proxies and the client from giving up on a silent stream.
pub(super) const HEARTBEAT: &str = ": \n\n";

/// Words of a work that may wait for their client; the work waits when it is slower.
const WAITING: usize = 64;

/// A stream of events as an answer.
pub(super) fn respond(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let events = events.map(Ok::<_, Infallible>);
    let mut response = warp::reply::stream(Shareable(Mutex::new(Box::pin(events)))).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Work as an answer: each of its words is an event of this name, its outcome the last one,
/// `done`. The stream alone drives the work: it ends with its client, and when the worker drains,
/// with a word about when to ask again.
pub(super) fn tell<T, O, W>(
    site: &Site,
    name: &'static str,
    work: impl FnOnce(mpsc::Sender<T>) -> W,
) -> Response
where
    T: Serialize + Send + 'static,
    O: Serialize + Send + 'static,
    W: Future<Output = O> + Send + 'static,
{
    let (sender, words) = mpsc::channel(WAITING);
    let telling = Telling {
        name,
        words,
        work: Box::pin(work(sender)),
        outcome: None,
        ended: false,
        heartbeat: site.app.config.http.sse_heartbeat,
        draining: site.ends.draining.clone(),
    };
    respond(stream::unfold(telling, |mut telling| async {
        let text = telling.next().await?;
        Some((Bytes::from(text), telling))
    }))
}

/// A work, and what it said.
struct Telling<T, O> {
    name: &'static str,
    words: mpsc::Receiver<T>,
    work: Pin<Box<dyn Future<Output = O> + Send>>,
    outcome: Option<O>,
    ended: bool,
    heartbeat: Duration,
    draining: CancellationToken,
}

impl<T: Serialize, O: Serialize> Telling<T, O> {
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        loop {
            if let Some(outcome) = &self.outcome {
                // What was said before the end is there already.
                if let Ok(word) = self.words.try_recv() {
                    return Some(event(self.name, &word));
                }
                self.ended = true;
                return Some(event("done", outcome));
            }
            tokio::select! {
                biased;
                Some(word) = self.words.recv() => return Some(event(self.name, &word)),
                () = self.draining.cancelled() => {
                    self.ended = true;
                    return Some(FAREWELL.to_owned());
                }
                outcome = &mut self.work => self.outcome = Some(outcome),
                () = tokio::time::sleep(self.heartbeat) => return Some(HEARTBEAT.to_owned()),
            }
        }
    }
}

fn event<T: Serialize>(name: &str, data: &T) -> String {
    let data = serde_json::to_string(data).expect("what is told has string keys only");
    format!("event: {name}\ndata: {data}\n\n")
}

/// A stream that only its owner polls, for a body that must be `Sync`: the lock is never taken.
struct Shareable<S>(Mutex<Pin<Box<S>>>);

impl<S: Stream> Stream for Shareable<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(cx)
    }
}

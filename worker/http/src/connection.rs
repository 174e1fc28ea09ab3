//! One connection, from its first byte to its close.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use evonic_shared::error_chain::ErrorChain;
use futures_util::FutureExt;
use http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use crate::{
    byte_stream::ByteStream,
    connection_timers::{ConnectionTimers, TimeoutAction, TimeoutWatch, Timeouts},
    guard::Peer,
    lingering_stream::LingeringStream,
    metrics::Refusal,
    places::{NoPlace, Place},
    problem::Problem,
    request_service::{RequestService, no_place},
    request_stream::{Refused, RequestStream},
    server_state::ServerState,
};

/// hyper's buffers grow up to this, each way.
const BUFFER_BYTES: usize = 32 * 1024;

/// Longer than any worker lives.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

type Connection = http1::Connection<TokioIo<RequestStream>, RequestService>;

/// Serves a connection to its end: its own, its client's, or the server's. Holds the stream's
/// permit until then. Accepted ones have a place, and end when they lose it.
pub(super) async fn serve_connection(
    server: Arc<ServerState>,
    stream: ByteStream,
    peer: Peer,
    place: Option<Arc<Place>>,
) {
    let _counted = (peer != Peer::Inside).then(|| server.metrics.connection());
    let timers = ConnectionTimers::new(place.clone());
    let timeouts = timeouts(&server, peer);
    let service = RequestService {
        server: Arc::clone(&server),
        peer,
        place: place.clone(),
        timers: timers.clone(),
    };
    let stream = LingeringStream::new(stream, timers.clone());
    let stream = RequestStream::new(stream, timers.clone());
    let mut connection = open(stream.clone(), service);
    let mut timeout = TimeoutWatch::new(timers.clone(), timeouts);
    // A connection from inside is served until the end.
    let mut is_draining = peer == Peer::Inside;
    loop {
        tokio::select! {
            biased;
            // Before its next request is read: that is then of no effect.
            () = evicted(place.as_deref()) => return give_way(&server, stream, &timers),
            ended = &mut connection => return finish(&server, stream, &timers, ended).await,
            () = poll_fn(|cx| stream.poll_gone(cx)) => return,
            () = server.shutdown.cut.cancelled() => return cut(&server, &timers),
            () = server.shutdown.draining.cancelled(), if !is_draining => {
                is_draining = true;
                timers.drain();
            }
            action = &mut timeout => match action {
                TimeoutAction::Close => close(&mut connection, &timers),
                TimeoutAction::Timeout => return time_out(&server, stream).await,
                TimeoutAction::GiveUp => return,
            },
        }
    }
}

/// How long the connection may take. One from inside has no limit.
fn timeouts(server: &ServerState, peer: Peer) -> Timeouts {
    let (head, idle) = match peer {
        Peer::Inside => (NEVER, NEVER),
        _ => (server.settings.header_timeout, server.settings.idle_timeout),
    };
    Timeouts { head, idle, linger: server.settings.linger }
}

fn open(stream: RequestStream, service: RequestService) -> Connection {
    let settings = &service.server.settings;
    let max_headers = settings.max_headers as usize;
    let max_header_bytes = settings.max_header_bytes as usize;
    http1::Builder::new()
        // The timers keep the time: hyper has one limit for an idle connection and a slow
        // head, and answers neither.
        .header_read_timeout(None)
        // A request that is whole is answered, whatever its client has closed; the stream looks
        // whether the client is gone.
        .half_close(true)
        .max_headers(max_headers)
        .max_header_size(max_header_bytes)
        .max_buf_size(BUFFER_BYTES.max(max_header_bytes))
        .serve_connection(TokioIo::new(stream), service)
}

/// Ready when the connection has lost its place; one without a place has none to lose.
async fn evicted(place: Option<&Place>) {
    match place {
        Some(place) => place.evicted().await,
        None => std::future::pending().await,
    }
}

/// Makes way for another connection at once. A client whose request has begun is told, if that does
/// not have to wait.
fn give_way(server: &ServerState, mut stream: RequestStream, timers: &ConnectionTimers) {
    if timers.is_in_head() {
        stream.answer_directly();
        let answer = no_place(NoPlace::Full).to_http1(&server.request_id());
        let _ = stream.write_all(answer.as_bytes()).now_or_never();
    }
}

/// Lets hyper close an idle connection; the stream lingers.
fn close(connection: &mut Connection, timers: &ConnectionTimers) {
    timers.leave();
    std::pin::Pin::new(connection).graceful_shutdown();
}

/// Answers 408 to headers that do not end.
async fn time_out(server: &ServerState, stream: RequestStream) {
    server.metrics.refused(Refusal::SlowHeaders);
    let detail = format!("the headers did not end within {:?}", server.settings.header_timeout);
    stream.answer_directly();
    refuse(server, stream, &Problem::new(StatusCode::REQUEST_TIMEOUT, "", detail)).await;
}

/// The connection ended by itself. What was no request is answered here.
async fn finish(
    server: &ServerState,
    stream: RequestStream,
    timers: &ConnectionTimers,
    ended: hyper::Result<()>,
) {
    let refused = stream.answer_directly();
    let error = ended.err();
    if let Some(error) = &error {
        tracing::debug!(error = %ErrorChain(error), "connection failed");
    }
    let is_in_head = timers.is_in_head();
    // hyper refuses HTTP/2 without an answer, and headers that break off.
    let is_malformed =
        |error: &hyper::Error| error.is_parse() || (error.is_incomplete_message() && is_in_head);
    if refused.is_none() && !error.as_ref().is_some_and(is_malformed) {
        return;
    }
    server.metrics.refused(Refusal::Malformed);
    if refused.is_some() || is_in_head {
        refuse(server, stream, &no_request(server, refused, error.as_ref())).await;
    }
}

/// Why what came is no request.
fn no_request(
    server: &ServerState,
    refused: Option<Refused>,
    error: Option<&hyper::Error>,
) -> Problem {
    let settings = &server.settings;
    let (status, code, detail) = match refused {
        Some(Refused::ByHyper(status @ StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)) => {
            let (bytes, headers) = (settings.max_header_bytes, settings.max_headers);
            let detail = format!(
                "the headers may have {bytes} bytes (http.max_header_bytes) and {headers} lines \
                 (http.max_headers)"
            );
            (status, "", detail)
        }
        Some(Refused::ByHyper(status @ StatusCode::URI_TOO_LONG)) => {
            (status, "", "the path and query are too long".to_owned())
        }
        Some(Refused::ByHyper(status)) => {
            let why = error.map_or_else(|| "it is malformed".to_owned(), ToString::to_string);
            (status, "malformed", format!("this is no request of HTTP/1.1: {why}"))
        }
        Some(Refused::LineEnd) => {
            let detail = "a line ends with a bare line feed; lines of HTTP end with CR and LF";
            (StatusCode::BAD_REQUEST, "malformed", detail.to_owned())
        }
        None => {
            let detail = "this is no whole request of HTTP/1.1, which is what is spoken here";
            (StatusCode::BAD_REQUEST, "malformed", detail.to_owned())
        }
    };
    Problem::new(status, code, detail)
}

/// Answers what never became a request, and closes.
async fn refuse(server: &ServerState, mut stream: RequestStream, problem: &Problem) {
    let answer = problem.to_http1(&server.request_id());
    let answering = async {
        // A client that is gone needs no answer.
        if stream.write_all(answer.as_bytes()).await.is_ok() {
            let _ = stream.shutdown().await;
        }
    };
    tokio::select! {
        biased;
        () = answering => {}
        () = server.shutdown.cut.cancelled() => {}
        () = tokio::time::sleep(server.settings.idle_timeout) => {}
    }
}

/// The time to drain is over.
fn cut(server: &ServerState, timers: &ConnectionTimers) {
    if timers.is_under_way() {
        server.cuts.fetch_add(1, Ordering::Relaxed);
    }
}

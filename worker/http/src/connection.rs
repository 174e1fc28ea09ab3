//! One connection, from its first byte to its close.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use evonic_shared::error_chain::ErrorChain;
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
    problem::Problem,
    request_service::{Purpose, RequestService},
    server_state::ServerState,
};

/// hyper's buffers grow up to this, each way.
const BUFFER_BYTES: usize = 32 * 1024;

/// Longer than any worker lives.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

type Connection = http1::Connection<TokioIo<LingeringStream>, RequestService>;

/// Serves a connection to its end: its own, its client's, or the server's. Holds the stream's
/// permit until then.
pub(super) async fn serve_connection(
    server: Arc<ServerState>,
    stream: ByteStream,
    peer: Peer,
    purpose: Purpose,
) {
    let _counted = (peer != Peer::Inside).then(|| server.metrics.connection());
    let timers = ConnectionTimers::new();
    let timeouts = timeouts(&server, peer, purpose);
    let mut connection = open(&server, stream, peer, purpose, &timers);
    let mut timeout = TimeoutWatch::new(timers.clone(), timeouts);
    // A connection from inside is served until the end.
    let mut is_draining = peer == Peer::Inside;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => return finish(&server, connection, &timers, ended).await,
            () = server.shutdown.cut.cancelled() => return cut(&server, &timers),
            () = server.shutdown.draining.cancelled(), if !is_draining => {
                is_draining = true;
                timers.drain();
            }
            action = &mut timeout => match action {
                TimeoutAction::Close => close(&mut connection, &timers),
                TimeoutAction::Timeout => return time_out(&server, connection).await,
                TimeoutAction::GiveUp => return,
            },
        }
    }
}

/// How long the connection may take. One that is refused must not keep its permit for long; one
/// from inside has none.
fn timeouts(server: &ServerState, peer: Peer, purpose: Purpose) -> Timeouts {
    let (head, idle) = match (peer, purpose) {
        (Peer::Inside, _) => (NEVER, NEVER),
        (_, Purpose::Serve) => (server.settings.header_timeout, server.settings.idle_timeout),
        (_, Purpose::Refuse) => (ServerState::RETRY_AFTER, ServerState::RETRY_AFTER),
    };
    Timeouts { head, idle, linger: server.settings.linger }
}

fn open(
    server: &Arc<ServerState>,
    stream: ByteStream,
    peer: Peer,
    purpose: Purpose,
    timers: &ConnectionTimers,
) -> Connection {
    let server = Arc::clone(server);
    let max_headers = server.settings.max_headers as usize;
    let max_header_bytes = server.settings.max_header_bytes as usize;
    let service = RequestService { server, peer, purpose, timers: timers.clone() };
    http1::Builder::new()
        // The timers keep the time: hyper has one limit for an idle connection and a slow
        // head, and answers neither.
        .header_read_timeout(None)
        .max_headers(max_headers)
        .max_header_size(max_header_bytes)
        .max_buf_size(BUFFER_BYTES.max(max_header_bytes))
        .serve_connection(TokioIo::new(LingeringStream::new(stream, timers.clone())), service)
}

/// Lets hyper close an idle connection; the stream lingers.
fn close(connection: &mut Connection, timers: &ConnectionTimers) {
    timers.leave();
    std::pin::Pin::new(connection).graceful_shutdown();
}

/// Answers 408 to headers that do not end.
async fn time_out(server: &ServerState, connection: Connection) {
    server.metrics.refused(Refusal::SlowHeaders);
    let detail = format!("the headers did not end within {:?}", server.settings.header_timeout);
    let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "", detail);
    refuse(server, connection, &problem).await;
}

/// The connection ended by itself. hyper has answered 400, 414 or 431 to what is no request and
/// closed, but leaves two unanswered: HTTP/2, and headers that break off.
async fn finish(
    server: &ServerState,
    connection: Connection,
    timers: &ConnectionTimers,
    ended: hyper::Result<()>,
) {
    let Err(error) = ended else { return };
    tracing::debug!(error = %ErrorChain(&error), "connection failed");
    let broken_off = error.is_incomplete_message() && timers.is_in_head();
    if !error.is_parse() && !broken_off {
        return;
    }
    server.metrics.refused(Refusal::Malformed);
    if timers.is_in_head() {
        let detail = "this is no whole request of HTTP/1.1, which is what is spoken here";
        let problem = Problem::new(StatusCode::BAD_REQUEST, "malformed", detail);
        refuse(server, connection, &problem).await;
    }
}

/// Answers what never became a request, and closes.
async fn refuse(server: &ServerState, connection: Connection, problem: &Problem) {
    let answer = problem.to_http1();
    let mut stream = connection.into_parts().io.into_inner();
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

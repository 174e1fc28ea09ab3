//! One request and its answer: guard, admission, route, then what every answer has.

use std::{convert::Infallible, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Instant};

use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONNECTION, X_CONTENT_TYPE_OPTIONS},
};
use http_body::Body as _;
use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use tracing::Instrument;
use warp::reply::Response;

use crate::{
    admission::{Decision, Dispatch},
    caller::Caller,
    connection_timers::ConnectionTimers,
    guard::Peer,
    metrics::Served,
    observed_body::{RequestBody, ResponseBody, response_body},
    problem::Problem,
    server_state::ServerState,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest identifier that is taken over from a client.
const REQUEST_ID_BYTES: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Serve,
    /// To answer 503, because every permit is in use.
    Refuse,
}

/// The service of one connection.
pub(super) struct RequestService {
    pub(super) server: Arc<ServerState>,
    pub(super) peer: Peer,
    pub(super) purpose: Purpose,
    pub(super) timers: ConnectionTimers,
}

type Answering =
    Pin<Box<dyn Future<Output = Result<http::Response<ResponseBody>, Infallible>> + Send>>;

impl Service<Request<Incoming>> for RequestService {
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let began = Instant::now();
        self.timers.called(request.body().is_end_stream());
        let id = self.request_id(request.headers());
        let address = self.server.guard.client(self.peer, request.headers());
        let caller = Caller::of(self.peer, address, id.clone());
        let method = request.method().clone();
        let path = request.uri().path();
        let client = caller.address.map(tracing::field::display);
        let span = tracing::error_span!("request", request_id = id, client, %method, path);
        let routed = self.route(request, caller);
        let (server, peer) = (Arc::clone(&self.server), self.peer);
        let timers = self.timers.clone();
        let answering = async move {
            let (template, response) = routed.await;
            let elapsed = began.elapsed();
            server.metrics.served(&Served::new(&method, template, response.status()), elapsed);
            let (status, elapsed_ms) = (response.status().as_u16(), elapsed.as_millis());
            tracing::debug!(status, elapsed_ms, "answered");
            let keep = peer == Peer::Inside || !server.shutdown.draining.is_cancelled();
            Ok(complete(response, &id, keep && timers.is_body_ended(), timers))
        };
        Box::pin(answering.instrument(span))
    }
}

impl RequestService {
    fn request_id(&self, headers: &HeaderMap) -> String {
        let is_plain = |text: &&str| {
            (1..=REQUEST_ID_BYTES).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        headers
            .get(REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(is_plain)
            .map_or_else(|| self.server.request_id(), str::to_owned)
    }

    /// What stands in the way, or what the route answers, and its template. A handler that panics
    /// costs its own request and nothing else.
    fn route(&self, request: Request<Incoming>, caller: Caller) -> Routed {
        if self.purpose == Purpose::Refuse {
            let full = Problem::unavailable(
                "exhausted",
                "every place for a connection is taken",
                ServerState::RETRY_AFTER,
            );
            return std::future::ready(("", full.closing().into_response())).boxed();
        }
        if let Err(problem) = self.server.guard.admit(self.peer, &request) {
            return std::future::ready(("", problem.into_response())).boxed();
        }
        let request = request.map(|body| RequestBody::new(body, self.timers.clone()));
        let server = Arc::clone(&self.server);
        async move {
            match AssertUnwindSafe(answer(&server, request, caller)).catch_unwind().await {
                Ok(answered) => answered,
                Err(_) => ("", Problem::internal(&Panicked).closing().into_response()),
            }
        }
        .boxed()
    }
}

/// Answers a request that the guard let pass.
async fn answer(
    server: &ServerState,
    mut request: Request<RequestBody>,
    caller: Caller,
) -> (&'static str, Response) {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let decision = server.admission.admit(method, uri, headers, caller).await;
    let Decision { template, limits, outcome } = decision;
    let mut response = match outcome {
        Ok(Dispatch { admitted, filter }) => {
            // Handlers never see the key, so none can leak it.
            request.headers_mut().remove(AUTHORIZATION);
            request.extensions_mut().insert(admitted);
            let route = TowerToHyperService::new(warp::service(filter.clone()));
            match route.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(problem) => problem.into_response(),
    };
    response.headers_mut().extend(limits);
    (template, response)
}

/// A response in the making, and the template that it will be counted under.
type Routed = futures_util::future::BoxFuture<'static, (&'static str, Response)>;

/// A handler panicked; the panic hook has logged where.
#[derive(Debug, thiserror::Error)]
#[error("handler panicked")]
struct Panicked;

/// Adds the headers that every answer has, and watches its body.
fn complete(
    mut response: Response,
    id: &str,
    keep: bool,
    timers: ConnectionTimers,
) -> http::Response<ResponseBody> {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !keep {
        // Also when the request did not come whole: the next bytes are the rest of it.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| response_body(body, timers))
}

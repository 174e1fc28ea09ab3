//! One request and its answer: guard, admission, route, then what every answer has.

use std::{convert::Infallible, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Instant};

use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONNECTION, X_CONTENT_TYPE_OPTIONS},
};
use hyper::{body::Incoming, service::Service};
use hyper_util::service::TowerToHyperService;
use tracing::Instrument;
use warp::reply::Response;

use crate::{
    admission::{Decision, Dispatch},
    caller::Caller,
    connection_timers::ConnectionTimers,
    event_stream,
    guard::Peer,
    metrics::{Refusal, Served},
    observed_body::{RequestBody, ResponseBody, body_length, response_body},
    places::{NoPlace, Place},
    problem::Problem,
    proxy_secret::ProxySecret,
    server_state::ServerState,
};
use evonic_domain::KeyId;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest identifier that is taken over from a client.
const REQUEST_ID_BYTES: usize = 64;

/// The service of one connection.
pub(super) struct RequestService {
    pub(super) server: Arc<ServerState>,
    pub(super) peer: Peer,
    /// None for a connection from inside.
    pub(super) place: Option<Arc<Place>>,
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
        self.timers.called(body_length(request.body()));
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
            if event_stream::is_stream(&response) {
                timers.waits();
            }
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
        // Who shows a key may have a place yet.
        let shows_key = request.headers().contains_key(AUTHORIZATION);
        let refusal = self.place.as_ref().and_then(|place| place.refusal());
        if let Some(reason) = refusal.filter(|_| !shows_key) {
            return std::future::ready(("", no_place(reason).into_response())).boxed();
        }
        // What needs no key needs no name of this server either: probes go to addresses.
        if !self.server.admission.is_free(request.uri().path())
            && let Err(problem) = self.server.guard.admit(self.peer, &request)
        {
            return std::future::ready(("", problem.into_response())).boxed();
        }
        let timers = self.timers.clone();
        let request = request.map(|body| RequestBody::new(body, timers.clone()));
        let (server, place) = (Arc::clone(&self.server), self.place.clone());
        async move {
            let answering = answer(&server, request, caller, place.as_deref(), &timers);
            match AssertUnwindSafe(answering).catch_unwind().await {
                Ok(answered) => answered,
                Err(_) => ("", Problem::internal(&Panicked).closing().into_response()),
            }
        }
        .boxed()
    }
}

/// Gives a connection the place of its key.
fn settle(server: &ServerState, place: &Place, key: Option<&KeyId>) -> Result<(), Problem> {
    let settled = match key {
        Some(key) => place.identify(key, &server.metrics),
        None => place.refusal().map_or(Ok(()), Err),
    };
    settled.map_err(|reason| {
        if reason == NoPlace::Key {
            server.metrics.refused(Refusal::Key);
        }
        no_place(reason)
    })
}

/// There is no place for a connection; it closes.
pub(super) fn no_place(reason: NoPlace) -> Problem {
    let (code, detail) = match reason {
        NoPlace::Full => {
            let detail = "every place for a connection is taken";
            return Problem::unavailable("exhausted", detail, ServerState::RETRY_AFTER).closing();
        }
        NoPlace::Address => ("address", "this address has as many connections as one may have"),
        NoPlace::Key => ("key", "this key has as many connections as one may have"),
    };
    Problem::too_many("too_many_connections", detail, ServerState::RETRY_AFTER)
        .with("of", code.into())
        .closing()
}

/// Answers a request that the guard let pass.
async fn answer(
    server: &ServerState,
    mut request: Request<RequestBody>,
    caller: Caller,
    place: Option<&Place>,
    timers: &ConnectionTimers,
) -> (&'static str, Response) {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let decision = server.admission.admit(method, uri, headers, caller).await;
    let Decision { template, limits, outcome } = decision;
    let outcome = outcome.and_then(|dispatch| {
        let key = dispatch.admitted.caller.key();
        place.map_or(Ok(()), |place| settle(server, place, key))?;
        Ok(dispatch)
    });
    let mut response = match outcome {
        Ok(Dispatch { admitted, filter, waits }) => {
            if waits && request.uri().query().is_some() {
                timers.waits();
            }
            // Handlers never see what is secret, so none can leak it.
            request.headers_mut().remove(AUTHORIZATION);
            request.headers_mut().remove(ProxySecret::HEADER);
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

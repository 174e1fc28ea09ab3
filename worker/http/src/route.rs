//! One line of the route table: where it answers, what it needs of its caller, and its handler.
//!
//! A handler is an async function of the shared state and a [`Call`], and of the decoded body
//! where the route takes one. [`Serve::filter`] wraps it into one warp filter, which never rejects.

use std::sync::Arc;

use http::Method;
use serde::de::DeserializeOwned;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    body::{self, BodyLimits, Upload},
    call::{Call, call},
    idempotency::{Repeats, request_key},
    problem::{Answer, Problem},
};
use evonic_domain::Scope;

/// What a caller needs for one method of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// No key: health.
    Free,
    /// This scope, and no restriction to agents.
    Whole(Scope),
    /// This scope. A key that is restricted to agents sees theirs and nothing else; the handler
    /// itself checks.
    OfAgents(Scope),
}

/// What answers a request that admission let pass.
pub(crate) type RouteFilter = BoxedFilter<(Response,)>;

/// Makes the filter of a route, of the shared state and the limits of a body.
type MakeFilter<S> = Box<dyn Fn(&Route<S>, &Arc<S>, BodyLimits) -> RouteFilter + Send + Sync>;

/// One line of the table.
pub(crate) struct Route<S> {
    /// The path; a segment in braces stands for any one.
    pub(crate) template: &'static str,
    /// GET answers HEAD, too.
    pub(crate) method: Method,
    /// What the caller needs.
    pub(crate) access: Access,
    /// The query parameters that it takes; any other is refused.
    pub(crate) query: &'static [&'static str],
    /// Whether it creates something that must not be created twice.
    pub(crate) repeats: Repeats,
    handler: MakeFilter<S>,
}

impl<S: 'static> Route<S> {
    fn new<A>(
        method: Method,
        path: &'static str,
        access: Access,
        handler: impl Serve<S, A>,
    ) -> Self {
        let handler: MakeFilter<S> =
            Box::new(move |route, state, limits| handler.clone().filter(route, state, limits));
        let (query, repeats) = (&[], Repeats::RunAgain);
        Self { template: path, method, access, query, repeats, handler }
    }

    pub(crate) fn get<A>(path: &'static str, access: Access, handler: impl Serve<S, A>) -> Self {
        Self::new(Method::GET, path, access, handler)
    }

    pub(crate) fn delete<A>(path: &'static str, access: Access, handler: impl Serve<S, A>) -> Self {
        Self::new(Method::DELETE, path, access, handler)
    }

    /// A POST: of a JSON object where the handler takes a body; any other body is not read.
    pub(crate) fn post<A>(path: &'static str, access: Access, handler: impl Serve<S, A>) -> Self {
        Self::new(Method::POST, path, access, handler)
    }

    /// A POST of any content, which the handler reads as it comes.
    pub(crate) fn upload<F>(
        path: &'static str,
        access: Access,
        handler: impl Fn(Arc<S>, Call, Upload) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        S: Send + Sync,
        F: Future<Output = Answer> + Send + 'static,
    {
        let make: MakeFilter<S> = Box::new(move |route, state, limits| {
            let (state, handler) = (Arc::clone(state), handler.clone());
            call(route.query)
                .and(warp::body::stream())
                .then(move |call: Result<Call, Problem>, stream| {
                    let (handler, state) = (handler.clone(), Arc::clone(&state));
                    let answering = async move {
                        let call = call?;
                        let upload = Upload::new(body::boxed(stream), &call.headers, limits)?;
                        handler(state, call, upload).await
                    };
                    async move { respond(answering.await) }
                })
                .boxed()
        });
        let (query, repeats) = (&[], Repeats::RunAgain);
        Self { template: path, method: Method::POST, access, query, repeats, handler: make }
    }

    /// A PATCH by a JSON merge patch.
    pub(crate) fn patch<A>(path: &'static str, access: Access, handler: impl Serve<S, A>) -> Self {
        Self::new(Method::PATCH, path, access, handler)
    }

    /// The same line, with these query parameters.
    pub(crate) fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    /// The same line, for what is created once for each `Idempotency-Key`.
    pub(crate) fn creates(self) -> Self {
        Self { repeats: Repeats::ByKey, ..self }
    }

    /// The filter that answers, once admission has let a request pass.
    pub(crate) fn filter(&self, state: &Arc<S>, limits: BodyLimits) -> RouteFilter {
        (self.handler)(self, state, limits)
    }
}

/// A handler; `A` is what it takes beside the state: a call, and a decoded body where it has one.
pub(crate) trait Serve<S, A>: Clone + Send + Sync + 'static {
    /// The filter that extracts what the handler takes, and awaits its answer.
    fn filter(self, route: &Route<S>, state: &Arc<S>, limits: BodyLimits) -> RouteFilter;
}

impl<S, H, F> Serve<S, (Call,)> for H
where
    S: Send + Sync + 'static,
    H: Fn(Arc<S>, Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    fn filter(self, route: &Route<S>, state: &Arc<S>, _: BodyLimits) -> RouteFilter {
        let state = Arc::clone(state);
        call(route.query)
            .then(move |call: Result<Call, Problem>| {
                let answering = call.map(|call| self(Arc::clone(&state), call));
                async move { respond(async { answering?.await }.await) }
            })
            .boxed()
    }
}

impl<S, H, F, T> Serve<S, (Call, T)> for H
where
    S: Send + Sync + 'static,
    H: Fn(Arc<S>, Call, T) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
    T: DeserializeOwned + Send + 'static,
{
    fn filter(self, route: &Route<S>, state: &Arc<S>, limits: BodyLimits) -> RouteFilter {
        let (template, repeats, state) = (route.template, route.repeats, Arc::clone(state));
        call(route.query)
            .and(warp::body::stream())
            .then(move |call: Result<Call, Problem>, stream| {
                let (handler, state) = (self.clone(), Arc::clone(&state));
                let answering = async move {
                    let mut call = call?;
                    let body = body::read_json(body::boxed(stream), &call.headers, limits).await?;
                    if repeats == Repeats::ByKey {
                        let path = [template, &call.id];
                        call.request_key = request_key(&call.headers, &call.caller, &path, &body)?;
                    }
                    handler(state, call, body::parse(&body)?).await
                };
                async move { respond(answering.await) }
            })
            .boxed()
    }
}

/// Stands beside what a handler takes that reads its body by itself.
pub(crate) struct Streaming;

impl<S, H, F> Serve<S, (Call, Upload, Streaming)> for H
where
    S: Send + Sync + 'static,
    H: Fn(Arc<S>, Call, Upload) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    fn filter(self, route: &Route<S>, state: &Arc<S>, limits: BodyLimits) -> RouteFilter {
        let state = Arc::clone(state);
        call(route.query)
            .and(warp::body::stream())
            .then(move |call: Result<Call, Problem>, stream| {
                let (handler, state) = (self.clone(), Arc::clone(&state));
                let answering = async move {
                    let call = call?;
                    let upload = Upload::of_lines(body::boxed(stream), &call.headers, limits)?;
                    handler(state, call, upload).await
                };
                async move { respond(answering.await) }
            })
            .boxed()
    }
}

fn respond(answer: Answer) -> Response {
    answer.unwrap_or_else(Problem::into_response)
}

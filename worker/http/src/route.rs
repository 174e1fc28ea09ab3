//! One line of the route table: where it answers, what it needs of its caller, and its handler.
//!
//! A handler is an async function of the shared state and a [`Call`], and of the decoded body
//! where the route takes one. [`Route::filter`] wraps it into one warp filter, which never rejects.

use std::sync::Arc;

use http::Method;
use serde::de::DeserializeOwned;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    body::{self, BodyLimits},
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

type MakeFilter<S> =
    Box<dyn Fn(&Route<S>, &Arc<S>, BodyLimits) -> BoxedFilter<(Response,)> + Send + Sync>;

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

impl<S: Send + Sync + 'static> Route<S> {
    fn new(method: Method, template: &'static str, access: Access, handler: MakeFilter<S>) -> Self {
        Self { template, method, access, query: &[], repeats: Repeats::RunAgain, handler }
    }

    /// A GET.
    pub(crate) fn get<H, F>(template: &'static str, access: Access, handler: H) -> Self
    where
        H: Fn(Arc<S>, Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::GET, template, access, without_body(handler))
    }

    /// A DELETE.
    pub(crate) fn delete<H, F>(template: &'static str, access: Access, handler: H) -> Self
    where
        H: Fn(Arc<S>, Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::DELETE, template, access, without_body(handler))
    }

    /// A POST whose body is not read.
    pub(crate) fn post_empty<H, F>(template: &'static str, access: Access, handler: H) -> Self
    where
        H: Fn(Arc<S>, Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::new(Method::POST, template, access, without_body(handler))
    }

    /// A POST of a JSON object.
    pub(crate) fn post<H, F, T>(template: &'static str, access: Access, handler: H) -> Self
    where
        H: Fn(Arc<S>, Call, T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
        T: DeserializeOwned + Send + 'static,
    {
        Self::new(Method::POST, template, access, with_body(handler))
    }

    /// A PATCH by a JSON merge patch.
    pub(crate) fn patch<H, F, T>(template: &'static str, access: Access, handler: H) -> Self
    where
        H: Fn(Arc<S>, Call, T) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
        T: DeserializeOwned + Send + 'static,
    {
        Self::new(Method::PATCH, template, access, with_body(handler))
    }

    /// The same line, with these query parameters.
    pub(crate) fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    /// The same line, for what is created once for each `Idempotency-Key`.
    pub(crate) fn creates(self) -> Self {
        Self { repeats: Repeats::ByKey, ..self }
    }

    /// The methods that it answers, as `Allow` lists them.
    pub(crate) fn methods(&self) -> String {
        if self.method == Method::GET { "GET, HEAD".to_owned() } else { self.method.to_string() }
    }

    /// The filter that answers, once admission has let a request pass.
    pub(crate) fn filter(&self, state: &Arc<S>, limits: BodyLimits) -> BoxedFilter<(Response,)> {
        (self.handler)(self, state, limits)
    }
}

fn without_body<S, H, F>(handler: H) -> MakeFilter<S>
where
    S: Send + Sync + 'static,
    H: Fn(Arc<S>, Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    Box::new(move |route, state, _| {
        let (handler, state) = (handler.clone(), Arc::clone(state));
        call(route.query)
            .then(move |call: Result<Call, Problem>| {
                let answering = call.map(|call| handler(Arc::clone(&state), call));
                async move { respond(async { answering?.await }.await) }
            })
            .boxed()
    })
}

fn with_body<S, H, F, T>(handler: H) -> MakeFilter<S>
where
    S: Send + Sync + 'static,
    H: Fn(Arc<S>, Call, T) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
    T: DeserializeOwned + Send + 'static,
{
    Box::new(move |route, state, limits| {
        let (handler, state) = (handler.clone(), Arc::clone(state));
        let (template, repeats) = (route.template, route.repeats);
        call(route.query)
            .and(warp::body::stream())
            .then(move |call: Result<Call, Problem>, stream| {
                let (handler, state) = (handler.clone(), Arc::clone(&state));
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
    })
}

fn respond(answer: Answer) -> Response {
    answer.unwrap_or_else(Problem::into_response)
}

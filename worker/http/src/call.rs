//! What a route is handed: the request in the form in which handlers want it.

use std::pin::Pin;

use bytes::{Buf, Bytes};
use evonic_shared::config;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use warp::{Filter, Rejection, reply::Response};

use crate::{
    body,
    caller::Caller,
    problem::{Answer, Problem},
    query::Query,
};

/// The methods that resources know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// GET, and HEAD: hyper leaves the body out.
    Get,
    /// POST.
    Post,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
    /// Anything else: 405 everywhere.
    Other,
}

impl Verb {
    /// The methods of it, as `Allow` lists them.
    pub(super) const fn names(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Other => "",
        }
    }
}

impl From<&Method> for Verb {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Get,
            Method::POST => Self::Post,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// A request's body as it comes.
pub(super) type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// A request, without its path, which the filters took apart.
pub(super) struct Call {
    /// The method.
    pub(super) verb: Verb,
    /// Its headers, without its key.
    pub(super) headers: HeaderMap,
    /// Who asks.
    pub(super) caller: Caller,
    query: String,
    body: BodyStream,
}

/// Extracts the request once its path has matched.
pub(super) fn call() -> impl Filter<Extract = (Call,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Caller>())
        .and(warp::body::stream())
        .map(|method: Method, query, headers, caller, body| Call {
            verb: Verb::from(&method),
            headers,
            caller,
            query,
            body: boxed(body),
        })
}

fn boxed<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static,
) -> BodyStream {
    Box::pin(body.map_ok(|mut piece| piece.copy_to_bytes(piece.remaining())).fuse())
}

impl Call {
    /// The query's parameters; the caller ends with [`Query::finish`].
    pub(super) fn query(&self) -> Query {
        Query::parse(&self.query)
    }

    /// Refuses any parameter.
    pub(super) fn no_query(&self) -> Result<(), Problem> {
        self.query().finish()
    }

    /// A header that may be given once.
    pub(super) fn header(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.headers.get_all(name).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            return Err(Problem::malformed(name, format!("header '{name}' is given twice")));
        }
        let refuse = |_| Problem::malformed(name, format!("header '{name}' must be visible ASCII"));
        first.map(|value| value.to_str().map_err(refuse)).transpose()
    }

    /// The body as JSON of type `T`: its content type, its bounds and its fields are checked.
    ///
    /// # Errors
    /// 415, 413, 408 and 400, the last naming the field.
    pub(super) async fn json<T: DeserializeOwned>(
        self,
        settings: &config::Http,
    ) -> Result<T, Problem> {
        body::require_json(&self.headers)?;
        let bytes = body::read(self.body, &self.headers, settings).await?;
        body::parse(&bytes)
    }
}

/// An answer with a JSON body.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let text = serde_json::to_string(value).map_err(|error| Problem::internal(&error))?;
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// 204.
pub(super) fn no_content() -> Answer {
    let mut response = Response::new("".into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// The path template that answered: the `route` of metrics, never a path with identifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Template(pub(super) &'static str);

/// Turns a handler's answer into the response of its route.
pub(super) fn respond(template: &'static str, answer: Answer) -> Response {
    let mut response = answer.unwrap_or_else(Problem::into_response);
    response.extensions_mut().insert(Template(template));
    response
}

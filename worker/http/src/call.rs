//! What a handler is given: the request in the form in which handlers want it.

use std::str::FromStr;

use http::HeaderMap;
use warp::{Filter, Rejection};

use crate::{caller::Caller, problem::Problem, query::Query};
use evonic_store::RequestKey;

/// A request that admission let pass. In the extensions of every request that reaches a route.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    /// Who asks.
    pub(super) caller: Caller,
    /// What the path has for the template's segment in braces; empty where it has none.
    pub(super) id: String,
    /// The same for a second one.
    pub(super) part: String,
}

/// A request without its body.
#[derive(Debug)]
pub(super) struct Call {
    /// Who asks.
    pub(super) caller: Caller,
    /// What the path has for the template's segment in braces; empty where it has none.
    pub(super) id: String,
    /// The same for a second one.
    pub(super) part: String,
    /// The parameters that the route takes.
    pub(super) query: Query,
    /// Its headers, without its key.
    pub(super) headers: HeaderMap,
    /// Where the route creates something, and the client named the request.
    pub(super) request_key: Option<RequestKey>,
}

impl Call {
    /// The identifier in its path.
    ///
    /// # Errors
    /// 404: what has not the form of an identifier identifies nothing.
    pub(super) fn identify<T: FromStr>(&self, what: &str) -> Result<T, Problem> {
        self.id.parse().map_err(|_| Problem::not_found(format!("no {what} {}", self.id)))
    }
}

/// Extracts an admitted request, or what is wrong with it.
pub(super) fn call(
    known: &'static [&'static str],
) -> impl Filter<Extract = (Result<Call, Problem>,), Error = Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::ext::get::<Admitted>().and(query).and(warp::header::headers_cloned()).map(
        move |admitted: Admitted, query: String, headers: HeaderMap| {
            let Admitted { caller, id, part } = admitted;
            let query = Query::parse(&query, known)?;
            Ok(Call { caller, id, part, query, headers, request_key: None })
        },
    )
}

//! Whether a request may be answered: who asks, whether they may, and how often.

use http::{HeaderMap, Method, Uri};

use crate::{
    domain::Scope,
    http::{caller::Caller, problem::Problem},
};

/// Lets a request pass, or says why not. Awaited between the guard and the routes, for each
/// request but those of a connection that is only there to be refused.
///
/// Cancel safe: a client that leaves ends it.
///
/// # Errors
/// None yet: a loopback client is believed.
pub(super) async fn admit(
    _method: &Method,
    _uri: &Uri,
    _headers: &HeaderMap,
    mut caller: Caller,
) -> Result<Caller, Problem> {
    // Limits by address stand here, before anything is looked up.
    caller.scope = Some(Scope::Admin);
    // Limits by key stand here, where failures are counted too.
    Ok(caller)
}

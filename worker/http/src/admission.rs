//! Whether a request may be answered: who asks, whether they may, and how often.

use http::{
    HeaderMap, Method, StatusCode, Uri,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};

use crate::{
    call::Admitted,
    caller::{Caller, Identity},
    keyring::Keyring,
    limits::{Limits, Who},
    problem::Problem,
    route::{Access, RouteFilter},
    router::{Captures, Resource, Router},
};
use evonic_domain::Scope;

/// One for a server.
pub(super) struct Admission {
    keyring: Keyring,
    limits: Limits,
    router: Router,
}

/// What became of a request.
pub(super) struct Decision<'r> {
    /// The template of what it asked for; empty where that is nothing.
    pub(super) template: &'static str,
    /// Fields of its answer about rate limits.
    pub(super) limits: HeaderMap,
    /// Where it goes, or why not.
    pub(super) outcome: Result<Dispatch<'r>, Problem>,
}

/// The route of a request that was let in.
pub(super) struct Dispatch<'r> {
    pub(super) admitted: Admitted,
    pub(super) filter: &'r RouteFilter,
    /// Its answer may wait for something, if a parameter asks for that.
    pub(super) waits: bool,
}

impl Admission {
    pub(super) const fn new(keyring: Keyring, limits: Limits, router: Router) -> Self {
        Self { keyring, limits, router }
    }

    /// Whether nothing at this path needs a key.
    pub(super) fn is_free(&self, path: &str) -> bool {
        self.router.find(path).is_some_and(|(resource, _)| resource.is_free())
    }

    /// Lets a request pass, or says why not. Awaited between the guard and the route, for each
    /// request but those of a connection that is only there to be refused.
    ///
    /// Refuses with 429 who asks too often, 401 without a key that is valid, 403 who may not do
    /// this; 404 and 405 for what is not there, but only to who has a key.
    ///
    /// Cancel safe: a client that leaves ends it.
    pub(super) async fn admit(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        caller: Caller,
    ) -> Decision<'_> {
        let found = self.router.find(uri.path());
        let mut limits = HeaderMap::new();
        let identified = if found.is_some_and(|(resource, _)| resource.is_free()) {
            Ok(caller)
        } else {
            self.identify_and_count(headers, caller, &mut limits).await
        };
        Decision {
            template: found.map_or("", |(resource, _)| resource.template),
            limits,
            outcome: identified.and_then(|caller| dispatch(found, method, caller)),
        }
    }

    /// Who asks, where its limits have room. An address that failed too often is refused before its
    /// key is checked; all else is counted once it is known whose key it is.
    async fn identify_and_count(
        &self,
        headers: &HeaderMap,
        caller: Caller,
        fields: &mut HeaderMap,
    ) -> Result<Caller, Problem> {
        let Some(address) = caller.address else { return self.identify(headers, caller).await };
        self.limits.check_blocked(address, fields)?;
        let identified = self.identify(headers, caller).await;
        let is_refused = |problem: &Problem| problem.status() == StatusCode::UNAUTHORIZED;
        let who = match &identified {
            Ok(caller) => caller.key().map_or(Who::Nobody, Who::Key),
            Err(problem) if is_refused(problem) && headers.contains_key(AUTHORIZATION) => {
                Who::Refused
            }
            Err(_) => Who::Nobody,
        };
        self.limits.count(address, who, fields).await?;
        identified
    }

    /// By its key, if one is shown; else by its connection, if that is enough.
    async fn identify(&self, headers: &HeaderMap, mut caller: Caller) -> Result<Caller, Problem> {
        if caller.scope.is_some() && !headers.contains_key(AUTHORIZATION) {
            return Ok(caller);
        }
        let key = self.keyring.recognise(headers).await?;
        caller.identity = Identity::Key(key.id.clone());
        caller.scope = Some(key.scope);
        caller.agents = key.agents.clone();
        Ok(caller)
    }
}

/// Whether what is asked for is there, and this caller may have it.
fn dispatch<'r>(
    found: Option<(&'r Resource, Captures<'_>)>,
    method: &Method,
    caller: Caller,
) -> Result<Dispatch<'r>, Problem> {
    let Some((resource, captures)) = found else {
        return Err(Problem::not_found("there is nothing here"));
    };
    let line = resource.line(method)?;
    authorise(line.access, &caller)?;
    let admitted = Admitted { caller, id: captures.id.to_owned(), part: captures.part.to_owned() };
    Ok(Dispatch { admitted, filter: &line.filter, waits: line.waits })
}

/// Whether a caller has what is needed.
fn authorise(access: Access, caller: &Caller) -> Result<(), Problem> {
    let (needed, is_whole) = match access {
        Access::Free => return Ok(()),
        Access::Whole(scope) => (scope, true),
        Access::OfAgents(scope) => (scope, false),
    };
    if caller.scope < Some(needed) {
        return Err(scope_missing(needed, caller.scope));
    }
    if is_whole && caller.agents.is_some() {
        let detail = "this is beyond the agents that the key is restricted to";
        return Err(Problem::new(StatusCode::FORBIDDEN, "key_restricted", detail));
    }
    Ok(())
}

fn scope_missing(needed: Scope, scope: Option<Scope>) -> Problem {
    let has = scope.map_or("none", Scope::name);
    let detail = format!("this needs a key with scope '{needed}'; this one has '{has}'");
    let challenge =
        format!("Bearer realm=\"evonic\", error=\"insufficient_scope\", scope=\"{needed}\"");
    Problem::new(StatusCode::FORBIDDEN, "scope_missing", detail)
        .with("needed_scope", needed.name().into())
        .with("scope", has.into())
        .with_header(WWW_AUTHENTICATE, &challenge)
}

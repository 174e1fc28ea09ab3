//! Which route a request is for: looked up once, by admission, and then dispatched.

use std::sync::Arc;

use http::Method;

use crate::{
    body::BodyLimits,
    problem::Problem,
    route::{Access, Route, RouteFilter},
};

/// Every route of a server, by resource.
pub(crate) struct Router {
    resources: Vec<Resource>,
}

/// The lines of one path.
pub(crate) struct Resource {
    /// Its template: the `route` of metrics, never a path with identifiers.
    pub(crate) template: &'static str,
    lines: Vec<Line>,
}

/// One method of a resource.
pub(crate) struct Line {
    method: Method,
    /// What the caller needs.
    pub(crate) access: Access,
    /// What answers.
    pub(crate) filter: RouteFilter,
    /// The answer may wait for something, if a parameter asks for that.
    pub(crate) waits: bool,
}

impl Router {
    /// A router of these routes, which serve from this state.
    pub(crate) fn new<S: Send + Sync + 'static>(
        routes: Vec<Route<S>>,
        state: &Arc<S>,
        limits: BodyLimits,
    ) -> Self {
        let mut resources = Vec::<Resource>::new();
        for route in routes {
            let filter = route.filter(state, limits);
            // A client that closes its sending side meanwhile has left.
            let waits = route.query.contains(&"wait");
            let (method, access) = (route.method, route.access);
            let line = Line { method, access, filter, waits };
            let template = route.template;
            match resources.iter_mut().find(|resource| resource.template == template) {
                Some(resource) => resource.lines.push(line),
                None => resources.push(Resource { template, lines: vec![line] }),
            }
        }
        Self { resources }
    }

    /// The resource of a path, and what stands in it for the template's segments in braces; nothing
    /// when no line is about it. Splits the path at slashes, undecoded, with or without one at its
    /// end.
    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<(&Resource, Captures<'p>)> {
        let path = path.strip_suffix('/').unwrap_or(path);
        self.resources
            .iter()
            .find_map(|resource| Some((resource, capture(resource.template, path)?)))
    }
}

impl Resource {
    /// The line of a method.
    ///
    /// # Errors
    /// 405 that lists the methods that it has.
    pub(crate) fn line(&self, method: &Method) -> Result<&Line, Problem> {
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        let line = self.lines.iter().find(|line| line.method == *wanted);
        line.ok_or_else(|| Problem::not_allowed(&self.methods()))
    }

    /// Its methods, as a refusal lists them.
    fn methods(&self) -> String {
        let methods = self.lines.iter().map(|line| answered_by(&line.method));
        methods.collect::<Vec<_>>().join(", ")
    }

    /// Whether nothing about it needs a key.
    pub(crate) fn is_free(&self) -> bool {
        self.lines.iter().all(|line| line.access == Access::Free)
    }
}

/// The methods that a line of this one answers, as `Allow` lists them.
pub(crate) fn answered_by(method: &Method) -> &str {
    if method == Method::GET { "GET, HEAD" } else { method.as_str() }
}

/// What a path has for the segments in braces; empty where the template has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Captures<'p> {
    /// For the first one: what the path is about.
    pub(crate) id: &'p str,
    /// For the second one: what belongs to that.
    pub(crate) part: &'p str,
}

/// What a path has for the segments in braces; nothing when it does not fit.
fn capture<'p>(template: &str, path: &'p str) -> Option<Captures<'p>> {
    let (mut given, mut captured) = (path.split('/'), Captures::default());
    for wanted in template.split('/') {
        let segment = given.next()?;
        if wanted.starts_with('{') && !segment.is_empty() {
            let place = if captured.id.is_empty() { &mut captured.id } else { &mut captured.part };
            *place = segment;
        } else if segment != wanted {
            return None;
        }
    }
    given.next().is_none().then_some(captured)
}

#[cfg(test)]
mod tests;

//! What every route needs of its caller: one table, which is also the documentation.
//!
//! The routes are asked only for what stands here. A route that is added without a decision cannot
//! be reached, and a test says so.

use crate::call::Verb::{self, Delete, Get, Patch, Post};
use evonic_domain::Scope;

/// What a caller needs for one method of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: health.
    Nothing,
    /// This scope, and no restriction to agents.
    Whole(Scope),
    /// This scope. A key that is restricted to agents sees theirs and nothing else; the route
    /// itself looks.
    OfAgents(Scope),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    /// The path; a segment in braces stands for any one.
    pub(crate) template: &'static str,
    /// The method.
    pub(crate) verb: Verb,
    /// What it needs.
    pub(crate) need: Need,
}

/// The resource that a path names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource {
    table: &'static [Decision],
    /// Its template.
    pub(crate) template: &'static str,
}

const fn decide(template: &'static str, verb: Verb, need: Need) -> Decision {
    Decision { template, verb, need }
}

use Need::{Nothing, OfAgents, Whole};
use Scope::{Admin, Operate, Read, Run};

/// Every decision. Lines of one resource stand together.
pub(crate) const DECISIONS: &[Decision] = &[
    decide("/livez", Get, Nothing),
    decide("/readyz", Get, Nothing),
    decide("/healthz", Get, Nothing),
    decide("/metrics", Get, Whole(Read)),
    decide("/api/openapi.json", Get, OfAgents(Read)),
    decide("/api/v1/handles", Get, Whole(Read)),
    decide("/api/v1/hosts", Get, Whole(Read)),
    decide("/api/v1/models", Get, OfAgents(Read)),
    decide("/api/v1/agents", Get, OfAgents(Read)),
    decide("/api/v1/agents", Post, Whole(Operate)),
    decide("/api/v1/agents/{id}", Get, OfAgents(Read)),
    decide("/api/v1/agents/{id}", Patch, Whole(Operate)),
    decide("/api/v1/agents/{id}", Delete, Whole(Operate)),
    decide("/api/v1/sessions", Get, OfAgents(Read)),
    decide("/api/v1/sessions", Post, OfAgents(Run)),
    decide("/api/v1/sessions/{id}", Get, OfAgents(Read)),
    decide("/api/v1/sessions/{id}", Patch, OfAgents(Run)),
    decide("/api/v1/sessions/{id}", Delete, OfAgents(Run)),
    decide("/api/v1/sessions/{id}/messages", Get, OfAgents(Read)),
    decide("/api/v1/sessions/{id}/messages", Post, OfAgents(Run)),
    decide("/api/v1/sessions/{id}/turns", Get, OfAgents(Read)),
    decide("/api/v1/sessions/{id}/events", Get, OfAgents(Read)),
    decide("/api/v1/turns/{id}", Get, OfAgents(Read)),
    decide("/api/v1/turns/{id}/cancel", Post, OfAgents(Run)),
    decide("/api/v1/workplaces", Get, Whole(Read)),
    decide("/api/v1/workplaces", Post, Whole(Admin)),
    decide("/api/v1/workplaces/{id}", Get, Whole(Read)),
    decide("/api/v1/workplaces/{id}", Patch, Whole(Admin)),
    decide("/api/v1/workplaces/{id}", Delete, Whole(Admin)),
    decide("/api/v1/workplaces/{id}/check", Post, Whole(Operate)),
    decide("/api/v1/sandbox/build", Post, Whole(Operate)),
    decide("/api/v1/copies", Post, Whole(Operate)),
    decide("/api/v1/audit", Get, Whole(Admin)),
    decide("/api/v1/keys", Get, Whole(Admin)),
    decide("/api/v1/keys", Post, Whole(Admin)),
    decide("/api/v1/keys/{id}", Get, Whole(Admin)),
    decide("/api/v1/keys/{id}", Delete, Whole(Admin)),
];

impl Resource {
    /// The resource of a path; nothing when no line is about it. Splits the path as the routes do:
    /// at slashes, undecoded, with or without one at its end.
    pub(crate) fn find(table: &'static [Decision], path: &str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let line = table.iter().find(|line| fits(line.template, path))?;
        Some(Self { table, template: line.template })
    }

    fn lines(self) -> impl Iterator<Item = &'static Decision> {
        self.table.iter().filter(move |line| line.template == self.template)
    }

    /// What a method of it needs; nothing when it has no such method.
    pub(crate) fn need(self, verb: Verb) -> Option<Need> {
        self.lines().find(|line| line.verb == verb).map(|line| line.need)
    }

    /// Whether nothing about it needs a key.
    pub(crate) fn is_free(self) -> bool {
        self.lines().all(|line| line.need == Nothing)
    }

    /// Its methods, as a refusal lists them.
    pub(crate) fn methods(self) -> String {
        self.lines().map(|line| line.verb.names()).collect::<Vec<_>>().join(", ")
    }
}

fn fits(template: &str, path: &str) -> bool {
    let mut given = path.split('/');
    template.split('/').all(|wanted| match given.next() {
        Some(segment) if wanted.starts_with('{') => !segment.is_empty(),
        Some(segment) => segment == wanted,
        None => false,
    }) && given.next().is_none()
}

#[cfg(test)]
mod tests;

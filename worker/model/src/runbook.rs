//! The embedded default: a message is a runbook, a small language of steps. See `docs/runbook.md`.
//!
//! | File | What it holds |
//! |---|---|
//! | `script` | a runbook as values, and how they are written |
//! | `lexer` | words and quotes of one line |
//! | `parse` | from a message to a script |
//! | `error` | why a message is no runbook |
//! | `plan` | from a script to tool calls |
//! | `report` | what the operator reads at the end |
//!
//! A pure function of the transcript: it parses the last user message, matches the tool results
//! since, and asks for the next step's tool call, or ends with a report.
//!
//! Invariant: no clock, no I/O and no state; the same transcript always gives the same reply, so
//! whichever worker is asked, a turn continues where it stood.

mod error;
mod lexer;
mod parse;
mod plan;
mod report;
mod script;

#[cfg(test)]
mod tests;


use self::{
    error::ParseErrorKind,
    plan::{Plan, Progress},
};
use super::{ModelError, Reply, Request, request::Sink};
use evonic_domain::{Item, Usage};

/// The decoder of runbooks, for the fuzzer.
pub(crate) fn runbook(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = parse::parse(text) {
        assert!(!error.to_string().is_empty());
    }
}

/// The runbook model. It has no state.
#[derive(Debug, Default)]
pub struct Runbook;

impl Runbook {
    /// The name under which an agent has this model.
    pub const NAME: &str = "runbook";

    /// See [`super::Model::reply`].
    pub(super) async fn reply(
        &self,
        request: &Request,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, ModelError> {
        let reply = answer(request);
        sink.text(reply.text.clone()).await;
        Ok(reply)
    }
}

/// The reply to a transcript.
fn answer(request: &Request) -> Reply {
    let (message, since) = last_message(&request.items);
    let plan = parse::parse(message).and_then(|script| {
        let plan = Plan::new(&script);
        match plan.first_denied(&request.tools) {
            Some((at, tool)) => Err(at.error(ParseErrorKind::ToolDenied { tool })),
            None => Ok(plan),
        }
    });
    let (text, tool_calls) = match plan {
        Err(error) => (report::refusal(message, &error), Vec::new()),
        Ok(plan) => match plan.progress(since) {
            Progress::Next(index) => (report::announcement(&plan, index), vec![plan.call(index)]),
            Progress::Ended(ending) => (report::report(&plan, &ending), Vec::new()),
        },
    };
    Reply {
        text,
        tool_calls,
        usage: Usage::default(),
        carried: None,
        model: Runbook::NAME.to_owned(),
        cost: 0,
    }
}

/// The last user message, and what came after it.
fn last_message(items: &[Item]) -> (&str, &[Item]) {
    let found = items.iter().enumerate().rev().find_map(|(index, item)| match item {
        Item::User { text, .. } => Some((text.as_str(), index + 1)),
        Item::Summary { .. }
        | Item::LeftOut { .. }
        | Item::Assistant { .. }
        | Item::ToolResult { .. } => None,
    });
    found.map_or(("", items), |(text, after)| (text, items.get(after..).unwrap_or_default()))
}

//! The assembly of a reply: chunks in, a reply out.

use std::collections::HashSet;

use super::{
    chunk::{CallDelta, Chunk, Tokens, explain},
    failure::Failure,
};
use crate::Reply;
use evonic_domain::{ToolCall, Usage};

/// The most tool calls of a reply.
pub(super) const MAX_CALLS: usize = 64;

/// The reply so far.
#[derive(Debug)]
pub(super) struct Assembly {
    /// The most bytes of it: its text, and the names and arguments of its calls.
    limit: usize,
    text: String,
    calls: Vec<Call>,
    finish: Option<Finish>,
    tokens: Option<Tokens>,
    bytes: usize,
    /// Whether any choice came.
    begun: bool,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// At the model's own end, whatever the endpoint calls it.
    Done,
    /// At the limit of tokens.
    Length,
    /// By a filter.
    Filtered,
}

impl Assembly {
    /// No part of a reply of at most `limit` bytes.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            text: String::new(),
            calls: Vec::new(),
            finish: None,
            tokens: None,
            bytes: 0,
            begun: false,
        }
    }

    /// Takes the next chunk; returns the text that it added.
    ///
    /// # Errors
    /// [`Failure`] when the chunk is an error, or goes past a bound.
    pub(super) fn take(&mut self, chunk: Chunk) -> Result<String, Failure> {
        if let Some(error) = &chunk.error {
            return Err(failure(error));
        }
        self.tokens = chunk.usage.or(self.tokens);
        let mut added = String::new();
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            self.begun = true;
            if let Some(delta) = choice.delta {
                let content = delta.content.map(|content| content.into_text());
                for text in [content, delta.refusal].into_iter().flatten() {
                    self.count(text.len())?;
                    added.push_str(&text);
                }
                for call in delta.tool_calls {
                    self.take_call(call)?;
                }
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                self.finish = Some(finish(&reason)?);
            }
        }
        self.text.push_str(&added);
        Ok(added)
    }

    /// Whether any part of a reply came.
    pub(super) const fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether the endpoint said how the reply ends. Only the count of tokens may follow.
    pub(super) const fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    fn take_call(&mut self, delta: CallDelta) -> Result<(), Failure> {
        let (name, arguments) = delta.function.into_parts();
        self.count(delta.id.len() + name.len() + arguments.len())?;
        let place = self.place(delta.index, &delta.id, &name);
        let call = match place {
            Some(place) => &mut self.calls[place],
            None if self.calls.len() == MAX_CALLS => {
                return Err(Failure::protocol(format!("more than {MAX_CALLS} tool calls")));
            }
            None => {
                self.calls.push(Call { index: delta.index, ..Call::default() });
                self.calls.last_mut().expect("one was pushed")
            }
        };
        if call.id.is_empty() {
            call.id = delta.id;
        }
        if call.name.is_empty() {
            call.name = name;
        }
        call.arguments.push_str(&arguments);
        Ok(())
    }

    /// The call that a piece belongs to; none when it begins a new one. Some endpoints number every
    /// call 0, and some number none: then a name, with another id, begins the next.
    fn place(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let last = |call: &Call| index.is_none() || call.index == index;
        let place = self.calls.iter().rposition(last)?;
        let call = &self.calls[place];
        let other_id = !id.is_empty() && !call.id.is_empty() && call.id != id;
        let anonymous = index.is_none() && id.is_empty() && !call.name.is_empty();
        let begins = !name.is_empty() && (other_id || anonymous);
        (!begins).then_some(place)
    }

    fn count(&mut self, bytes: usize) -> Result<(), Failure> {
        self.bytes += bytes;
        if self.bytes > self.limit { Err(Failure::TooLarge { limit: self.limit }) } else { Ok(()) }
    }

    /// The reply, whose call ids differ from each other and from these, and a note at the end of
    /// its text that the endpoint did not send.
    ///
    /// # Errors
    /// [`Failure`] when the reply was filtered, or a call has no name.
    pub(super) fn finish(mut self, taken: &HashSet<&str>) -> Result<(Reply, String), Failure> {
        let mut note = String::new();
        match self.finish {
            Some(Finish::Filtered) => {
                let message = "its content filter stopped the reply".to_owned();
                return Err(Failure::Refused { status: 200, message });
            }
            Some(Finish::Length) => note = self.cut_short(),
            Some(Finish::Done) | None => {}
        }
        if self.calls.iter().any(|call| call.name.is_empty()) {
            return Err(Failure::protocol("a tool call without a name"));
        }
        self.text.push_str(&note);
        let tokens = self.tokens.map_or_else(Usage::default, |tokens| Usage {
            input_tokens: tokens.prompt_tokens,
            output_tokens: tokens.completion_tokens,
            ..Usage::default()
        });
        let tool_calls = unique(self.calls, taken);
        let reply = Reply {
            text: self.text,
            tool_calls,
            usage: tokens,
            carried: None,
            model: String::new(),
            cost: 0,
        };
        Ok((reply, note))
    }

    /// Drops the calls that the limit cut, and returns a note: half of an argument must never be run.
    fn cut_short(&mut self) -> String {
        let all = self.calls.len();
        self.calls.retain(|call| {
            !call.name.is_empty()
                && serde_json::from_str::<serde::de::IgnoredAny>(&call.arguments).is_ok()
        });
        let space = if self.text.is_empty() { "" } else { "\n\n" };
        match all - self.calls.len() {
            0 => format!("{space}[The reply was cut off at its limit of tokens.]"),
            cut => format!(
                "{space}[The reply was cut off at its limit of tokens; {cut} unfinished tool calls \
                 were dropped.]"
            ),
        }
    }
}

/// The failure that an error in an answer means.
fn failure(error: &serde_json::Value) -> Failure {
    match explain(error) {
        (Some(status), message) => Failure::status(status, message, None),
        (None, message) => Failure::transient(message),
    }
}

fn finish(reason: &str) -> Result<Finish, Failure> {
    match reason {
        "length" => Ok(Finish::Length),
        "content_filter" => Ok(Finish::Filtered),
        "error" => Err(Failure::transient("the endpoint ended the reply with an error")),
        _ => Ok(Finish::Done),
    }
}

/// Calls with ids of their own, and arguments that are at least an empty object.
fn unique(calls: Vec<Call>, taken: &HashSet<&str>) -> Vec<ToolCall> {
    let mut given: HashSet<String> = HashSet::new();
    let mut made = (1_u32..).map(|number| format!("call-{number}"));
    let own: HashSet<String> = calls.iter().map(|call| call.id.clone()).collect();
    let make = |call: Call| {
        let fits = |id: &str| !id.is_empty() && !taken.contains(id);
        let id = if fits(&call.id) && !given.contains(&call.id) {
            call.id
        } else {
            made.find(|id| fits(id) && !own.contains(id)).expect("numbers do not end")
        };
        given.insert(id.clone());
        let blank = call.arguments.trim().is_empty();
        let arguments = if blank { "{}".to_owned() } else { call.arguments };
        ToolCall { id, name: call.name, arguments }
    };
    calls.into_iter().map(make).collect()
}

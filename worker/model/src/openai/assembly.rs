//! The assembly of a reply: chunks in, a reply out. What endpoints are known to vary is accepted.

use evonic_domain::Usage;
use serde_json::{Map, Value, json};

use super::{
    calls::{CUT_CALL, Calls},
    ending::{self, Ending},
    thinking::Thinking,
    usage,
};
use crate::remote::{Added, Failure, Finished, Terms};

/// Fields of a message that are reasoning as text, by any endpoint.
pub(super) const REASONING: [&str; 2] = ["reasoning_content", "reasoning"];

/// A reply that is as long as so much of the window has come to its end.
const NEAR_WINDOW: f64 = 0.9;

/// The reply so far.
#[derive(Debug)]
pub(crate) struct Assembly {
    terms: Terms,
    text: String,
    thinking: Thinking,
    calls: Calls,
    /// What of the message goes back as it came.
    carried: Map<String, Value>,
    /// The content in parts, where some are no text.
    parts: Vec<Value>,
    has_other_parts: bool,
    ending: Option<Ending>,
    usage: Option<Usage>,
    bytes: usize,
    reasoned: bool,
}

impl Assembly {
    /// No part of a reply.
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            text: String::new(),
            thinking: Thinking::default(),
            calls: Calls::default(),
            carried: Map::new(),
            parts: Vec::new(),
            has_other_parts: false,
            ending: None,
            usage: None,
            bytes: 0,
            reasoned: false,
        }
    }

    /// Takes the next chunk; returns what it added.
    ///
    /// # Errors
    /// [`Failure`] when it is no chunk, or goes past a bound.
    pub(crate) fn take(&mut self, mut chunk: Value) -> Result<Added, Failure> {
        let counted = chunk.get("usage").or_else(|| chunk.pointer("/x_groq/usage"));
        self.usage = counted.and_then(usage::read).or(self.usage);
        let choices = match chunk.get_mut("choices").map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(choices)) => choices,
            Some(_) => return Err(Failure::protocol("choices is no list")),
        };
        let mut added = Added::default();
        let first = |choice: &Value| choice.get("index").is_none_or(|i| i.is_null() || *i == 0);
        for mut choice in choices.into_iter().filter(first) {
            // `message` in a completion, and in the streams of some.
            for name in ["delta", "message"] {
                match choice.get_mut(name).map(Value::take) {
                    None | Some(Value::Null) => {}
                    Some(Value::Object(delta)) => added.append(self.take_delta(delta)?),
                    Some(_) => return Err(Failure::protocol(format!("{name} is no object"))),
                }
            }
            if let Some(reason) = choice.get("finish_reason").and_then(ending::reason) {
                self.ending = Some(Ending::read(&reason));
            }
        }
        self.text.push_str(&added.text);
        Ok(added)
    }

    fn take_delta(&mut self, mut delta: Map<String, Value>) -> Result<Added, Failure> {
        let mut added = Added::default();
        for name in REASONING {
            if let Some(Value::String(text)) = delta.remove(name) {
                self.count(text.len())?;
                // Some endpoints send it twice, under both names.
                if added.reasoning.is_empty() {
                    added.reasoning.push_str(&text);
                }
                append(&mut self.carried, name, Value::String(text));
            }
        }
        for name in ["reasoning_details", "extra_content"] {
            if let Some(value) = delta.remove(name).filter(|value| !value.is_null()) {
                self.count(value.to_string().len())?;
                append(&mut self.carried, name, value);
            }
        }
        match delta.remove("content") {
            Some(Value::String(text)) => {
                self.count(text.len())?;
                added.append(self.thinking.push(&text));
            }
            Some(Value::Array(parts)) => {
                for part in parts {
                    added.append(self.take_part(part)?);
                }
            }
            None | Some(Value::Null) => {}
            Some(_) => return Err(Failure::protocol("content is neither text nor a list")),
        }
        if let Some(Value::String(refusal)) = delta.remove("refusal") {
            self.count(refusal.len())?;
            added.text.push_str(&refusal);
        }
        if let Some(calls) = delta.remove("tool_calls") {
            let bytes = self.calls.take(calls, &self.terms)?;
            self.count(bytes)?;
        }
        if let Some(function) = delta.remove("function_call").filter(|call| !call.is_null()) {
            let bytes = self.calls.take_function(function, &self.terms)?;
            self.count(bytes)?;
        }
        self.reasoned |= !added.reasoning.is_empty();
        Ok(added)
    }

    /// A part of content: text, reasoning, or what is only kept.
    fn take_part(&mut self, part: Value) -> Result<Added, Failure> {
        self.count(part.to_string().len())?;
        let text = |value: &Value| value.get("text").and_then(Value::as_str).map(str::to_owned);
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        let mut added = Added::default();
        if let Some(thinking) = part.get("thinking") {
            let parts = thinking.as_array().map(|parts| parts.iter().filter_map(text).collect());
            added.reasoning =
                parts.or_else(|| thinking.as_str().map(str::to_owned)).unwrap_or_default();
        } else if kind == "text" {
            added.text = text(&part).unwrap_or_default();
        }
        self.has_other_parts |= kind != "text";
        self.parts.push(part);
        Ok(added)
    }

    /// The tokens so far.
    pub(crate) fn usage(&self) -> Usage {
        self.usage.unwrap_or_default()
    }

    /// Whether any token of a reply came.
    pub(crate) fn is_begun(&self) -> bool {
        !self.text.is_empty() || self.reasoned || !self.calls.is_empty() || self.bytes > 0
    }

    /// Whether the endpoint said how the reply ends. Only the count of tokens may follow.
    pub(crate) const fn is_finished(&self) -> bool {
        self.ending.is_some()
    }

    fn count(&mut self, bytes: usize) -> Result<(), Failure> {
        self.bytes += bytes;
        let limit = self.terms.limit;
        if self.bytes > limit { Err(Failure::TooLarge { limit }) } else { Ok(()) }
    }

    /// The reply, whose call ids differ from each other and from those before, and what of it did
    /// not come yet, with a note that the endpoint did not send. `ended` is whether the endpoint
    /// said that nothing more comes.
    ///
    /// # Errors
    /// [`Failure`] when it was filtered, or is not complete.
    pub(crate) fn finish(mut self, ended: bool) -> Result<(Finished, Added), Failure> {
        let mut rest = self.thinking.finish();
        self.text.push_str(&rest.text);
        self.reasoned |= !rest.reasoning.is_empty();
        match self.ending.take() {
            Some(Ending::Filtered) => {
                let message = "its content filter stopped the reply".to_owned();
                return Err(Failure::Refused { status: 200, message });
            }
            Some(Ending::Broken) => {
                return Err(Failure::transient("the endpoint ended the reply with an error"));
            }
            Some(Ending::Other(reason)) => {
                return Err(Failure::incomplete(format!("it ended with {reason:?}")));
            }
            Some(Ending::Length) if self.is_empty() => return Err(self.cut_before_it_began()),
            Some(Ending::Length) => {
                let (cut, begun) = self.calls.drop_cut();
                if self.is_empty() && !begun {
                    return Err(Failure::incomplete(CUT_CALL));
                }
                let note = self.cut_short(cut);
                rest.text.push_str(&note);
                self.text.push_str(&note);
            }
            Some(Ending::Calls) if self.calls.is_empty() => {
                return Err(Failure::incomplete("it announced tool calls, and none came"));
            }
            None if self.calls.has_half() => {
                return Err(Failure::incomplete("it ended within a tool call"));
            }
            None if !ended => {
                return Err(Failure::transient("the answer ended before the reply did"));
            }
            Some(Ending::Done | Ending::Calls) | None => {}
        }
        if self.calls.has_nameless() {
            return Err(Failure::incomplete("a tool call without a name"));
        }
        if self.is_empty() {
            return Err(Failure::incomplete(match (self.reasoned, self.text.is_empty()) {
                (true, _) => "nothing but reasoning came",
                (false, false) => "nothing but white space came",
                (false, true) => "nothing came but its end",
            }));
        }
        let usage = self.usage.unwrap_or_default();
        let (tool_calls, call_fields) = self.calls.finish(&self.terms);
        if tool_calls.is_empty() {
            // Endpoints want it back beside calls only, and some refuse it elsewhere.
            self.carried.retain(|name, _| !REASONING.contains(&name.as_str()));
        }
        if self.has_other_parts {
            self.carried.insert("content".to_owned(), Value::Array(self.parts));
        }
        let mut carried = Map::new();
        for (name, fields) in [("message", self.carried), ("calls", call_fields)] {
            if !fields.is_empty() {
                carried.insert(name.to_owned(), Value::Object(fields));
            }
        }
        let carried = if carried.is_empty() { Value::Null } else { json!(carried) };
        Ok((Finished { text: self.text, tool_calls, usage, carried }, rest))
    }

    fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.text.trim().is_empty()
    }

    /// The failure of a reply of which the limit left nothing: the request took the whole window,
    /// or the limit is too low for this model.
    fn cut_before_it_began(&self) -> Failure {
        let usage = self.usage.unwrap_or_default();
        let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
        let full = match self.terms.window {
            #[expect(clippy::cast_precision_loss, reason = "tokens are far fewer than 2^52")]
            Some(window) => tokens as f64 >= window as f64 * NEAR_WINDOW,
            None => usage.input_tokens > 0 && usage.output_tokens <= 1,
        };
        if full {
            let message = "nothing of the reply had room in the window".to_owned();
            let tokens = Some(usage.input_tokens);
            return Failure::TooLong { window: self.terms.window, tokens, message };
        }
        let message =
            "it was cut off at its limit of tokens before any of it came: raise max_tokens";
        Failure::Incomplete { message: message.to_owned(), again: false }
    }

    /// A note for a reply of which the limit cut so many calls.
    fn cut_short(&self, cut: usize) -> String {
        let space = if self.text.is_empty() { "" } else { "\n\n" };
        match cut {
            0 => format!("{space}[The reply was cut off at its limit of tokens.]"),
            cut => format!(
                "{space}[The reply was cut off at its limit of tokens; {cut} unfinished tool calls \
                 were dropped.]"
            ),
        }
    }
}

/// Appends a piece of a field: text to text, entries to a list; anything else stands for itself.
fn append(fields: &mut Map<String, Value>, name: &str, piece: Value) {
    match (fields.get_mut(name), piece) {
        (Some(Value::String(text)), Value::String(more)) => text.push_str(&more),
        (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
        (_, piece) => {
            fields.insert(name.to_owned(), piece);
        }
    }
}

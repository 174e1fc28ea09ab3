//! A transcript as messages that the strictest endpoint takes.
//!
//! Whatever became of earlier turns, these hold: the first message is a user's, and so is the last
//! unless it is a result; no message is empty; two of a kind do not follow each other; each call
//! has one result, right behind it; names and ids fit. What an item becomes depends on those
//! before it, never on those behind: prompt caches stay valid.

use std::{borrow::Cow, collections::HashSet};

use evonic_domain::{Attachment, Item, Outcome, ToolCall};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Request;

/// The longest name of a tool that endpoints take.
const MAX_NAME: usize = 64;

/// Letters and digits of an id that fits every endpoint: as many as Mistral wants.
const ID_LENGTH: usize = 9;

/// What stands for what is not there.
const EMPTY_MESSAGE: &str = "(empty message)";
const EMPTY_RESULT: &str = "(no output)";
const NO_REPLY: &str = "(This turn ended without a reply.)";
const EARLIER: &str = "(Earlier messages are not shown.)";
const CONTINUE: &str = "(Continue.)";
const NOT_RUN: &str = "The call was not run.";

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// At least one part; what was said in a row is one message.
    User(Vec<Part<'a>>),
    Assistant(AssistantMessage<'a>),
    Result(Answered<'a>),
}

/// A part of a user's message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part<'a> {
    /// Not blank.
    Text(Cow<'a, str>),
    Attachment(&'a Attachment),
}

/// A reply: text that is not blank, or calls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AssistantMessage<'a> {
    pub(crate) text: &'a str,
    pub(crate) calls: Vec<Called<'a>>,
    /// What came with it from this endpoint.
    pub(crate) carried: Option<&'a Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Called<'a> {
    /// As it is sent.
    pub(crate) id: Cow<'a, str>,
    /// As it was given.
    pub(crate) own_id: &'a str,
    pub(crate) name: Cow<'a, str>,
    /// A JSON object.
    pub(crate) arguments: Cow<'a, str>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answered<'a> {
    pub(crate) id: Cow<'a, str>,
    /// How it ended, if not well.
    pub(crate) how: &'static str,
    pub(crate) content: &'a str,
    pub(crate) failed: bool,
}

/// The messages of a request to this endpoint.
pub(crate) fn messages<'a>(request: &'a Request, endpoint: &str) -> Vec<Message<'a>> {
    let mut history = History {
        endpoint,
        names: sent_names(request),
        messages: Vec::with_capacity(request.items.len()),
        open: Vec::new(),
        ids: HashSet::new(),
    };
    for item in request.items.iter() {
        history.take(item);
    }
    history.finish()
}

struct History<'a, 'e> {
    endpoint: &'e str,
    /// Tools by their names: as they are, and as they are sent.
    names: Vec<(&'a str, Cow<'a, str>)>,
    messages: Vec<Message<'a>>,
    /// Calls whose results have not come yet: as they were given, and as they are sent.
    open: Vec<(&'a str, Cow<'a, str>)>,
    /// Ids that were sent.
    ids: HashSet<Cow<'a, str>>,
}

impl<'a> History<'a, '_> {
    fn take(&mut self, item: &'a Item) {
        match item {
            Item::User { text, attachments } => self.say(text, attachments),
            Item::Summary { text, .. } => {
                let text = format!("[Summary of the conversation so far]\n{text}");
                self.push_user(vec![Part::Text(text.into())]);
            }
            Item::LeftOut { range } => {
                let text = format!(
                    "[Messages {} to {} of this conversation are left out for want of room.]",
                    range.first, range.last
                );
                self.push_user(vec![Part::Text(text.into())]);
            }
            Item::Assistant { text, tool_calls, carried, .. } => {
                let own = carried.as_ref().filter(|carried| carried.endpoint == self.endpoint);
                self.reply(text, tool_calls, own.map(|carried| &carried.data));
            }
            Item::ToolResult { call_id, outcome, content, .. } => {
                // No protocol has a result without its call.
                if let Some(place) = self.open.iter().position(|(own, _)| own == call_id) {
                    let (_, id) = self.open.remove(place);
                    let how = how_it_ended(*outcome);
                    let content =
                        if content.trim().is_empty() { EMPTY_RESULT } else { content.as_str() };
                    let failed = *outcome != Outcome::Ok;
                    self.messages.push(Message::Result(Answered { id, how, content, failed }));
                }
            }
        }
    }

    fn say(&mut self, text: &'a str, attachments: &'a [Attachment]) {
        let mut parts = Vec::with_capacity(1 + attachments.len());
        if !text.trim().is_empty() {
            parts.push(Part::Text(text.into()));
        } else if attachments.is_empty() {
            parts.push(Part::Text(EMPTY_MESSAGE.into()));
        }
        parts.extend(attachments.iter().map(Part::Attachment));
        self.push_user(parts);
    }

    fn push_user(&mut self, parts: Vec<Part<'a>>) {
        self.answer_open_calls();
        match self.messages.last_mut() {
            Some(Message::User(before)) => before.extend(parts),
            Some(Message::Result(_)) => {
                let said = AssistantMessage { text: NO_REPLY, calls: Vec::new(), carried: None };
                self.messages.push(Message::Assistant(said));
                self.messages.push(Message::User(parts));
            }
            Some(Message::Assistant(_)) | None => self.messages.push(Message::User(parts)),
        }
    }

    fn reply(&mut self, text: &'a str, calls: &'a [ToolCall], carried: Option<&'a Value>) {
        if text.trim().is_empty() && calls.is_empty() {
            return;
        }
        self.answer_open_calls();
        match self.messages.last() {
            None => self.messages.push(Message::User(vec![Part::Text(EARLIER.into())])),
            Some(Message::Assistant(_)) => {
                self.messages.push(Message::User(vec![Part::Text(CONTINUE.into())]));
            }
            Some(Message::User(_) | Message::Result(_)) => {}
        }
        let text = if text.trim().is_empty() { "" } else { text };
        let calls: Vec<_> = calls.iter().map(|call| self.call(call, carried.is_some())).collect();
        self.open.extend(calls.iter().map(|call| (call.own_id, call.id.clone())));
        self.messages.push(Message::Assistant(AssistantMessage { text, calls, carried }));
    }

    fn call(&mut self, call: &'a ToolCall, own: bool) -> Called<'a> {
        let mut id = match own {
            true => Cow::Borrowed(call.id.as_str()),
            false => fitting_id(&call.id),
        };
        // Two calls of the history may have one id, or come to one.
        let mut round = 0_u32;
        while !self.ids.insert(id.clone()) {
            round += 1;
            id = Cow::Owned(hashed_id(&format!("{}/{round}/{}", call.id, self.ids.len())));
        }
        let known = self.names.iter().find(|(name, _)| *name == call.name);
        let name = known.map_or_else(|| fitting_name(&call.name), |(_, sent)| sent.clone());
        Called { id, own_id: &call.id, name, arguments: arguments(&call.arguments) }
    }

    /// What a cancelled turn left out.
    fn answer_open_calls(&mut self) {
        let results = self.open.drain(..).map(|(_, id)| {
            Message::Result(Answered { id, how: "", content: NOT_RUN, failed: true })
        });
        self.messages.extend(results);
    }

    fn finish(mut self) -> Vec<Message<'a>> {
        self.answer_open_calls();
        match self.messages.last() {
            Some(Message::User(_) | Message::Result(_)) => {}
            Some(Message::Assistant(_)) => {
                self.messages.push(Message::User(vec![Part::Text(CONTINUE.into())]));
            }
            None => self.messages.push(Message::User(vec![Part::Text(EMPTY_MESSAGE.into())])),
        }
        self.messages
    }
}

/// The tools of a request by their names: as they are, and as they are sent, which differ from
/// each other.
pub(crate) fn sent_names(request: &Request) -> Vec<(&str, Cow<'_, str>)> {
    let mut names: Vec<(&str, Cow<'_, str>)> = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        let mut sent = fitting_name(&tool.name);
        if names.iter().any(|(_, other)| *other == sent) {
            let begin = sent.get(..MAX_NAME - ID_LENGTH - 1).unwrap_or(&sent);
            sent = Cow::Owned(format!("{begin}_{}", hashed_id(&tool.name)));
        }
        names.push((&tool.name, sent));
    }
    names
}

/// A name that every endpoint takes: `^[a-zA-Z0-9_-]{1,64}$`.
fn fitting_name(name: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits) {
        return Cow::Borrowed(name);
    }
    if name.is_empty() {
        return Cow::Borrowed("unnamed");
    }
    let chars = name.chars().map(|c| if fits(c) { c } else { '_' });
    Cow::Owned(chars.take(MAX_NAME).collect())
}

/// An id of another endpoint's call, as every endpoint takes it.
fn fitting_id(id: &str) -> Cow<'_, str> {
    let fits = id.len() == ID_LENGTH && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits { Cow::Borrowed(id) } else { Cow::Owned(hashed_id(id)) }
}

fn hashed_id(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(ID_LENGTH).map(|byte| char::from(DIGITS[usize::from(*byte) % 62])).collect()
}

/// Arguments as they were, unless they are no JSON object: endpoints refuse a transcript with
/// such, and the model would never learn of its mistake.
fn arguments(text: &str) -> Cow<'_, str> {
    let object = text.trim_start().starts_with('{');
    // Half a surrogate pair passes where nothing is built, and not at the endpoint.
    let sound = if text.contains("\\ud") || text.contains("\\uD") {
        serde_json::from_str::<Value>(text).is_ok()
    } else {
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    };
    match object && sound {
        true => Cow::Borrowed(text),
        false => Cow::Owned(json!({ "not_json": text }).to_string()),
    }
}

/// How a call ended, if not well, in front of what it returned.
const fn how_it_ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "",
        Outcome::Error => "The call failed.\n",
        Outcome::Unknown => {
            "The call was interrupted: whether it took effect is unknown. Look before you repeat \
             it.\n"
        }
        Outcome::Cancelled => "The call was cancelled while it ran.\n",
    }
}

#[cfg(test)]
mod tests;

//! From a transcript to the body of a request.
//!
//! The order of fields is fixed, and the messages stand last: a request begins as the one before.

use evonic_domain::{Attachment, AttachmentKind};
use serde_json::Value;

use super::blocks::Block;
use crate::{
    Request,
    body::JsonWriter,
    history::{AssistantMessage, Called, Message, Part, messages, sent_names},
    openai::parameters,
    remote::{Inlined, Sending, in_words, is_document},
};

/// The header that carries the key.
pub(crate) const KEY_HEADER: &str = "x-api-key";

/// The version of the protocol.
pub(crate) const VERSION_HEADER: &str = "anthropic-version: 2026-10-21";

/// The most tokens of a reply where the configuration does not say it: the protocol wants it said.
pub(crate) const DEFAULT_MAX_TOKENS: u32 = 8192;

/// Fields that a request may have and that an endpoint may refuse.
pub(crate) const FIELDS: [&str; 3] = ["cache_control", "thinking", "output_config"];

/// Writes the body that asks this endpoint for the next reply, or to count its tokens.
pub(crate) fn write(request: &Request, sending: &Sending<'_>, reply: bool, json: &mut JsonWriter) {
    let settings = sending.settings;
    let messages = messages(request, sending.endpoint);
    let max_tokens =
        sending.max_tokens(request, Some(DEFAULT_MAX_TOKENS)).unwrap_or(DEFAULT_MAX_TOKENS);
    json.raw("{\"model\":");
    json.string(&settings.model);
    if reply {
        json.raw(&format!(",\"max_tokens\":{max_tokens},\"stream\":true"));
    }
    if sending.sends("cache_control") {
        json.raw(",\"cache_control\":{\"type\":\"ephemeral\"}");
    }
    let effort = settings.reasoning_effort.as_deref();
    if let Some(effort) = effort.filter(|_| sending.sends("thinking") && may_think(&messages)) {
        match effort.parse::<u32>() {
            // A budget that the reply has no room for is refused.
            Ok(tokens) if tokens >= max_tokens => {}
            Ok(tokens) => {
                json.raw(&format!(
                    ",\"thinking\":{{\"type\":\"enabled\",\"budget_tokens\":{tokens}}}"
                ));
            }
            Err(_) => json.raw(",\"thinking\":{\"type\":\"adaptive\"}"),
        }
    }
    let schema = request.response_schema.as_ref();
    write_output(effort, schema, sending, json);
    let asked_in_words = schema.filter(|_| !sending.sends("output_config"));
    if !request.instructions.is_empty() || asked_in_words.is_some() {
        json.raw(",\"system\":\"");
        json.within_string(&request.instructions);
        if let Some(schema) = asked_in_words {
            json.within_string(&in_words(schema, &request.instructions));
        }
        json.raw("\"");
    }
    write_tools(request, &messages, json);
    json.raw(",\"messages\":[");
    write_messages(&messages, sending, json);
    json.raw("]}");
}

fn write_output(
    effort: Option<&str>,
    schema: Option<&Value>,
    sending: &Sending<'_>,
    json: &mut JsonWriter,
) {
    // A number is a budget of tokens, and no effort.
    let effort = effort.filter(|effort| effort.parse::<u32>().is_err());
    if (effort.is_none() && schema.is_none()) || !sending.sends("output_config") {
        return;
    }
    json.raw(",\"output_config\":{");
    if let Some(effort) = effort {
        json.raw("\"effort\":");
        json.string(effort);
    }
    if let Some(schema) = schema {
        json.raw(if effort.is_some() { "," } else { "" });
        json.raw("\"format\":{\"type\":\"json_schema\",\"schema\":");
        json.value(schema);
        json.raw("}");
    }
    json.raw("}");
}

/// The tools; where there are none, those that the transcript names, which may not be called: calls
/// of tools that are not declared are refused.
fn write_tools(request: &Request, messages: &[Message<'_>], json: &mut JsonWriter) {
    if !request.tools.is_empty() {
        json.raw(",\"tools\":[");
        for (place, (tool, (_, name))) in request.tools.iter().zip(sent_names(request)).enumerate()
        {
            json.raw(if place == 0 { "{\"name\":" } else { ",{\"name\":" });
            json.string(&name);
            json.raw(",\"description\":");
            json.string(&tool.description);
            json.raw(",\"input_schema\":");
            json.value(&parameters(&tool.schema));
            json.raw("}");
        }
        json.raw("]");
        return;
    }
    let mut names: Vec<&str> = Vec::new();
    for call in messages.iter().flat_map(calls) {
        if !names.contains(&call.name.as_ref()) {
            names.push(&call.name);
        }
    }
    if !names.is_empty() {
        json.raw(",\"tool_choice\":{\"type\":\"none\"},\"tools\":[");
        for (place, name) in names.iter().enumerate() {
            json.raw(if place == 0 { "{\"name\":" } else { ",{\"name\":" });
            json.string(name);
            json.raw(",\"input_schema\":{\"type\":\"object\"}}");
        }
        json.raw("]");
    }
}

fn calls<'m, 'a>(message: &'m Message<'a>) -> &'m [Called<'a>] {
    match message {
        Message::Assistant(said) => &said.calls,
        Message::User(_) | Message::Result(_) => &[],
    }
}

/// Whether the reply may begin with thinking: not after calls of this turn that came without it,
/// such as another model's.
fn may_think(messages: &[Message<'_>]) -> bool {
    let turn = messages.iter().rev().take_while(|message| !matches!(message, Message::User(_)));
    turn.into_iter().all(|message| match message {
        Message::Assistant(said) => said.carried.is_some_and(|carried| {
            Block::read_all(carried).first().is_some_and(Block::is_thinking)
        }),
        Message::User(_) | Message::Result(_) => true,
    })
}

/// Results and what is said behind them are one message of the user's.
fn write_messages(messages: &[Message<'_>], sending: &Sending<'_>, json: &mut JsonWriter) {
    let mut results = false;
    for (place, message) in messages.iter().enumerate() {
        let is_result = matches!(message, Message::Result(_));
        if results && !is_result {
            json.raw("]}");
        }
        json.raw(if place == 0 { "" } else { "," });
        if is_result && !results {
            json.raw("{\"role\":\"user\",\"content\":[");
        }
        results = is_result;
        match message {
            Message::User(parts) => write_user(parts, sending, json),
            Message::Assistant(said) => write_assistant(said, json),
            Message::Result(result) => {
                json.raw("{\"type\":\"tool_result\",\"tool_use_id\":");
                json.string(&result.id);
                if result.failed {
                    json.raw(",\"is_error\":true");
                }
                json.raw(",\"content\":");
                json.strings(&[result.how, result.content]);
                json.raw("}");
            }
        }
    }
    if results {
        json.raw("]}");
    }
}

fn write_user(parts: &[Part<'_>], sending: &Sending<'_>, json: &mut JsonWriter) {
    json.raw("{\"role\":\"user\",\"content\":[");
    for (place, part) in parts.iter().enumerate() {
        json.raw(if place == 0 { "" } else { "," });
        match part {
            Part::Text(text) => write_text(text, json),
            Part::Attachment(attachment) => write_attachment(attachment, sending, json),
        }
    }
    json.raw("]}");
}

fn write_text(text: &str, json: &mut JsonWriter) {
    json.raw("{\"type\":\"text\",\"text\":");
    json.string(text);
    json.raw("}");
}

fn write_attachment(attachment: &Attachment, sending: &Sending<'_>, json: &mut JsonWriter) {
    let kind = match (attachment.kind, sending.inlined(attachment)) {
        (AttachmentKind::Image, Inlined::Content) if sending.eyes => "image",
        (AttachmentKind::File, Inlined::Content) if is_document(attachment) => "document",
        _ => {
            json.raw("{\"type\":\"text\",\"text\":\"");
            sending.write_in_words(attachment, json);
            return json.raw("\"}");
        }
    };
    json.raw(&format!("{{\"type\":\"{kind}\",\"source\":{{\"type\":\"base64\",\"media_type\":"));
    json.string(&attachment.media_type);
    json.raw(",\"data\":\"");
    json.blob(attachment);
    json.raw("\"}}");
}

/// A reply as it came, with its thinking and signatures in their places, if it came from here.
fn write_assistant(message: &AssistantMessage<'_>, json: &mut JsonWriter) {
    json.raw("{\"role\":\"assistant\",\"content\":[");
    let mut first = true;
    let mut next = |json: &mut JsonWriter| {
        json.raw(if std::mem::take(&mut first) { "" } else { "," });
    };
    let (mut text, mut calls) = (message.text, message.calls.iter());
    for block in message.carried.map(Block::read_all).unwrap_or_default() {
        match block {
            Block::Kept(block) => {
                next(json);
                json.value(block);
            }
            Block::Text(bytes) => {
                let (own, rest) = text.split_at_checked(bytes).unwrap_or((text, ""));
                if !own.trim().is_empty() {
                    next(json);
                    write_text(own, json);
                }
                text = rest;
            }
            Block::Call => {
                if let Some(call) = calls.next() {
                    next(json);
                    write_call(call, json);
                }
            }
        }
    }
    if !text.trim().is_empty() {
        next(json);
        write_text(text, json);
    }
    for call in calls {
        next(json);
        write_call(call, json);
    }
    json.raw("]}");
}

fn write_call(call: &Called<'_>, json: &mut JsonWriter) {
    json.raw("{\"type\":\"tool_use\",\"id\":");
    json.string(&call.id);
    json.raw(",\"name\":");
    json.string(&call.name);
    json.raw(",\"input\":");
    json.raw(&call.arguments);
    json.raw("}");
}

#[cfg(test)]
mod tests;

//! From a transcript to the body of a request.
//!
//! The order of fields is fixed, and the messages stand last: a request begins as the one before.

use evonic_domain::{Attachment, AttachmentKind, ToolSpec};
use evonic_shared::config::MaxTokensField;
use serde_json::{Map, Value, json};

use super::assembly::REASONING;
use crate::{
    Request,
    body::JsonWriter,
    history::{AssistantMessage, Message, Part, messages, sent_names},
    remote::{Inlined, Sending, is_document},
};

/// Fields that a request may have and that an endpoint may refuse.
pub(crate) const FIELDS: [&str; 8] = [
    "stream_options",
    "temperature",
    "max_completion_tokens",
    "max_tokens",
    "reasoning_effort",
    "response_format",
    "tools",
    "images",
];

/// Writes the body that asks this endpoint for the next reply.
pub(crate) fn write(request: &Request, sending: &Sending<'_>, json: &mut JsonWriter) {
    let settings = sending.settings;
    json.raw("{\"model\":");
    json.string(&settings.model);
    json.raw(",\"stream\":true");
    if sending.sends("stream_options") {
        json.raw(",\"stream_options\":{\"include_usage\":true}");
    }
    if let Some(temperature) = settings.temperature.filter(|_| sending.sends("temperature")) {
        json.raw(",\"temperature\":");
        json.value(&temperature);
    }
    if let (Some(field), Some(tokens)) =
        (max_tokens_field(sending), sending.max_tokens(request, None))
    {
        json.raw(&format!(",\"{field}\":{tokens}"));
    }
    let effort = settings.reasoning_effort.as_ref();
    if let Some(effort) = effort.filter(|_| sending.sends("reasoning_effort")) {
        json.raw(",\"reasoning_effort\":");
        json.string(effort);
    }
    let format = request.response_schema.as_ref();
    let asked_in_words = format.filter(|_| !sending.sends("response_format"));
    if let Some(schema) = format.filter(|_| sending.sends("response_format")) {
        json.raw(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"reply\",\"schema\":");
        json.value(schema);
        json.raw("}}");
    }
    if !request.tools.is_empty() && sending.sends("tools") {
        json.raw(",\"tools\":[");
        for (place, (tool, (_, name))) in request.tools.iter().zip(sent_names(request)).enumerate()
        {
            json.raw(if place == 0 { "" } else { "," });
            write_tool(tool, &name, json);
        }
        json.raw("]");
    }
    json.raw(",\"messages\":[");
    let mut first = true;
    if !request.instructions.is_empty() || asked_in_words.is_some() {
        json.raw("{\"role\":\"system\",\"content\":\"");
        json.within_string(&request.instructions);
        if let Some(schema) = asked_in_words {
            json.within_string(&crate::remote::in_words(schema, &request.instructions));
        }
        json.raw("\"}");
        first = false;
    }
    for message in messages(request, sending.endpoint) {
        json.raw(if std::mem::take(&mut first) { "" } else { "," });
        write_message(&message, sending, json);
    }
    json.raw("]}");
}

fn max_tokens_field(sending: &Sending<'_>) -> Option<&'static str> {
    let fields = match sending.settings.max_tokens_field {
        Some(MaxTokensField::MaxCompletionTokens) => ["max_completion_tokens", "max_tokens"],
        Some(MaxTokensField::MaxTokens) | None => ["max_tokens", "max_completion_tokens"],
    };
    fields.into_iter().find(|field| sending.sends(field))
}

fn write_tool(tool: &ToolSpec, name: &str, json: &mut JsonWriter) {
    json.raw("{\"type\":\"function\",\"function\":{\"name\":");
    json.string(name);
    json.raw(",\"description\":");
    json.string(&tool.description);
    json.raw(",\"parameters\":");
    json.value(&parameters(&tool.schema));
    json.raw("}}");
}

/// A tool's schema without its `$schema`, which some endpoints refuse.
pub(crate) fn parameters(schema: &Value) -> Value {
    let mut parameters = schema.clone();
    if let Value::Object(fields) = &mut parameters {
        fields.shift_remove("$schema");
    }
    parameters
}

fn write_message(message: &Message<'_>, sending: &Sending<'_>, json: &mut JsonWriter) {
    match message {
        Message::User(parts) => write_user(parts, sending, json),
        Message::Assistant(said) => write_assistant(said, json),
        Message::Result(result) => {
            json.raw("{\"role\":\"tool\",\"tool_call_id\":");
            json.string(&result.id);
            json.raw(",\"content\":");
            json.strings(&[result.how, result.content]);
            json.raw("}");
        }
    }
}

/// Text alone is a string, which every endpoint takes; beside an attachment it is a part.
fn write_user(parts: &[Part<'_>], sending: &Sending<'_>, json: &mut JsonWriter) {
    let is_part = |part: &Part<'_>| match part {
        Part::Text(_) => false,
        Part::Attachment(attachment) => goes_as_part(attachment, sending),
    };
    if !parts.iter().any(is_part) {
        json.raw("{\"role\":\"user\",\"content\":\"");
        for (place, part) in parts.iter().enumerate() {
            json.raw(if place == 0 { "" } else { "\\n\\n" });
            match part {
                Part::Text(text) => json.within_string(text),
                Part::Attachment(attachment) => sending.write_in_words(attachment, json),
            }
        }
        json.raw("\"}");
        return;
    }
    json.raw("{\"role\":\"user\",\"content\":[");
    for (place, part) in parts.iter().enumerate() {
        json.raw(if place == 0 { "" } else { "," });
        match part {
            Part::Text(text) => write_text(text, json),
            Part::Attachment(attachment) if goes_as_part(attachment, sending) => {
                write_attachment(attachment, json);
            }
            Part::Attachment(attachment) => {
                json.raw("{\"type\":\"text\",\"text\":\"");
                sending.write_in_words(attachment, json);
                json.raw("\"}");
            }
        }
    }
    json.raw("]}");
}

fn goes_as_part(attachment: &Attachment, sending: &Sending<'_>) -> bool {
    match sending.inlined(attachment) {
        Inlined::Content => match attachment.kind {
            AttachmentKind::Image => sending.eyes,
            AttachmentKind::File => is_document(attachment),
        },
        Inlined::Text(_) | Inlined::Absent => false,
    }
}

fn write_text(text: &str, json: &mut JsonWriter) {
    json.raw("{\"type\":\"text\",\"text\":");
    json.string(text);
    json.raw("}");
}

fn write_attachment(attachment: &Attachment, json: &mut JsonWriter) {
    match attachment.kind {
        AttachmentKind::Image => json.raw("{\"type\":\"image_url\",\"image_url\":{\"url\":\""),
        AttachmentKind::File => {
            json.raw("{\"type\":\"file\",\"file\":{\"filename\":");
            let name = if attachment.name.is_empty() { "file" } else { &attachment.name };
            json.string(name);
            json.raw(",\"file_data\":\"");
        }
    }
    json.raw("data:");
    json.within_string(&attachment.media_type);
    json.raw(";base64,");
    json.blob(attachment);
    json.raw("\"}}");
}

fn write_assistant(message: &AssistantMessage<'_>, json: &mut JsonWriter) {
    let carried = |name: &str| message.carried?.get(name)?.as_object();
    let fields = carried("message");
    let kept = |name: &str| fields.and_then(|fields| fields.get(name));
    json.raw("{\"role\":\"assistant\",\"content\":");
    match kept("content") {
        Some(parts) => json.value(parts),
        // Null beside calls: some endpoints refuse an empty one.
        None if message.text.is_empty() => json.raw("null"),
        None => json.string(message.text),
    }
    for (name, value) in fields.into_iter().flatten() {
        // Reasoning as text goes back beside calls only: elsewhere some endpoints refuse it.
        let reasoning = REASONING.contains(&name.as_str()) && message.calls.is_empty();
        if name != "content" && !reasoning {
            write_field(name, value, json);
        }
    }
    if !message.calls.is_empty() {
        json.raw(",\"tool_calls\":[");
        for (place, call) in message.calls.iter().enumerate() {
            json.raw(if place == 0 { "" } else { "," });
            let extra = carried("calls").and_then(|calls| calls.get(call.own_id)?.as_object());
            let within = extra.and_then(|extra| extra.get("function")?.as_object());
            json.raw("{\"id\":");
            json.string(&call.id);
            json.raw(",\"type\":\"function\",\"function\":{\"name\":");
            json.string(&call.name);
            json.raw(",\"arguments\":");
            json.string(&call.arguments);
            write_fields(within, &[], json);
            json.raw("}");
            write_fields(extra, &["function"], json);
            json.raw("}");
        }
        json.raw("]");
    }
    json.raw("}");
}

fn write_fields(fields: Option<&Map<String, Value>>, but: &[&str], json: &mut JsonWriter) {
    for (name, value) in fields.into_iter().flatten() {
        if !but.contains(&name.as_str()) {
            write_field(name, value, json);
        }
    }
}

fn write_field(name: &str, value: &Value, json: &mut JsonWriter) {
    json.raw(",");
    json.value(&json!(name));
    json.raw(":");
    json.value(value);
}

#[cfg(test)]
mod tests;

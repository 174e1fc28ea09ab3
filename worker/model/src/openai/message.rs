//! From a transcript to the body of a request.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use evonic_shared::config;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, json};

use crate::Request;
use evonic_domain::{Item, Outcome, ToolCall, ToolSpec};

/// Body of `POST /chat/completions`.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    stream: bool,
    stream_options: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Message<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        /// Null beside calls when there is none: some endpoints refuse an empty one.
        content: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Value>,
    },
    Tool {
        tool_call_id: &'a str,
        content: Cow<'a, str>,
    },
}

/// The body that asks this endpoint for the next reply.
pub(super) fn body(settings: &config::OpenAi, request: &Request) -> Bytes {
    let tools = request.tools.iter().map(|tool| {
        let ToolSpec { name, description, schema, .. } = tool;
        let parameters = parameters(schema);
        let function = json!({"name": name, "description": description, "parameters": parameters});
        json!({"type": "function", "function": function})
    });
    let body = Body {
        model: &settings.model,
        messages: messages(request),
        tools: tools.collect(),
        stream: true,
        stream_options: json!({"include_usage": true}),
        temperature: settings.temperature,
        max_tokens: settings.max_tokens,
    };
    serde_json::to_vec(&body).expect("it has string keys and finite numbers only").into()
}

/// A tool's schema without its `$schema`, which some endpoints refuse.
fn parameters(schema: &Value) -> Value {
    let mut parameters = schema.clone();
    if let Value::Object(fields) = &mut parameters {
        fields.shift_remove("$schema");
    }
    parameters
}

fn messages(request: &Request) -> Vec<Message<'_>> {
    let mut messages = Vec::with_capacity(request.items.len() + 1);
    if !request.instructions.is_empty() {
        messages.push(Message::System { content: &request.instructions });
    }
    // Calls whose results have not come yet. Endpoints refuse a call without a result, so what a
    // cancelled turn left out is added before the next message.
    let mut open: Vec<&ToolCall> = Vec::new();
    for item in request.items.iter() {
        match item {
            Item::ToolResult { call_id, outcome, content, .. } => {
                // This protocol has no result without its call.
                let Some(place) = open.iter().position(|call| call.id == *call_id) else {
                    continue;
                };
                open.remove(place);
                messages.push(Message::Tool {
                    tool_call_id: call_id,
                    content: result_text(*outcome, content),
                });
            }
            Item::User { text, .. } | Item::Summary { text, .. } => {
                messages.extend(open.drain(..).map(not_run));
                messages.push(Message::User { content: text });
            }
            Item::LeftOut { .. } => {}
            Item::Assistant { text, tool_calls, .. } => {
                messages.extend(open.drain(..).map(not_run));
                let bare = text.is_empty() && !tool_calls.is_empty();
                messages.push(Message::Assistant {
                    content: (!bare).then_some(text),
                    tool_calls: tool_calls.iter().map(call).collect(),
                });
                open.extend(tool_calls);
            }
        }
    }
    messages.extend(open.drain(..).map(not_run));
    messages
}

fn call(call: &ToolCall) -> Value {
    let function = json!({"name": call.name, "arguments": arguments(&call.arguments)});
    json!({"id": call.id, "type": "function", "function": function})
}

/// Arguments as they were, unless they are no JSON object: endpoints refuse a transcript with
/// such, and the model would never learn of its mistake.
fn arguments(text: &str) -> Cow<'_, str> {
    match serde_json::from_str::<Object>(text) {
        Ok(_) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(json!({ "not_json": text }).to_string()),
    }
}

/// A JSON object, of which nothing is built.
struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}

/// A result as the model sees it: how it ended, if not well, and what it returned.
fn result_text(outcome: Outcome, content: &str) -> Cow<'_, str> {
    let how = match outcome {
        Outcome::Ok => return Cow::Borrowed(content),
        Outcome::Error => "The call failed.",
        Outcome::Unknown => {
            "The call was interrupted: whether it took effect is unknown. Look before you repeat it."
        }
        Outcome::Cancelled => "The call was cancelled while it ran.",
    };
    Cow::Owned(format!("{how}\n{content}"))
}

fn not_run(call: &ToolCall) -> Message<'_> {
    Message::Tool { tool_call_id: &call.id, content: Cow::Borrowed("The call was not run.") }
}

#[cfg(test)]
mod tests;

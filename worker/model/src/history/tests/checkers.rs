//! The rules of four endpoints for a request, from their documentation.

use std::collections::HashSet;

use serde_json::Value;

type Checked = Result<(), String>;

fn fail<T>(rule: impl Into<String>) -> Result<T, String> {
    Err(rule.into())
}

fn list<'v>(value: &'v Value, name: &str) -> Result<&'v Vec<Value>, String> {
    value.get(name).and_then(Value::as_array).ok_or_else(|| format!("{name} is no list"))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn name_fits(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

/// Whether content says anything.
fn says(content: &Value) -> bool {
    match content {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        _ => false,
    }
}

fn calls(message: &Value) -> Vec<&Value> {
    message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().collect()
}

fn tools_fit(tools: &[Value]) -> Checked {
    let mut names = HashSet::new();
    for tool in tools {
        let name = tool.pointer("/function/name").or_else(|| tool.get("name"));
        let name = name.and_then(Value::as_str).unwrap_or_default();
        if !name_fits(name) || !names.insert(name) {
            return fail(format!("the tool {name:?} does not fit, or is there twice"));
        }
    }
    Ok(())
}

/// <https://platform.openai.com/docs/api-reference/chat/create>
pub(super) fn openai(body: &Value) -> Checked {
    tools_fit(body.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice))?;
    let messages = list(body, "messages")?;
    let mut open: Vec<&str> = Vec::new();
    let mut seen = HashSet::new();
    for message in messages {
        let role = text(message, "role");
        if role != "tool" && !open.is_empty() {
            return fail(format!("tool_call_ids without a response: {open:?}"));
        }
        match role {
            "system" | "user" if says(&message["content"]) => {}
            "assistant" => {
                let calls = calls(message);
                if calls.is_empty() && !says(&message["content"]) {
                    return fail("an assistant's message without content and calls");
                }
                if message.get("tool_calls").is_some() && calls.is_empty() {
                    return fail("tool_calls is empty");
                }
                for call in calls {
                    let id = text(call, "id");
                    if id.is_empty() || id.len() > 40 || !seen.insert(id) {
                        return fail(format!("the id {id:?} is too long, or is there twice"));
                    }
                    if !name_fits(text(&call["function"], "name")) {
                        return fail("the name of a function does not fit");
                    }
                    let arguments = text(&call["function"], "arguments");
                    if !serde_json::from_str::<Value>(arguments).is_ok_and(|read| read.is_object())
                    {
                        return fail(format!("arguments are no object: {arguments}"));
                    }
                    open.push(id);
                }
            }
            "tool" => {
                let id = text(message, "tool_call_id");
                let Some(place) = open.iter().position(|open| *open == id) else {
                    return fail("a tool's message without its call in front of it");
                };
                open.remove(place);
                if !says(&message["content"]) {
                    return fail("a tool's message without content");
                }
            }
            _ => return fail(format!("a message of {role:?} without content")),
        }
    }
    if open.is_empty() { Ok(()) } else { fail("calls without a response at the end") }
}

/// <https://docs.mistral.ai/capabilities/function_calling>, and the errors 3230 and 3280 of its API:
/// the order of roles, nine letters or digits in an id, as many responses as calls.
pub(super) fn mistral(body: &Value) -> Checked {
    openai(body)?;
    let mut last = "";
    for message in list(body, "messages")? {
        let role = text(message, "role");
        let fits = match role {
            "system" => last.is_empty(),
            "user" => ["", "system", "assistant"].contains(&last),
            "assistant" => ["user", "tool"].contains(&last),
            "tool" => ["assistant", "tool"].contains(&last),
            _ => false,
        };
        if !fits {
            return fail(format!("unexpected role {role:?} after role {last:?}"));
        }
        for call in calls(message) {
            let id = text(call, "id");
            if id.len() != 9 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return fail(format!("tool call id was {id:?} but must be nine letters or digits"));
            }
        }
        last = role;
    }
    if ["user", "tool"].contains(&last) { Ok(()) } else { fail(format!("last role is {last:?}")) }
}

/// <https://ai.google.dev/gemini-api/docs/function-calling>: a function call comes right after a
/// user's turn or a function response, each has its response in the turn behind it, and the first
/// turn is a user's.
pub(super) fn gemini(body: &Value) -> Checked {
    let mut turns: Vec<(&str, usize)> = Vec::new();
    for message in list(body, "messages")? {
        match text(message, "role") {
            "system" => {}
            "assistant" => turns.push(("model", calls(message).len())),
            "tool" => match turns.last_mut() {
                Some(("function", count)) => *count += 1,
                _ => turns.push(("function", 1)),
            },
            _ => turns.push(("user", 0)),
        }
        if message["content"].is_null() && calls(message).is_empty() {
            return fail("contents.parts must not be empty");
        }
    }
    if turns.first().is_none_or(|(role, _)| *role != "user") {
        return fail("the first turn is not a user's");
    }
    for pair in turns.windows(2) {
        match pair {
            [("model", calls), ("function", responses)] if calls != responses => {
                return fail("function response parts are not as many as function call parts");
            }
            [("model", calls), ("user" | "model", _)] if *calls > 0 => {
                return fail("a function call without its response behind it");
            }
            [("model", _), ("model", _)] | [("user", _), ("function" | "user", _)] => {
                return fail("two turns that may not follow each other");
            }
            _ => {}
        }
    }
    Ok(())
}

/// <https://docs.anthropic.com/en/api/messages>
pub(super) fn anthropic(body: &Value) -> Checked {
    let tools = body.get("tools").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    tools_fit(tools)?;
    if body["max_tokens"].as_u64().is_none_or(|tokens| tokens == 0) {
        return fail("max_tokens: Field required");
    }
    if body.get("temperature").is_some() {
        return fail("temperature is refused");
    }
    let messages = list(body, "messages")?;
    let mut open: HashSet<&str> = HashSet::new();
    let mut seen = HashSet::new();
    for (place, message) in messages.iter().enumerate() {
        let role = text(message, "role");
        if role != ["user", "assistant"][place % 2] {
            return fail("roles must alternate, the first a user's");
        }
        let content = list(message, "content")?;
        if content.is_empty() {
            return fail("content is empty");
        }
        let mut behind_results = false;
        for block in content {
            match (role, text(block, "type")) {
                (_, "text") if text(block, "text").trim().is_empty() => {
                    return fail("text content blocks must contain non-whitespace text");
                }
                (_, "text") => behind_results = true,
                ("assistant", "thinking") => {
                    if text(block, "signature") != "c2ln" || text(block, "thinking") != "hm" {
                        return fail("thinking blocks cannot be modified");
                    }
                }
                ("assistant", "tool_use") => {
                    let id = text(block, "id");
                    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                    if id.is_empty() || !id.bytes().all(fits) || !seen.insert(id) {
                        return fail(format!("tool_use ids must fit and be unique: {id:?}"));
                    }
                    if !block["input"].is_object() || !name_fits(text(block, "name")) {
                        return fail("tool_use.input is no dictionary, or its name does not fit");
                    }
                    if tools.is_empty() {
                        return fail("requests with tool_use blocks must define tools");
                    }
                    open.insert(id);
                }
                ("user", "tool_result") => {
                    if behind_results || !open.remove(text(block, "tool_use_id")) {
                        return fail("an unexpected tool_result, or one behind text");
                    }
                }
                (role, kind) => return fail(format!("{kind:?} is no block of {role:?}")),
            }
        }
        if role == "user" && !open.is_empty() {
            return fail("tool_use ids were found without tool_result blocks immediately after");
        }
    }
    match messages.last().map(|message| text(message, "role")) {
        Some("user") => Ok(()),
        _ => fail("the last message is not a user's"),
    }
}

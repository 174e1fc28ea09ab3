//! Tests of the runbook: its documentation, its turns, and what holds for any text.

mod docs;
mod properties;
mod turns;

use std::sync::Arc;

use serde_json::json;

use crate::Request;
use evonic_domain::{Effect, Ending, ToolSpec};
use evonic_domain::{Item, Outcome, ToolCall};

use super::answer;

/// The tools that a runbook's steps become.
const TOOLS: [&str; 8] = [
    "bash",
    "python",
    "read_file",
    "write_file",
    "edit_file",
    "list_files",
    "search_files",
    "copy",
];

fn spec(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        schema: json!({}),
        effect: Effect::Change,
        ending: Ending::Own,
    }
}

fn request(items: Vec<Item>) -> Request {
    Request { items: items.into(), tools: TOOLS.map(spec).to_vec(), ..Request::default() }
}

fn user(text: &str) -> Item {
    Item::user(text.to_owned())
}

/// Runs a turn to its end; `tool` stands for the tools. Returns the final text and the calls.
fn run(
    message: &str,
    mut tool: impl FnMut(usize, &ToolCall) -> (Outcome, String),
) -> (String, Vec<ToolCall>) {
    let mut transcript = request(vec![user(message)]);
    let mut calls: Vec<ToolCall> = Vec::new();
    loop {
        let reply = answer(&transcript);
        assert_eq!(reply, answer(&transcript), "the same transcript, the same reply");
        if reply.tool_calls.is_empty() {
            return (reply.text, calls);
        }
        Arc::make_mut(&mut transcript.items)
            .push(Item::assistant(reply.text, reply.tool_calls.clone()));
        for call in reply.tool_calls {
            let (outcome, content) = tool(calls.len(), &call);
            let (call_id, name) = (call.id.clone(), call.name.clone());
            Arc::make_mut(&mut transcript.items).push(Item::ToolResult {
                call_id,
                name,
                outcome,
                content,
            });
            calls.push(call);
        }
        assert!(calls.len() <= super::parse::MAX_STEPS, "a turn that never ends");
    }
}

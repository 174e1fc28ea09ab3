//! What a turn needs of a model, tried: one token, one tool call, the window.

use std::time::Duration;

use evonic_domain::{Effect, Ending, Item, ToolSpec, WaitReason};
use evonic_shared::error_chain::ErrorChain;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Model, ModelError, Reply, Request, Runbook};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The most tokens of the reply to one: enough for models that reason first.
const MAX_TOKENS: u32 = 2048;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `reply`, `tool_call` or `window`.
    pub name: String,
    pub ok: bool,
    /// What was seen.
    pub message: String,
    /// What to do about it; absent when it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Tries a model; each finding goes to `findings` as it is made. Whether turns will work.
pub(crate) async fn check(
    model: &Model,
    findings: &mpsc::Sender<Finding>,
    cancel: &CancellationToken,
) -> bool {
    let first = reply(model, cancel).await;
    let mut ok = first.ok;
    // Who does not listen any more wants no more.
    if findings.send(first).await.is_err() || !ok {
        return ok;
    }
    for finding in [tool_call(model, cancel).await, window(model, cancel).await] {
        ok &= finding.ok;
        if findings.send(finding).await.is_err() {
            break;
        }
    }
    ok
}

async fn reply(model: &Model, cancel: &CancellationToken) -> Finding {
    if matches!(model, Model::Runbook(_)) {
        return Finding::well("reply", "it is part of the service: it runs the steps of a message");
    }
    let asked = ask(model, "Reply with the one word: pong", Vec::new(), cancel).await;
    finding(
        "reply",
        model,
        asked.map(|reply| {
            let text: String = reply.text.chars().take(60).collect();
            format!("it replied {text:?}")
        }),
    )
}

async fn tool_call(model: &Model, cancel: &CancellationToken) -> Finding {
    if matches!(model, Model::Runbook(_)) {
        return Finding::well("tool_call", "it calls tools by the steps of its runbook");
    }
    let tool = ToolSpec {
        name: "ping".to_owned(),
        description: "Checks that tools can be called.".to_owned(),
        schema: json!({"type": "object", "properties": {"word": {"type": "string"}},
            "required": ["word"], "additionalProperties": false}),
        effect: Effect::Read,
        ending: Ending::Own,
    };
    let text = "Call the tool `ping` with the word pong. Do not reply otherwise.";
    match ask(model, text, vec![tool], cancel).await {
        Ok(reply) if reply.tool_calls.iter().any(|call| call.name == "ping") => {
            Finding::well("tool_call", "it called the tool")
        }
        Ok(_) => Finding {
            name: "tool_call".to_owned(),
            ok: false,
            message: "it replied with text and called no tool".to_owned(),
            advice: Some(
                "take a model that can call tools, or turn tool calls on in its server (llama.cpp: \
                 --jinja; vLLM: --enable-auto-tool-choice --tool-call-parser)"
                    .to_owned(),
            ),
        },
        Err(error) => finding("tool_call", model, Err(error)),
    }
}

async fn window(model: &Model, cancel: &CancellationToken) -> Finding {
    if matches!(model, Model::Runbook(_)) {
        return Finding::well("window", "it has none: it reads the last message");
    }
    model.refresh_window(cancel).await;
    match model.window() {
        Some(window) => Finding::well("window", format!("{window} tokens")),
        // It is learnt from the first refusal: nothing fails by that.
        None => Finding {
            name: "window".to_owned(),
            ok: true,
            message: "not known: the endpoint does not tell".to_owned(),
            advice: Some("set context_tokens, else it is learnt from a refusal".to_owned()),
        },
    }
}

async fn ask(
    model: &Model,
    text: &str,
    tools: Vec<ToolSpec>,
    cancel: &CancellationToken,
) -> Result<Reply, ModelError> {
    let request = Request {
        items: vec![Item::user(text)].into(),
        tools,
        max_output_tokens: Some(MAX_TOKENS),
        checks: true,
        ..Request::default()
    };
    // Nobody listens: the reply is the same.
    let (deltas, _) = mpsc::channel(1);
    let asked = tokio::time::timeout(TIMEOUT, model.reply(request, deltas, cancel)).await;
    let late = || ModelError::Unavailable {
        model: model.settings().map_or(Runbook::NAME, |settings| &settings.model).to_owned(),
        attempts: 1,
        message: format!("no reply within {} s", TIMEOUT.as_secs()),
    };
    asked.unwrap_or_else(|_| Err(late()))
}

fn finding(name: &str, model: &Model, result: Result<String, ModelError>) -> Finding {
    match result {
        Ok(message) => Finding::well(name, message),
        Err(error) => Finding {
            name: name.to_owned(),
            ok: false,
            message: match &error {
                // When a turn would ask again is nothing to somebody who looks.
                ModelError::Later { reason: WaitReason::Unavailable, message, .. } => {
                    format!("it cannot be reached: {message}")
                }
                _ => ErrorChain(&error).to_string(),
            },
            advice: Some(match model.address() {
                Some(address) if is_unreachable(&error) => {
                    format!("start the endpoint, or correct base_url: {address} was asked")
                }
                _ => advice(&error).to_owned(),
            }),
        },
    }
}

impl Finding {
    fn well(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), ok: true, message: message.into(), advice: None }
    }
}

fn is_unreachable(error: &ModelError) -> bool {
    matches!(
        error,
        ModelError::Unavailable { .. } | ModelError::Later { reason: WaitReason::Unavailable, .. }
    )
}

/// What to do about an error.
fn advice(error: &ModelError) -> &'static str {
    match error {
        ModelError::Key { .. } => "put the key where key_env, key_file or key_credential says",
        ModelError::Setup { .. } => "correct base_url and headers, or install ca-certificates",
        ModelError::Unusable(error) => advice(error),
        ModelError::Exhausted(_) => "raise budget.model, or try again when fewer turns run",
        ModelError::Refused { status: 401 | 403, .. } => {
            "check the key, and key_header: some endpoints take it in `api-key`"
        }
        ModelError::Spent { .. } => "check the plan and the quota of the key",
        ModelError::Refused { status: 404 | 405, .. } => {
            "check base_url, which ends with the version such as /v1, and the name in `model`"
        }
        ModelError::Refused { status: 300..=399, .. } => "write the address it redirects to",
        ModelError::Refused { .. } => "leave out what it refuses (leave_out), or correct it",
        ModelError::Unavailable { .. } => "start the endpoint, or correct base_url",
        ModelError::Later { .. } => "try again later",
        ModelError::Protocol { .. } => "check base_url and kind: this is no such endpoint",
        ModelError::Timeout { .. } => {
            "raise first_token_timeout and call_timeout, or take a faster model"
        }
        ModelError::ReplyTooLarge { .. } => "raise max_reply_bytes",
        ModelError::TooLong { .. } => "give the model a larger window: 8192 tokens at the least",
        ModelError::Incomplete { .. } => "raise max_tokens, or take another model",
        ModelError::Attachment { .. } => "say images = false, or take another model",
        ModelError::Cancelled => "try again",
    }
}

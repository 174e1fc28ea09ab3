//! A message that is posted: its text, its attachments, and the form that its answer must have.

use std::sync::Arc;

use http::StatusCode;

use crate::{
    answer,
    call::Call,
    problem::{Answer, Problem},
    state::ApiState,
    visibility::visible_session,
};
use evonic_agent::{ResponseSchema, Unacceptable, check_message};
use evonic_domain::{NewMessage, ResponseFormat};
use evonic_store::NewPost;

/// 202 once the message is on disk and its turn is queued. A message keeps its `Idempotency-Key`
/// itself, for as long as its session is there: its answer is made anew from what is stored.
pub(super) async fn post(state: Arc<ApiState>, call: Call, new: NewMessage) -> Answer {
    let (id, key, caller) = (call.identify("session")?, call.request_key, call.caller);
    let NewMessage { content, response_format } = new;
    check_format(response_format.as_ref())?;
    let content = content.joined_text();
    if content.trim().is_empty() {
        return Err(Problem::unusable("content", "field 'content': a message is not empty"));
    }
    let (idempotency_key, fingerprint) = key.map(|key| (key.key, key.fingerprint)).unzip();
    let new = NewPost {
        content,
        attachments: Vec::new(),
        response_format,
        idempotency_key,
        fingerprint,
        max_queued: state.app.config.agents.max_queued,
        request_id: Some(caller.request_id.clone()),
    };
    let (agents, models) = (state.app.agents.clone(), state.app.models.clone());
    let shared = Arc::clone(&state);
    let posting = async move {
        let write = shared.change(caller.origin(), move |writer| {
            let session = visible_session(writer, &caller, &id)?;
            let agent = writer.agent(session.agent_id.as_str())?;
            if let Some(model) = models.get(&agent.model) {
                let format = new.response_format.as_ref();
                check_message(&agent.model, model, &new.attachments, format).map_err(refusal)?;
            }
            Ok(writer.post(&id, new)?)
        });
        let posted = write.await?;
        agents.wake();
        Ok::<_, Problem>(posted)
    };
    let posted = state.see_through(posting).await?;
    let location = format!("/api/v1/turns/{}", posted.turn.id);
    Ok(answer::located(StatusCode::ACCEPTED, &location, answer::ok(&posted)?))
}

/// Refuses a schema that no answer could be held against.
fn check_format(format: Option<&ResponseFormat>) -> Result<(), Problem> {
    let Some(format) = format else { return Ok(()) };
    ResponseSchema::new(format).map(drop).map_err(|fault| {
        let field = format!("response_format.schema{}", fault.path.replace('/', "."));
        Problem::malformed(&field, format!("field '{field}': {}", fault.message))
    })
}

/// What the agent's model cannot be given.
fn refusal(unacceptable: Unacceptable) -> Problem {
    let field = match &unacceptable {
        Unacceptable::Attachment { at, .. } => format!("attachments[{at}]"),
        Unacceptable::ResponseFormat { .. } => "response_format".to_owned(),
    };
    Problem::unusable(&field, format!("field '{field}': {}", unacceptable.message()))
}

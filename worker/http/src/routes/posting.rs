//! A message that is posted: its text, its attachments, and the form that its answer must have.

mod attach;

use std::sync::Arc;

use http::StatusCode;

use self::attach::gather;
use crate::{
    answer,
    blob_upload::UploadLimits,
    call::Call,
    problem::{Answer, Problem},
    state::{ApiState, Refusal},
    visibility::visible_session,
};
use evonic_agent::{ResponseSchema, Unacceptable, check_message};
use evonic_domain::{Content, NewMessage, Part, ResponseFormat};
use evonic_store::NewPost;

/// 202 once the message is on disk and its turn is queued. A message keeps its `Idempotency-Key`
/// itself, for as long as its session is there: its answer is made anew from what is stored.
pub(super) async fn post(state: Arc<ApiState>, mut call: Call, new: NewMessage) -> Answer {
    let (id, key) = (call.identify("session")?, call.request_key.take());
    check_format(new.response_format.as_ref())?;
    let text = new.content.joined_text();
    let places = check_content(&state, &new.content, &text)?;
    let (idempotency_key, fingerprint) = key.map(|key| (key.key, key.fingerprint)).unzip();
    let attached = gather(&state, &call.caller, &id, new.content, idempotency_key.clone()).await?;
    let caller = call.caller;
    let new = NewPost {
        content: text,
        attachments: Vec::new(),
        response_format: new.response_format,
        idempotency_key,
        fingerprint,
        max_queued: state.app.config.agents.max_queued,
        request_id: Some(caller.request_id.clone()),
    };
    let (agents, models) = (state.app.agents.clone(), state.app.models.clone());
    let (shared, limits) = (Arc::clone(&state), UploadLimits::of(&state));
    let posting = async move {
        let write = shared.change(caller.origin(), move |writer| {
            let session = visible_session(writer, &caller, &id)?;
            let mut new = new;
            if let Some(posted) = writer.posted(&id, &new)? {
                return Ok(posted);
            }
            let agent = writer.agent(session.agent_id.as_str())?;
            for (inline, place) in attached.iter().zip(&places) {
                new.attachments.push(inline.resolve(writer, &id, limits, place)?);
            }
            if let Some(model) = models.get(&agent.model) {
                let format = new.response_format.as_ref();
                check_message(&agent.model, model, &new.attachments, format)
                    .map_err(|unacceptable| refusal(&unacceptable, &places))?;
            }
            // Nothing is stored of a message that is refused.
            for (inline, attachment) in attached.iter().zip(&new.attachments) {
                inline.store(writer, &id, limits, attachment)?;
            }
            Ok::<_, Refusal>(writer.post(&id, new)?)
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
        Problem::unusable(&field, format!("field '{field}': {}", fault.message))
    })
}

/// Where each attachment stands in the request.
fn check_content(state: &ApiState, content: &Content, text: &str) -> Result<Vec<String>, Problem> {
    let places: Vec<_> = match content {
        Content::Text(_) => Vec::new(),
        Content::Parts(parts) => {
            let placed = parts.iter().enumerate();
            placed
                .filter(|(_, part)| !matches!(part, Part::Text { .. }))
                .map(|(at, _)| format!("content[{at}]"))
                .collect()
        }
    };
    if places.is_empty() && text.trim().is_empty() {
        return Err(Problem::unusable("content", "field 'content': a message is not empty"));
    }
    let most = state.app.config.attachments.max_per_message as usize;
    if places.len() > most {
        let detail = format!(
            "field 'content': a message may have {most} attachments (attachments.max_per_message)"
        );
        return Err(Problem::unusable("content", detail));
    }
    Ok(places)
}

/// What the agent's model cannot be given.
fn refusal(unacceptable: &Unacceptable, places: &[String]) -> Problem {
    let field = match unacceptable {
        Unacceptable::Attachment { at, .. } => places.get(*at).map_or("content", String::as_str),
        Unacceptable::ResponseFormat { .. } => "response_format",
    };
    Problem::unusable(field, format!("field '{field}': {}", unacceptable.message()))
}

//! `evonic chat`: a message, the agent's turn as it happens, and how it ended.
//!
//! The turn belongs to the worker, not to this command. A worker's replacement breaks connections;
//! the message is posted again under the same key, and the stream of events is resumed behind the
//! last one seen, so that nothing is shown twice or lost.

mod attach;
mod input;
mod stream;
pub(super) mod transcript;

use std::{path::PathBuf, time::Duration};

use evonic_domain::{Agent, EventKind, NewSession, Posted, Session, TurnId};
use evonic_shared::exit::ExitCode;
use serde::Deserialize;
use tokio::signal::unix::{Signal, SignalKind, signal};

use input::Input;
use stream::Follower;
use transcript::Transcript;

use super::{
    api::{Api, segment},
    command::ChatOptions,
    error::{ConsoleError, Result},
    format,
    output::Console,
    text::{Style, Text, text},
};

/// How long a transient failure is waited out: a worker that starts slowly, and some more.
const RETRY_LIMIT: Duration = Duration::from_secs(60);

/// Characters of a message that become the title of its session.
const TITLE_CHARS: usize = 60;

/// Runs the command.
pub(super) async fn run(
    options: &ChatOptions,
    api: &Api,
    console: &mut Console<'_>,
) -> Result<ExitCode> {
    let api = &api.retrying(RETRY_LIMIT);
    let interrupts = signal(SignalKind::interrupt()).map_err(ConsoleError::Runtime)?;
    let mut input =
        Input::new(options.message.as_deref(), console.terminal.interactive && !options.json)?;
    attach::check(&options.attach)?;
    let agent: Agent = api.get(&format!("/agents/{}", segment(&options.agent))).await?;
    let session = match &options.session {
        Some(id) => Some(resumed_session(api, id, &agent).await?),
        None => None,
    };
    let (attach, json) = (options.attach.clone(), options.json);
    let mut chat = Chat { api, agent, session, cursor: 0, interrupts, attach, json };
    chat.cursor = chat.session.as_ref().map_or(0, |session| session.last_event);
    let mut code = ExitCode::Ok;
    if input.is_interactive() {
        console.say(Style::Dim.of(input::HELP));
    }
    while let Some(text) = input.next(&mut chat.interrupts, console).await? {
        code = chat.turn(text, console).await?;
        if !input.is_interactive() {
            return Ok(code);
        }
    }
    if let Some(session) = &chat.session {
        let name = &chat.agent.name;
        console.say(format!("Go on with: evonic chat {name} --session {}", session.id));
    }
    Ok(code)
}

async fn resumed_session(api: &Api, id: &str, agent: &Agent) -> Result<Session> {
    let session: Session = api.get(&format!("/sessions/{}", segment(id))).await?;
    if session.agent_id != agent.id {
        let other: Agent = api.get(&format!("/agents/{}", session.agent_id)).await?;
        return Err(ConsoleError::Usage(format!(
            "session {id} is with agent {}, not with {}",
            other.name, agent.name
        )));
    }
    Ok(session)
}

struct Chat<'a> {
    api: &'a Api,
    agent: Agent,
    /// Made with the first message.
    session: Option<Session>,
    /// The last event seen.
    cursor: u64,
    interrupts: Signal,
    /// What goes with the first message.
    attach: Vec<PathBuf>,
    json: bool,
}

/// The data of an event.
#[derive(Deserialize)]
struct EventData {
    turn_id: TurnId,
    #[serde(flatten)]
    kind: EventKind,
}

impl Chat<'_> {
    /// Posts a message and follows its turn to the end.
    async fn turn(&mut self, content: String, console: &mut Console<'_>) -> Result<ExitCode> {
        let attach = std::mem::take(&mut self.attach);
        let posted = tokio::select! {
            posted = post(self.api, &self.agent, self.session.as_ref(), content, &attach) => {
                posted?
            }
            _ = self.interrupts.recv() => {
                console.say("Left before the worker confirmed the message.");
                return Ok(ExitCode::TurnCancelled);
            }
        };
        let (session, Posted { turn, .. }) = posted;
        if self.json {
            let opened = serde_json::json!({
                "type": "chat.opened", "session_id": session.id, "turn_id": turn.id,
            });
            console.json_line(&opened)?;
        }
        let mut follower = Follower::new(self.api, &session.id, self.cursor);
        self.session = Some(session);
        let code = self.follow(&mut follower, &turn.id, console).await;
        self.cursor = follower.cursor;
        code
    }

    async fn follow(
        &mut self,
        follower: &mut Follower<'_>,
        turn: &TurnId,
        console: &mut Console<'_>,
    ) -> Result<ExitCode> {
        let mut transcript = Transcript::new(console.terminal.out.no_terminal());
        let mut cancelled = false;
        loop {
            let event = tokio::select! {
                event = follower.next() => event?,
                _ = self.interrupts.recv() => {
                    if cancelled {
                        console.say(format!("Left; turn {turn} is asked to stop."));
                        return Ok(ExitCode::TurnCancelled);
                    }
                    cancelled = true;
                    console.say("Cancelling. Ctrl-C again leaves at once.");
                    self.api.post_empty(&format!("/turns/{turn}/cancel")).await?;
                    continue;
                }
            };
            // Events of later versions are skipped, and so are the session's other turns.
            let Ok(data) = serde_json::from_str::<EventData>(&event.data) else { continue };
            if data.turn_id != *turn {
                continue;
            }
            if self.json {
                console.event(&event.data)?;
            } else {
                console.print(&transcript.add(&data.kind))?;
            }
            if let Some(code) = self.ended(&data.kind, console) {
                return Ok(code);
            }
        }
    }

    /// How the turn ended, if this event is its end.
    fn ended(&self, event: &EventKind, console: &mut Console<'_>) -> Option<ExitCode> {
        let (code, summary) = match event {
            EventKind::TurnCompleted { usage, cost } => {
                (ExitCode::Ok, format::usage(usage, *cost).map(Text::from))
            }
            EventKind::TurnFailed { error } => {
                let reason = format!("{} ({})", error.message, error.code);
                let failed = Style::Red.of("The turn failed:");
                (ExitCode::TurnFailed, Some(text![failed, " ", Text::quoted(reason, 0)]))
            }
            EventKind::TurnCancelled {} => {
                (ExitCode::TurnCancelled, Some(Style::Yellow.of("The turn was cancelled.")))
            }
            _ => return None,
        };
        if let Some(summary) = summary.filter(|_| !self.json) {
            console.say(summary);
        }
        Some(code)
    }
}

/// Posts a message, to a new session when there is none. All of it may be tried again: a session
/// that was made twice is an empty one too many, a message is stored once under its key. A session whose
/// first message is refused goes again.
async fn post(
    api: &Api,
    agent: &Agent,
    session: Option<&Session>,
    content: String,
    attach: &[PathBuf],
) -> Result<(Session, Posted)> {
    let is_new = session.is_none();
    let session = match session {
        Some(session) => session.clone(),
        None => {
            let title = content.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let title = title.trim().chars().take(TITLE_CHARS).collect();
            let new = NewSession { agent: agent.id.to_string(), title };
            api.post_idempotent("/sessions", &new).await?
        }
    };
    let path = format!("/sessions/{}/messages", session.id);
    let posting = async || {
        let message = attach::message(api, &session.id, content, attach).await?;
        api.post_idempotent(&path, &message).await
    };
    match posting().await {
        Ok(posted) => Ok((session, posted)),
        Err(error) => {
            if is_new && matches!(error, ConsoleError::Refused { .. }) {
                // Why the message was refused is what counts.
                let _ = api.delete(&format!("/sessions/{}", session.id)).await;
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;

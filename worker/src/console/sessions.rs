//! `evonic session`.

use evonic_domain::{Agent, Attachment, Message, Role, Session};
use jiff::tz::TimeZone;

use super::{
    agents::name_of,
    api::{Api, segment},
    command::SessionCommand,
    compaction,
    error::Result,
    format::{self, count, local_time},
    output::Console,
    table::table,
    text::{Style, Text, text},
    transfer,
};

/// Runs `evonic session`.
pub(super) async fn run(command: SessionCommand, api: &Api, console: &mut Console<'_>) -> Result {
    match command {
        SessionCommand::List { limit, output } => {
            let mut sessions: Vec<Session> = api.list("/sessions").await?;
            let all = sessions.len();
            sessions.reverse();
            sessions.truncate(limit);
            if output.json {
                return console.json(&sessions);
            }
            let agents: Vec<Agent> = api.list("/agents").await?;
            console.print(&sessions_table(&sessions, &agents, &TimeZone::system()))?;
            if all > sessions.len() {
                let shown = sessions.len();
                console.say(format!("{shown} of {}; -n shows more", count(all, "session")));
            }
            Ok(())
        }
        SessionCommand::Show { session, output } => {
            let path = format!("/sessions/{}/messages", segment(&session));
            let messages: Vec<Message> = api.list(&path).await?;
            if output.json {
                return console.json(&messages);
            }
            console.print(&conversation(&messages, &TimeZone::system()))?;
            let shown: Session = api.get(&format!("/sessions/{}", segment(&session))).await?;
            if let Some(usage) = format::usage(&shown.usage, shown.cost) {
                console.say(Style::Dim.of(usage));
            }
            Ok(())
        }
        SessionCommand::Compact { session } => compaction::run(&session, api, console).await,
        SessionCommand::Export { what, agent, all } => {
            transfer::export(&what, agent.as_deref(), all, api, console).await
        }
        SessionCommand::Import { file, agent, skip, new_ids, output } => {
            let existing = match (skip, new_ids) {
                (true, _) => "skip",
                (_, true) => "new_ids",
                _ => "refuse",
            };
            let done = transfer::import(&file, agent.as_deref(), existing, api).await?;
            console.show(&output, &done, || {
                let sessions =
                    count(usize::try_from(done.sessions).unwrap_or(usize::MAX), "session");
                let skipped = match done.skipped {
                    0 => String::new(),
                    skipped => format!(", passed over {skipped} that were there"),
                };
                Text::of_line(format!("Imported {sessions}{skipped}."))
            })
        }
        SessionCommand::Rm { session } => {
            api.delete(&format!("/sessions/{}", segment(&session))).await?;
            console.line(format!("Removed {session}."))
        }
    }
}

fn sessions_table(sessions: &[Session], agents: &[Agent], zone: &TimeZone) -> Text {
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            let updated = local_time(&session.updated_at, zone);
            [
                session.id.to_string(),
                name_of(&session.agent_id, agents),
                updated,
                session.title.clone(),
            ]
        })
        .collect();
    table(["session", "agent", "updated", "title"], &rows)
}

fn conversation(messages: &[Message], zone: &TimeZone) -> Text {
    let mut page = Text::default();
    for message in messages {
        let who = match message.role {
            Role::User => Style::Bold.of("you"),
            Role::Assistant => Style::Cyan.of("agent"),
        };
        page.line(text![who, "   ", Style::Dim.of(local_time(&message.created_at, zone))]);
        if !message.content.trim().is_empty() {
            page.line(Text::prose(message.content.trim_end()));
        }
        for attachment in &message.attachments {
            page.line(attachment_line(attachment));
        }
        page.end_line();
    }
    page
}

/// Its name, what it is, and its size.
fn attachment_line(attachment: &Attachment) -> Text {
    let Attachment { name, media_type, bytes, sha256, .. } = attachment;
    let name = if name.is_empty() { &sha256[..sha256.len().min(12)] } else { name };
    Style::Dim.of(format!("[{name}: {media_type}, {}]", format::bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use evonic_domain::AttachmentKind;

    use super::{super::agents::tests::agent, *};

    fn session(agent: &Agent, title: &str) -> Session {
        Session {
            id: "ses_0190c2a1b3c47d5e8f60718293a4b5c7".parse().expect("an id"),
            agent_id: agent.id.clone(),
            title: title.to_owned(),
            last_event: 12,
            usage: evonic_domain::Usage::default(),
            cost: 0,
            created_at: "2026-11-23T14:03:11.250Z".to_owned(),
            updated_at: "2026-11-23T14:04:00.000Z".to_owned(),
        }
    }

    #[test]
    fn sessions_are_rendered() {
        let agent = agent("runbook", None);
        let sessions = [session(&agent, "Which kernel?"), session(&agent, "")];
        let text = sessions_table(&sessions, &[agent], &TimeZone::UTC);
        insta::assert_snapshot!("sessions", text.plain());
        let message = |role, content: &str| Message {
            id: "msg_0190c2a1b3c47d5e8f60718293a4b5c8".parse().expect("an id"),
            session_id: sessions[0].id.clone(),
            turn_id: "trn_0190c2a1b3c47d5e8f60718293a4b5c9".parse().expect("an id"),
            role,
            content: content.to_owned(),
            attachments: match role {
                Role::User => vec![Attachment {
                    kind: AttachmentKind::Image,
                    sha256: "4f".repeat(32),
                    media_type: "image/png".to_owned(),
                    name: "screen.png".to_owned(),
                    bytes: 5_120,
                }],
                Role::Assistant => Vec::new(),
            },
            created_at: "2026-11-23T14:03:11.250Z".to_owned(),
        };
        let messages = [message(Role::User, "$ uname"), message(Role::Assistant, "Linux\n")];
        let text = conversation(&messages, &TimeZone::UTC);
        insta::assert_snapshot!("conversation", text.plain());
    }
}

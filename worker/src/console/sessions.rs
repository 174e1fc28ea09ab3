//! `evonic session`.

use evonic_domain::{Agent, Message, Role, Session};
use jiff::tz::TimeZone;

use super::{
    agents::name_of,
    api::{Api, segment},
    command::SessionCommand,
    error::Result,
    format::{count, local_time},
    output::{Console, pretty},
    table::table,
    terminal::Paint,
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
                return console.print(&pretty(&sessions));
            }
            let agents: Vec<Agent> = api.list("/agents").await?;
            let paint = console.terminal.out;
            console.print(&sessions_table(&sessions, &agents, &TimeZone::system(), paint))?;
            if all > sessions.len() {
                console.say(&format!(
                    "{} of {}; -n shows more",
                    sessions.len(),
                    count(all, "session")
                ));
            }
            Ok(())
        }
        SessionCommand::Show { session, output } => {
            let path = format!("/sessions/{}/messages", segment(&session));
            let messages: Vec<Message> = api.list(&path).await?;
            console.show(&output, &messages, |paint| {
                conversation(&messages, &TimeZone::system(), paint)
            })
        }
        SessionCommand::Rm { session } => {
            api.delete(&format!("/sessions/{}", segment(&session))).await?;
            console.print(&format!("Removed {session}.\n"))
        }
    }
}

fn sessions_table(sessions: &[Session], agents: &[Agent], zone: &TimeZone, paint: Paint) -> String {
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
    table(["session", "agent", "updated", "title"], &rows, paint)
}

fn conversation(messages: &[Message], zone: &TimeZone, paint: Paint) -> String {
    let mut text = String::new();
    for message in messages {
        let who = match message.role {
            Role::User => paint.bold("you"),
            Role::Assistant => paint.cyan("agent"),
        };
        let at = paint.dim(&local_time(&message.created_at, zone));
        text.push_str(&format!("{who}   {at}\n{}\n\n", message.content.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::agents::tests::agent, *};

    const PLAIN: Paint = Paint::PLAIN;

    fn session(agent: &Agent, title: &str) -> Session {
        Session {
            id: "ses_0190c2a1b3c47d5e8f60718293a4b5c7".parse().expect("an id"),
            agent_id: agent.id.clone(),
            title: title.to_owned(),
            last_event: 12,
            created_at: "2026-11-23T14:03:11.250Z".to_owned(),
            updated_at: "2026-11-23T14:04:00.000Z".to_owned(),
        }
    }

    #[test]
    fn sessions_are_rendered() {
        let agent = agent("runbook", None);
        let sessions = [session(&agent, "Which kernel?"), session(&agent, "")];
        let text = sessions_table(&sessions, &[agent], &TimeZone::UTC, PLAIN);
        insta::assert_snapshot!("sessions", text);
        let message = |role, content: &str| Message {
            id: "msg_0190c2a1b3c47d5e8f60718293a4b5c8".parse().expect("an id"),
            session_id: sessions[0].id.clone(),
            turn_id: "trn_0190c2a1b3c47d5e8f60718293a4b5c9".parse().expect("an id"),
            role,
            content: content.to_owned(),
            created_at: "2026-11-23T14:03:11.250Z".to_owned(),
        };
        let messages = [message(Role::User, "$ uname"), message(Role::Assistant, "Linux\n")];
        insta::assert_snapshot!("conversation", conversation(&messages, &TimeZone::UTC, PLAIN));
    }
}

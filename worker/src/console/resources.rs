//! `evonic agent` and `evonic session`.

use std::{io::Read, time::Duration};

use jiff::tz::TimeZone;

use super::{
    Console,
    api::{Api, segment},
    command::{AgentCommand, SessionCommand},
    error::ConsoleError,
    figures::{count, local},
    pretty,
    terminal::Paint,
};
use evonic_domain::{Agent, AgentName, Message, NewAgent, Role, Session, Workplace};

/// How long a passing failure of a read is waited out.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `evonic agent`.
pub(super) async fn agent(
    command: AgentCommand,
    api: &Api,
    console: &mut Console<'_>,
) -> Result<(), ConsoleError> {
    match command {
        AgentCommand::Add {
            name,
            model,
            instructions,
            tools,
            workplace,
            other_workplace,
            output,
        } => {
            let name: AgentName =
                name.parse().map_err(|error| ConsoleError::Usage(format!("{name:?}: {error}")))?;
            let instructions = text_of(&instructions)?;
            let other_workplaces = other_workplace;
            let new = NewAgent { name, model, instructions, tools, workplace, other_workplaces };
            let agent: Agent = api.post("/agents", &new, None).await?;
            let told = if output.json {
                pretty(&agent)
            } else {
                format!("Made {}. Talk with it: evonic chat {}\n", agent.name, agent.name)
            };
            console.print(&told)
        }
        AgentCommand::List(output) => {
            let agents: Vec<Agent> = api.list("/agents", PATIENCE).await?;
            if output.json {
                return console.print(&pretty(&agents));
            }
            let workplaces = workplaces(api).await?;
            console.print(&agents_table(&agents, &workplaces, console.terminal.out))
        }
        AgentCommand::Show { agent, output } => {
            let agent: Agent = api.get(&format!("/agents/{}", segment(&agent)), PATIENCE).await?;
            if output.json {
                return console.print(&pretty(&agent));
            }
            let workplaces = workplaces(api).await?;
            console.print(&agent_page(&agent, &workplaces, console.terminal.out))
        }
        AgentCommand::Rm { agent } => {
            api.delete(&format!("/agents/{}", segment(&agent))).await?;
            console.print(&format!("Removed {agent}.\n"))
        }
    }
}

/// Runs `evonic session`.
pub(super) async fn session(
    command: SessionCommand,
    api: &Api,
    console: &mut Console<'_>,
) -> Result<(), ConsoleError> {
    match command {
        SessionCommand::List { limit, output } => {
            let mut sessions: Vec<Session> = api.list("/sessions", PATIENCE).await?;
            let all = sessions.len();
            sessions.reverse();
            sessions.truncate(limit);
            if output.json {
                return console.print(&pretty(&sessions));
            }
            let agents: Vec<Agent> = api.list("/agents", PATIENCE).await?;
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
            let messages: Vec<Message> = api.list(&path, PATIENCE).await?;
            let told = if output.json {
                pretty(&messages)
            } else {
                conversation(&messages, &TimeZone::system(), console.terminal.out)
            };
            console.print(&told)
        }
        SessionCommand::Rm { session } => {
            api.delete(&format!("/sessions/{}", segment(&session))).await?;
            console.print(&format!("Removed {session}.\n"))
        }
    }
}

/// Every workplace, for its name; none for a key that may not see them.
async fn workplaces(api: &Api) -> Result<Vec<Workplace>, ConsoleError> {
    match api.list("/workplaces", PATIENCE).await {
        Err(ConsoleError::KeyRefused { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

/// A text, or that of `@FILE`, or of standard input for `-`.
pub(super) fn text_of(argument: &str) -> Result<String, ConsoleError> {
    let input = |what: &str| {
        let what = what.to_owned();
        move |source| ConsoleError::Input { what, source }
    };
    match argument.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(input(file)),
        None if argument == "-" => standard_input(),
        None => Ok(argument.to_owned()),
    }
}

/// All of standard input.
pub(super) fn standard_input() -> Result<String, ConsoleError> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| ConsoleError::Input { what: "standard input".to_owned(), source })?;
    Ok(text)
}

/// Rows in columns as wide as their widest cell; the last column is as it is.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], paint: Paint) -> String {
    let wide = |text: &str| text.chars().count();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| wide(&row[column])).chain([wide(head[column])]).max().unwrap_or(0)
    });
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    paint.dim(line(head).trim_end()) + "\n" + &rows.collect::<String>()
}

fn tools(agent: &Agent) -> String {
    match &agent.tools {
        None => "every tool".to_owned(),
        Some(tools) if tools.is_empty() => "no tool".to_owned(),
        Some(tools) => tools.join(", "),
    }
}

/// A line of a page: what it is, and its value.
pub(super) fn label(name: &str, value: &str, paint: Paint) -> String {
    format!("{}{value}\n", paint.dim(&format!("{name:<16}")))
}

/// The name of a workplace; what was given where it is gone.
fn named<'a>(which: &'a str, workplaces: &'a [Workplace]) -> &'a str {
    let found = workplaces.iter().find(|workplace| workplace.id.as_str() == which);
    found.map_or(which, |workplace| workplace.name.as_str())
}

fn agents_table(agents: &[Agent], workplaces: &[Workplace], paint: Paint) -> String {
    let rows: Vec<_> = agents
        .iter()
        .map(|agent| {
            let workplace = named(&agent.workplace, workplaces).to_owned();
            [agent.name.to_string(), agent.model.clone(), workplace, tools(agent)]
        })
        .collect();
    table(["name", "model", "workplace", "tools"], &rows, paint)
}

fn agent_page(agent: &Agent, workplaces: &[Workplace], paint: Paint) -> String {
    let others = agent.other_workplaces.iter().map(|which| named(which, workplaces));
    let others = others.collect::<Vec<_>>().join(", ");
    let mut page = format!("{}\n", paint.bold(agent.name.as_str()));
    for (name, value) in [
        ("id", agent.id.to_string()),
        ("model", agent.model.clone()),
        ("tools", tools(agent)),
        ("workplace", named(&agent.workplace, workplaces).to_owned()),
        ("copies with", others),
        ("created", agent.created_at.clone()),
        ("updated", agent.updated_at.clone()),
    ] {
        if !value.is_empty() {
            page.push_str(&label(name, &value, paint));
        }
    }
    if !agent.instructions.is_empty() {
        page.push_str(&format!("\n{}\n", agent.instructions.trim_end()));
    }
    page
}

fn sessions_table(sessions: &[Session], agents: &[Agent], zone: &TimeZone, paint: Paint) -> String {
    let name = |session: &Session| {
        let agent = agents.iter().find(|agent| agent.id == session.agent_id);
        agent.map_or_else(|| "(removed)".to_owned(), |agent| agent.name.to_string())
    };
    let rows: Vec<_> = sessions
        .iter()
        .map(|session| {
            let updated = local(&session.updated_at, zone);
            [session.id.to_string(), name(session), updated, session.title.clone()]
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
        let at = paint.dim(&local(&message.created_at, zone));
        text.push_str(&format!("{who}   {at}\n{}\n\n", message.content.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Paint = Paint { colour: false };
    const BOX: &str = "wpl_0190c2a1b3c47d5e8f60718293a4b5ca";

    fn agent(name: &str, tools: Option<&[&str]>) -> Agent {
        let tools = tools.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Agent {
            id: "agt_0190c2a1b3c47d5e8f60718293a4b5c6".parse().expect("an id"),
            name: name.parse().expect("a name"),
            model: "runbook".to_owned(),
            instructions: "Be brief.\nBe right.\n".to_owned(),
            tools,
            workplace: if name == "mute" { "local".to_owned() } else { BOX.to_owned() },
            other_workplaces: vec!["local".to_owned(), "wpl_gone".to_owned()],
            created_at: "2026-11-23T14:03:11.250Z".to_owned(),
            updated_at: "2026-11-23T14:03:11.250Z".to_owned(),
        }
    }

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
    fn agents_are_rendered() {
        let agents = [
            agent("runbook", None),
            agent("a-reader-with-a-long-name", Some(&["read_file", "list_files"])),
            agent("mute", Some(&[])),
        ];
        let settings = evonic_domain::DockerSettings::default();
        let workplaces = [Workplace {
            id: BOX.parse().expect("an id"),
            name: "box".parse().expect("a name"),
            settings: evonic_domain::Settings::Docker(settings),
            created_at: String::new(),
            updated_at: String::new(),
        }];
        insta::assert_snapshot!("agents", agents_table(&agents, &workplaces, PLAIN));
        insta::assert_snapshot!("agent", agent_page(&agents[0], &workplaces, PLAIN));
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

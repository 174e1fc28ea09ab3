//! `evonic agent`.

use evonic_domain::{Agent, AgentChange, AgentId, NewAgent, Workplace};

use super::{
    api::{Api, segment},
    command::{AgentChanges, AgentCommand},
    error::{ConsoleError, Result},
    input::{self, argument_text},
    output::Console,
    table::{label, table},
    text::{Style, Text},
};

/// Runs `evonic agent`.
pub(super) async fn run(command: AgentCommand, api: &Api, console: &mut Console<'_>) -> Result {
    match command {
        AgentCommand::Add {
            name,
            model,
            instructions,
            tools,
            workplace,
            other_workplace,
            retention,
            output,
        } => {
            let name = input::name(&name)?;
            let instructions = argument_text(&instructions)?;
            let tools = tools.map(names);
            let other_workplaces = names(other_workplace);
            let retention = retention.as_deref().map(input::retention).transpose()?.flatten();
            let new = NewAgent {
                name,
                model,
                instructions,
                tools,
                workplace,
                other_workplaces,
                retention,
            };
            let agent: Agent = api.post("/agents", &new).await?;
            console.show(&output, &agent, || {
                let name = &agent.name;
                Text::of_line(format!("Made {name}. Talk with it: evonic chat {name}"))
            })
        }
        AgentCommand::List(output) => {
            let agents: Vec<Agent> = api.list("/agents").await?;
            if output.json {
                return console.json(&agents);
            }
            let workplaces = workplaces(api).await?;
            console.print(&agents_table(&agents, &workplaces))
        }
        AgentCommand::Show { agent, output } => {
            let agent: Agent = api.get(&path(&agent)).await?;
            if output.json {
                return console.json(&agent);
            }
            let workplaces = workplaces(api).await?;
            console.print(&agent_page(&agent, &workplaces))
        }
        AgentCommand::Set { agent, changes, output } => {
            let agent: Agent = api.patch(&path(&agent), &change(changes)?).await?;
            console.show(&output, &agent, || {
                Text::of_line(format!("Changed {}; its next turn works with it.", agent.name))
            })
        }
        AgentCommand::Rm { agent } => {
            api.delete(&path(&agent)).await?;
            console.line(format!("Removed {agent}."))
        }
    }
}

fn path(agent: &str) -> String {
    format!("/agents/{}", segment(agent))
}

fn change(changes: AgentChanges) -> Result<AgentChange> {
    let tools = changes.tools.map(|tools| Some(names(tools)));
    Ok(AgentChange {
        name: changes.name.as_deref().map(input::name).transpose()?,
        model: changes.model,
        instructions: changes.instructions.as_deref().map(argument_text).transpose()?,
        tools: if changes.every_tool { Some(None) } else { tools },
        workplace: changes.workplace,
        other_workplaces: changes.other_workplace.map(names),
        retention: changes.retention.as_deref().map(input::retention).transpose()?,
    })
}

/// The names of an option, where a single empty one means none at all.
fn names(given: Vec<String>) -> Vec<String> {
    if given == [""] { Vec::new() } else { given }
}

/// Every workplace, for its name; none for a key that may not see them.
async fn workplaces(api: &Api) -> Result<Vec<Workplace>> {
    match api.list("/workplaces").await {
        Err(ConsoleError::KeyRefused { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

fn tools(agent: &Agent) -> String {
    match &agent.tools {
        None => "every tool".to_owned(),
        Some(tools) if tools.is_empty() => "no tool".to_owned(),
        Some(tools) => tools.join(", "),
    }
}

/// How long its sessions are kept, where it says so itself.
fn kept(agent: &Agent) -> String {
    let Some(retention) = &agent.retention else { return String::new() };
    let age = retention.sessions.as_ref().map(|age| format!("kept for {age}"));
    let most = retention.max_sessions.map(|most| format!("{most} at the most"));
    let kept: Vec<_> = age.into_iter().chain(most).collect();
    if kept.is_empty() { "kept for ever".to_owned() } else { kept.join(", ") }
}

/// The name of a workplace; what was given where it is gone.
fn workplace_name<'a>(which: &'a str, workplaces: &'a [Workplace]) -> &'a str {
    let found = workplaces.iter().find(|workplace| workplace.id.as_str() == which);
    found.map_or(which, |workplace| workplace.name.as_str())
}

fn agents_table(agents: &[Agent], workplaces: &[Workplace]) -> Text {
    let rows: Vec<_> = agents
        .iter()
        .map(|agent| {
            let workplace = workplace_name(&agent.workplace, workplaces).to_owned();
            [agent.name.to_string(), agent.model.clone(), workplace, tools(agent)]
        })
        .collect();
    table(["name", "model", "workplace", "tools"], &rows)
}

fn agent_page(agent: &Agent, workplaces: &[Workplace]) -> Text {
    let others = agent.other_workplaces.iter().map(|which| workplace_name(which, workplaces));
    let others = others.collect::<Vec<_>>().join(", ");
    let mut page = Text::of_line(Style::Bold.of(&agent.name));
    for (name, value) in [
        ("id", agent.id.to_string()),
        ("model", agent.model.clone()),
        ("tools", tools(agent)),
        ("workplace", workplace_name(&agent.workplace, workplaces).to_owned()),
        ("copies with", others),
        ("sessions", kept(agent)),
        ("created", agent.created_at.clone()),
        ("updated", agent.updated_at.clone()),
    ] {
        if !value.is_empty() {
            page.push(label(name, &value));
        }
    }
    if !agent.instructions.is_empty() {
        page.end_line();
        page.line(Text::prose(agent.instructions.trim_end()));
    }
    page
}

/// The name of an agent, also of one that was removed.
pub(super) fn name_of(id: &AgentId, agents: &[Agent]) -> String {
    let agent = agents.iter().find(|agent| agent.id == *id);
    agent.map_or_else(|| "(removed)".to_owned(), |agent| agent.name.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::{
        super::command::{Arguments, Command},
        *,
    };

    const BOX: &str = "wpl_0190c2a1b3c47d5e8f60718293a4b5ca";

    pub(in crate::console) fn agent(name: &str, tools: Option<&[&str]>) -> Agent {
        let tools = tools.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Agent {
            id: "agt_0190c2a1b3c47d5e8f60718293a4b5c6".parse().expect("an id"),
            name: name.parse().expect("a name"),
            model: "runbook".to_owned(),
            instructions: "Be brief.\nBe right.\n".to_owned(),
            tools,
            workplace: if name == "mute" { "local".to_owned() } else { BOX.to_owned() },
            other_workplaces: vec!["local".to_owned(), "wpl_gone".to_owned()],
            retention: None,
            created_at: "2026-11-23T14:03:11.250Z".to_owned(),
            updated_at: "2026-11-23T14:03:11.250Z".to_owned(),
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
        insta::assert_snapshot!("agents", agents_table(&agents, &workplaces).plain());
        insta::assert_snapshot!("agent", agent_page(&agents[0], &workplaces).plain());
    }

    /// The body that `evonic agent set a` sends with these options.
    fn changed(options: &[&str]) -> serde_json::Value {
        let arguments = [&["evonic", "agent", "set", "a"], options].concat();
        let arguments = Arguments::try_parse_from(arguments).expect("they are taken");
        let Some(Command::Agent(AgentCommand::Set { changes, .. })) = arguments.command else {
            panic!("{arguments:?}");
        };
        serde_json::to_value(change(changes).expect("they are sound")).expect("it is JSON")
    }

    #[test]
    fn only_what_is_given_is_changed() {
        for (options, body) in [
            (&["--model", "big", "--name", "b"][..], json!({"model": "big", "name": "b"})),
            (&["--instructions", "- Be brief."], json!({"instructions": "- Be brief."})),
            (&["--instructions", ""], json!({"instructions": ""})),
            (&["--tools", "bash,read_file"], json!({"tools": ["bash", "read_file"]})),
            (&["--tools", ""], json!({"tools": []})),
            (&["--tools="], json!({"tools": []})),
            (&["--every-tool"], json!({"tools": null})),
            (&["--other-workplace", ""], json!({"other_workplaces": []})),
            (&["--retention", "general"], json!({"retention": null})),
            (
                &["--retention", "forever"],
                json!({"retention": {"sessions": null, "max_sessions": null}}),
            ),
            (
                &["--retention", "30days,100"],
                json!({"retention": {"sessions": "30days", "max_sessions": 100}}),
            ),
            (
                &["-w", "box", "--other-workplace", "x", "--other-workplace", "y"],
                json!({"workplace": "box", "other_workplaces": ["x", "y"]}),
            ),
        ] {
            assert_eq!(changed(options), body, "{options:?}");
        }
    }

    #[test]
    fn a_change_of_nothing_or_of_two_things_at_once_is_refused() {
        for (options, option) in
            [(&[][..], "--model"), (&["--tools", "", "--every-tool"], "--tools")]
        {
            let arguments = [&["evonic", "agent", "set", "a"], options].concat();
            let error = Arguments::try_parse_from(arguments).expect_err("it is refused");
            assert!(error.to_string().contains(option), "{error}");
        }
        let error = input::name("Not A Name").expect_err("it is none").to_string();
        assert!(error.contains("\"Not A Name\""), "{error}");
    }
}

//! `evonic workplace` and `evonic sandbox`.

mod fields;
mod page;

use std::time::Duration;

use evonic_shared::exit::ExitCode;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use self::fields::SettingsOptions;
use super::{
    Console,
    api::{Api, segment},
    command::{SandboxCommand, WorkplaceCommand},
    compact,
    error::ConsoleError,
    pretty,
    resources::text_of,
    told,
};
use evonic_domain::{AgentName, Workplace, WorkplaceChange};
use evonic_workplace::CheckStep;

/// How long a passing failure of a read is waited out.
const PATIENCE: Duration = Duration::from_secs(10);

/// How told work ended.
#[derive(Deserialize)]
struct Done {
    ok: bool,
    #[serde(default)]
    error: String,
}

/// Runs `evonic workplace`.
pub(super) async fn workplace(
    command: WorkplaceCommand,
    api: &Api,
    console: &mut Console<'_>,
) -> Result<ExitCode, ConsoleError> {
    match command {
        WorkplaceCommand::Add { name, kind, settings, options, output } => {
            let settings = options.over(object(settings.as_deref())?)?;
            let name = parsed(&name)?;
            let new = serde_json::json!({ "name": name, "kind": kind, "settings": settings });
            let made: Workplace = api.post("/workplaces", &new, None).await?;
            console.print(&if output.json {
                pretty(&made)
            } else {
                format!("Made {name}. Try it: evonic workplace check {name}\n")
            })?;
        }
        WorkplaceCommand::List(output) => {
            let workplaces: Vec<Workplace> = api.list("/workplaces", PATIENCE).await?;
            console.print(&if output.json {
                pretty(&workplaces)
            } else {
                page::list(&workplaces, console.terminal.out)
            })?;
        }
        WorkplaceCommand::Show { workplace, output } => {
            let workplace: Workplace = api.get(&at(&workplace), PATIENCE).await?;
            console.print(&if output.json {
                pretty(&workplace)
            } else {
                page::one(&workplace, console.terminal.out)
            })?;
        }
        WorkplaceCommand::Set { workplace, changes, output } => {
            let changed: Workplace = api.patch(&at(&workplace), &change(&changes)?).await?;
            console.print(&if output.json {
                pretty(&changed)
            } else {
                format!("Changed {}; the next turn works with it.\n", changed.name)
            })?;
        }
        WorkplaceCommand::Check { workplace, output } => {
            return check(&workplace, output.json, api, console).await;
        }
        WorkplaceCommand::Rm { workplace } => {
            api.delete(&at(&workplace)).await?;
            console.print(&format!("Removed {workplace}.\n"))?;
        }
    }
    Ok(ExitCode::Ok)
}

/// Runs `evonic sandbox`.
pub(super) async fn sandbox(
    command: SandboxCommand,
    api: &Api,
    console: &mut Console<'_>,
) -> Result<ExitCode, ConsoleError> {
    let SandboxCommand::Build { workplace, output } = command;
    let query = workplace.map(|name| format!("?workplace={}", segment(&name))).unwrap_or_default();
    let line = |data: &str, console: &mut Console<'_>| {
        let line: String = serde_json::from_str(data).map_err(misunderstood)?;
        let text = line.trim_end();
        console.print(&if output.json {
            compact(&serde_json::json!({ "line": text })) + "\n"
        } else {
            format!("{text}\n")
        })
    };
    let done = told::follow(api, &format!("/sandbox/build{query}"), console, line).await?;
    if output.json {
        console.print(&format!("{done}\n"))?;
    }
    let done: Done = serde_json::from_str(&done).map_err(misunderstood)?;
    if done.ok {
        return Ok(ExitCode::Ok);
    }
    console.say(&format!("{} {}", console.terminal.err.red("evonic:"), done.error));
    Ok(ExitCode::Failure)
}

/// Shows each step as it is done.
async fn check(
    workplace: &str,
    json: bool,
    api: &Api,
    console: &mut Console<'_>,
) -> Result<ExitCode, ConsoleError> {
    let step = |data: &str, console: &mut Console<'_>| {
        if json {
            return console.print(&format!("{data}\n"));
        }
        let step: CheckStep = serde_json::from_str(data).map_err(misunderstood)?;
        let line = page::step(&step, console.terminal.out);
        console.print(&line)
    };
    let done = told::follow(api, &format!("{}/check", at(workplace)), console, step).await?;
    let done: Done = serde_json::from_str(&done).map_err(misunderstood)?;
    if done.ok {
        return Ok(ExitCode::Ok);
    }
    if !json {
        console.say(&format!("{workplace} cannot be worked in."));
    }
    Ok(ExitCode::Failure)
}

fn misunderstood(source: serde_json::Error) -> ConsoleError {
    ConsoleError::Protocol { from: "the worker", source: source.into() }
}

fn at(workplace: &str) -> String {
    format!("/workplaces/{}", segment(workplace))
}

fn parsed(name: &str) -> Result<AgentName, ConsoleError> {
    name.parse().map_err(|error| ConsoleError::Usage(format!("{name:?}: {error}")))
}

/// Settings as JSON, from the argument, `@FILE` or standard input.
fn object(argument: Option<&str>) -> Result<Map<String, Value>, ConsoleError> {
    let Some(argument) = argument else { return Ok(Map::new()) };
    serde_json::from_str(&text_of(argument)?)
        .map_err(|error| ConsoleError::Usage(format!("--settings is no JSON object: {error}")))
}

fn change(assignments: &[String]) -> Result<WorkplaceChange, ConsoleError> {
    let mut change = WorkplaceChange::default();
    for assignment in assignments {
        if let Some(name) = assignment.strip_prefix("name=") {
            change.name = Some(parsed(name)?);
        } else {
            let (key, value) = fields::assignment(assignment)?;
            change.settings.get_or_insert_default().insert(key, value);
        }
    }
    Ok(change)
}

//! `evonic workplace` and `evonic sandbox`.

mod page;

use evonic_domain::{Workplace, WorkplaceChange};
use evonic_shared::exit::ExitCode;
use evonic_workplace::CheckStep;
use serde_json::{Map, Value};

use super::{
    api::{Api, decode, segment},
    command::{SandboxCommand, WorkplaceCommand, settings},
    error::{ConsoleError, Result, failure},
    input::{self, argument_text},
    output::Console,
    progress::{self, Outcome},
    text::Text,
};

/// Runs `evonic workplace`.
pub(super) async fn run(command: WorkplaceCommand, api: &Api, console: &mut Console<'_>) -> Result {
    match command {
        WorkplaceCommand::Add { name, kind, settings, options, output } => {
            let settings = options.apply_to(object(settings.as_deref())?)?;
            let name = input::name(&name)?;
            let new = serde_json::json!({ "name": name, "kind": kind, "settings": settings });
            let made: Workplace = api.post("/workplaces", &new).await?;
            console.show(&output, &made, || {
                Text::of_line(format!("Made {name}. Try it: evonic workplace check {name}"))
            })
        }
        WorkplaceCommand::List(output) => {
            let workplaces: Vec<Workplace> = api.list("/workplaces").await?;
            console.show(&output, &workplaces, || page::list(&workplaces))
        }
        WorkplaceCommand::Show { workplace, output } => {
            let workplace: Workplace = api.get(&path(&workplace)).await?;
            console.show(&output, &workplace, || page::one(&workplace))
        }
        WorkplaceCommand::Set { workplace, changes, output } => {
            let changed: Workplace = api.patch(&path(&workplace), &change(&changes)?).await?;
            console.show(&output, &changed, || {
                Text::of_line(format!("Changed {}; the next turn works with it.", changed.name))
            })
        }
        WorkplaceCommand::Check { workplace, output } => {
            check(&workplace, output.json, api, console).await
        }
        WorkplaceCommand::Rm { workplace } => {
            api.delete(&path(&workplace)).await?;
            console.line(format!("Removed {workplace}."))
        }
    }
}

/// Runs `evonic sandbox`.
pub(super) async fn sandbox(
    command: SandboxCommand,
    api: &Api,
    console: &mut Console<'_>,
) -> Result {
    let SandboxCommand::Build { workplace, output } = command;
    let query = workplace.map(|name| format!("?workplace={}", segment(&name))).unwrap_or_default();
    let line = |data: &str, console: &mut Console<'_>| {
        let line: String = decode(data.as_bytes())?;
        let text = line.trim_end();
        if output.json {
            console.json_line(&serde_json::json!({ "line": text }))
        } else {
            console.print(&Text::of_line(Text::prose(text)))
        }
    };
    let done = progress::follow(api, &format!("/sandbox/build{query}"), console, line).await?;
    if output.json {
        console.event(&done)?;
    }
    let Outcome { ok: false, error } = decode(done.as_bytes())? else { return Ok(()) };
    console.say(failure(error));
    Err(ConsoleError::Reported(ExitCode::Failure))
}

/// Shows each step as it is done.
async fn check(workplace: &str, json: bool, api: &Api, console: &mut Console<'_>) -> Result {
    let step = |data: &str, console: &mut Console<'_>| {
        if json {
            return console.event(data);
        }
        let step: CheckStep = decode(data.as_bytes())?;
        console.print(&page::step(&step))
    };
    let done = progress::follow(api, &format!("{}/check", path(workplace)), console, step).await?;
    let Outcome { ok: false, .. } = decode(done.as_bytes())? else { return Ok(()) };
    if !json {
        console.say(format!("{workplace} cannot be worked in."));
    }
    Err(ConsoleError::Reported(ExitCode::Failure))
}

fn path(workplace: &str) -> String {
    format!("/workplaces/{}", segment(workplace))
}

/// Settings as JSON, from the argument, `@FILE` or standard input.
fn object(argument: Option<&str>) -> Result<Map<String, Value>> {
    let Some(argument) = argument else { return Ok(Map::new()) };
    serde_json::from_str(&argument_text(argument)?)
        .map_err(|error| ConsoleError::Usage(format!("--settings is no JSON object: {error}")))
}

fn change(assignments: &[String]) -> Result<WorkplaceChange> {
    let mut change = WorkplaceChange::default();
    for assignment in assignments {
        if let Some(name) = assignment.strip_prefix("name=") {
            change.name = Some(input::name(name)?);
        } else {
            let (key, value) = settings::assignment(assignment)?;
            change.settings.get_or_insert_default().insert(key, value);
        }
    }
    Ok(change)
}

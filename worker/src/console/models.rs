//! `evonic model`.

use evonic_model::Finding;
use evonic_shared::exit::ExitCode;
use evonic_workplace::Verdict;
use serde::{Deserialize, Serialize};

use super::{
    api::{Api, decode, segment},
    command::ModelCommand,
    error::{ConsoleError, Result},
    output::Console,
    progress::{self, Outcome},
    table::{table, verdict},
    text::{Style, Text, text},
};

/// A model as the worker lists it.
#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    name: String,
    kind: String,
    model: Option<String>,
    usable: bool,
    window: Option<u64>,
    fallback: Vec<String>,
}

/// Every model: the list is short, and has no pages.
#[derive(Debug, Deserialize)]
struct Models {
    data: Vec<Listed>,
}

/// Runs `evonic model`.
pub(super) async fn run(command: ModelCommand, api: &Api, console: &mut Console<'_>) -> Result {
    match command {
        ModelCommand::List(output) => {
            let Models { data } = api.get("/models").await?;
            console.show(&output, &data, || list(&data))
        }
        ModelCommand::Check { name, output } => check(&name, output.json, api, console).await,
    }
}

fn list(models: &[Listed]) -> Text {
    let rows: Vec<_> = models
        .iter()
        .map(|model| {
            let usable = if model.usable { "yes" } else { "no: evonic model check says why" };
            [
                model.name.clone(),
                model.kind.clone(),
                model.model.clone().unwrap_or_else(|| "-".to_owned()),
                model.window.map_or_else(|| "-".to_owned(), |tokens| tokens.to_string()),
                if model.fallback.is_empty() { "-".to_owned() } else { model.fallback.join(", ") },
                usable.to_owned(),
            ]
        })
        .collect();
    table(["name", "kind", "model", "window", "fallback", "usable"], &rows)
}

/// Shows each finding as it is made.
async fn check(name: &str, json: bool, api: &Api, console: &mut Console<'_>) -> Result {
    let show = |data: &str, console: &mut Console<'_>| {
        if json {
            return console.event(data);
        }
        console.print(&line(&decode(data.as_bytes())?))
    };
    let path = format!("/models/{}/check", segment(name));
    let done = progress::follow(api, &path, console, show).await?;
    let Outcome { ok: false, .. } = decode(done.as_bytes())? else { return Ok(()) };
    if !json {
        console.say(format!("No turn can be done with {name}."));
    }
    Err(ConsoleError::Reported(ExitCode::Failure))
}

fn line(finding: &Finding) -> Text {
    const INDENT: usize = 9;
    let seen = match (finding.ok, &finding.advice) {
        (true, None) => Verdict::Ok,
        (true, Some(_)) => Verdict::Warning,
        (false, _) => Verdict::Failed,
    };
    let name = Text::from(&finding.name).padded(13);
    let message = Text::quoted(&finding.message, INDENT);
    let mut page = Text::of_line(text![verdict(seen), "  ", name, " ", message]);
    if let Some(advice) = &finding.advice {
        let advice = Text::quoted(advice, INDENT);
        page.line(text![" ".repeat(INDENT), Style::Bold.of("do:"), " ", advice]);
    }
    page
}

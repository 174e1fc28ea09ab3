//! `evonic doctor`: every check of an installation in one go.

mod checks;
mod service;

use evonic_shared::{
    config::{Config, LoadError, Resolved},
    exit::ExitCode,
};
use evonic_workplace::Verdict;

use super::{
    api::Api,
    command::OutputOptions,
    error::{ConsoleError, Result},
    output::Console,
    server::Server,
    table,
    text::{Style, Text, text},
};

/// Runs the command. Ends with 1 when something failed.
pub(super) async fn run(
    options: &OutputOptions,
    loaded: Result<Resolved, LoadError>,
    despite_errors: &Config,
    console: &mut Console<'_>,
) -> Result {
    let findings = match loaded {
        Err(error) => vec![
            Finding::failed(
                "configuration",
                error.to_string(),
                "mend it; `evonic config --check` tells every fault",
            ),
            // What runs has read another one.
            service::supervisor(despite_errors),
        ],
        Ok(resolved) => {
            let config = &resolved.config;
            let file = resolved.file.as_ref().map(|file| file.display().to_string());
            let named = file.unwrap_or_else(|| "no file: defaults".to_owned());
            let mut findings = vec![Finding::ok("configuration", named)];
            findings.extend(checks::folders(config));
            findings.push(checks::limit(config));
            findings.push(service::supervisor(config));
            let api = Api::new(Server::local(config));
            let (worker, workplaces) = service::worker(&api).await;
            let answers = worker.verdict != Verdict::Failed;
            findings.push(worker);
            if answers {
                findings.extend(service::local(&api).await);
            }
            findings.extend(service::database(config));
            findings.extend(service::storage(config));
            findings.extend(checks::protections(config));
            findings.extend(service::sandbox_in_force(config));
            findings.extend(checks::workplaces(config, &workplaces));
            findings.extend(checks::programs());
            findings
        }
    };
    let checks = serde_json::json!({ "checks": findings });
    console.show(options, &checks, || render(&findings))?;
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Failed);
    if failed { Err(ConsoleError::Reported(ExitCode::Failure)) } else { Ok(()) }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Finding {
    /// `configuration`, `state_dir`, `sandbox`.
    check: String,
    verdict: Verdict,
    detail: String,
    /// What to do about it.
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &str, detail: impl Into<String>) -> Self {
        let (check, detail) = (check.to_owned(), detail.into());
        Self { check, verdict: Verdict::Ok, detail, advice: None }
    }

    fn warning(check: &str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { verdict: Verdict::Warning, advice, ..Self::ok(check, detail) }
    }

    fn failed(check: &str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { verdict: Verdict::Failed, advice, ..Self::ok(check, detail) }
    }
}

/// One line each, with what to do below it.
fn render(findings: &[Finding]) -> Text {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut page = Text::default();
    for Finding { check, verdict, detail, advice } in findings {
        let detail = Text::quoted(detail, width + 11);
        page.line(text![table::verdict(*verdict), format!("  {check:width$}  "), detail]);
        if let Some(advice) = advice {
            page.line(text![format!("{:9}{:width$}  ", "", ""), Style::Dim.of(advice)]);
        }
    }
    page
}

#[cfg(test)]
mod tests;

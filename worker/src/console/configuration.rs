//! `evonic config`: every setting and its origin, or every error.

use std::path::Path;

use evonic_shared::{
    config::{self, ConfigErrors, Entry, LoadError, Resolved},
    error_chain::ErrorChain,
    exit::ExitCode,
};

use super::{
    command::ConfigOptions,
    error::{ConsoleError, Result},
    format,
    output::Console,
    text::{Style, Text, text},
};

/// Runs the command.
pub(super) fn run(
    options: &ConfigOptions,
    loaded: Result<Resolved, LoadError>,
    console: &mut Console<'_>,
) -> Result {
    if options.markdown {
        return console.print(&Text::prose(&config::markdown()));
    }
    let json = options.output.json;
    let resolved = match loaded {
        Ok(resolved) => resolved,
        Err(LoadError::Invalid(faults)) if json => {
            console.json(&serde_json::json!({ "faults": faults.0 }))?;
            return Err(ConsoleError::Reported(ExitCode::Config));
        }
        Err(LoadError::Invalid(faults)) if options.check => {
            console.print(&faults_text(&faults))?;
            console.say(format::count(faults.0.len(), "fault"));
            return Err(ConsoleError::Reported(ExitCode::Config));
        }
        Err(error) => return Err(error.into()),
    };
    match (options.check, json) {
        (true, true) => console.json(&serde_json::json!({ "faults": [] })),
        (true, false) => console.line(format!("{} is sound.", file_name(&resolved))),
        (false, true) => {
            console.json(&serde_json::json!({ "file": resolved.file, "keys": resolved.entries }))
        }
        (false, false) => console.print(&render(&resolved)),
    }
}

fn file_name(resolved: &Resolved) -> String {
    match &resolved.file {
        Some(file) => file.display().to_string(),
        None => "The default configuration".to_owned(),
    }
}

/// Faults that are told before a command's own output.
const SHOWN_ERRORS: usize = 3;

/// What a command says that does without a sound configuration.
pub(super) fn warning(fault: &LoadError, runtime_dir: &Path) -> Text {
    let head = "the configuration cannot be used as it is; a service that runs has its own";
    let mut text = Text::of_line(text![Style::Yellow.of("evonic:"), " ", head]);
    match fault {
        LoadError::Invalid(ConfigErrors(faults)) => {
            faults.iter().take(SHOWN_ERRORS).for_each(|fault| text.line(fault));
            if faults.len() > SHOWN_ERRORS {
                let more = faults.len() - SHOWN_ERRORS;
                text.line(format!("and {more} more: see `evonic config --check`"));
            }
        }
        LoadError::Read { .. } => text.line(Text::quoted(ErrorChain(fault), 0)),
    }
    text.line(text![Style::Dim.of("hint:"), " looked for it in ", runtime_dir.display()]);
    text
}

/// Each fault on its line.
pub(super) fn faults_text(faults: &ConfigErrors) -> Text {
    let mut text = Text::default();
    faults.0.iter().for_each(|fault| text.line(fault));
    text
}

/// Renders a configuration as TOML, with each origin as a comment.
fn render(resolved: &Resolved) -> Text {
    let file = match &resolved.file {
        Some(file) => format!("# {}", file.display()),
        None => "# no file: defaults".to_owned(),
    };
    let mut page = Text::of_line(Style::Dim.of(file));
    let written = |entry: &Entry| entry.value.as_ref().map(Text::from);
    let entries = resolved.entries.iter();
    let keys = entries.clone().map(|entry| Text::from(&entry.key).width()).max().unwrap_or(0);
    let values = entries.clone().filter_map(written).map(|value| value.width());
    let values = values.filter(|width| *width <= 40).max().unwrap_or(0);
    for entry @ Entry { key, origin, .. } in entries {
        let comment = format!("# {origin}");
        let is_default = *origin == config::Origin::Default;
        let origin = if is_default { Style::Dim.of(&comment) } else { Style::Green.of(&comment) };
        page.line(match written(entry) {
            Some(value) => {
                text![Text::from(key).padded(keys), " = ", value.padded(values), "  ", origin]
            }
            None => {
                let unset = Style::Dim.of(format!("# {key} is not set"));
                text![unset.padded(keys + 3 + values), "  ", origin]
            }
        });
    }
    page
}

#[cfg(test)]
mod tests {
    use evonic_shared::config::{Config, Environment};

    use super::*;

    fn resolved() -> Resolved {
        let text = "listen = \"127.0.0.1:0\"\n[models.gpt]\nbase_url = \"http://[::1]/v1\"\nmodel = \"m\"\n";
        let environment = Environment::new([("EVONIC_LOG".into(), "debug".into())], 0, "/".into());
        Config::resolve(Some((Path::new("/etc/evonic/evonic.toml"), text)), &environment)
            .expect("it is sound")
    }

    #[test]
    fn a_configuration_is_rendered_with_its_origins() {
        insta::assert_snapshot!(render(&resolved()).plain());
    }

    #[test]
    fn what_is_rendered_is_a_configuration() {
        let text = render(&resolved()).plain();
        let again =
            Config::resolve(Some((Path::new("again.toml"), &text)), &Environment::default())
                .expect("it is sound");
        assert_eq!(again.config, resolved().config);
    }
}

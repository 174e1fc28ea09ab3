//! `evonic config`: every setting and its origin, or every error.

use evonic_shared::{
    config::{self, Entry, LoadError, Resolved},
    exit::ExitCode,
};

use super::{
    command::ConfigOptions,
    error::{ConsoleError, Result},
    format,
    output::{Console, pretty},
    terminal::Paint,
};

/// Runs the command.
pub(super) fn run(
    options: &ConfigOptions,
    loaded: Result<Resolved, LoadError>,
    console: &mut Console<'_>,
) -> Result {
    if options.markdown {
        return console.print(&config::markdown());
    }
    let json = options.output.json;
    let resolved = match loaded {
        Ok(resolved) => resolved,
        Err(LoadError::Invalid(faults)) if json => {
            console.print(&pretty(&serde_json::json!({ "faults": faults.0 })))?;
            return Err(ConsoleError::Reported(ExitCode::Config));
        }
        Err(LoadError::Invalid(faults)) if options.check => {
            console.print(&format!("{faults}\n"))?;
            console.say(&format::count(faults.0.len(), "fault"));
            return Err(ConsoleError::Reported(ExitCode::Config));
        }
        Err(error) => return Err(error.into()),
    };
    let text = match (options.check, json) {
        (true, true) => pretty(&serde_json::json!({ "faults": [] })),
        (true, false) => format!("{} is sound.\n", file_name(&resolved)),
        (false, true) => {
            pretty(&serde_json::json!({ "file": resolved.file, "keys": resolved.entries }))
        }
        (false, false) => render(&resolved, console.terminal.out),
    };
    console.print(&text)
}

fn file_name(resolved: &Resolved) -> String {
    match &resolved.file {
        Some(file) => file.display().to_string(),
        None => "The default configuration".to_owned(),
    }
}

/// Renders a configuration as TOML, with each origin as a comment.
fn render(resolved: &Resolved, paint: Paint) -> String {
    let file = match &resolved.file {
        Some(file) => format!("# {}", file.display()),
        None => "# no file: defaults".to_owned(),
    };
    let mut text = paint.dim(&file) + "\n";
    let width = |text: &String| text.chars().count();
    let written = |entry: &Entry| entry.value.as_ref().map(ToString::to_string);
    let keys = resolved.entries.iter().map(|entry| width(&entry.key)).max().unwrap_or(0);
    let values = resolved.entries.iter().filter_map(written).map(|value| width(&value));
    let values = values.filter(|width| *width <= 40).max().unwrap_or(0);
    for entry @ Entry { key, origin, .. } in &resolved.entries {
        let comment = format!("# {origin}");
        let is_default = *origin == config::Origin::Default;
        let origin = if is_default { paint.dim(&comment) } else { paint.green(&comment) };
        let line = match written(entry) {
            Some(value) => format!("{key:keys$} = {value:values$}  {origin}"),
            None => paint.dim(&format!(
                "{:1$}  {origin}",
                format!("# {key} is not set"),
                keys + 3 + values
            )),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        insta::assert_snapshot!(render(&resolved(), Paint::PLAIN));
    }

    #[test]
    fn what_is_rendered_is_a_configuration() {
        let text = render(&resolved(), Paint::PLAIN);
        let again =
            Config::resolve(Some((Path::new("again.toml"), &text)), &Environment::default())
                .expect("it is sound");
        assert_eq!(again.config, resolved().config);
    }
}

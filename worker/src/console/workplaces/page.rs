//! Workplaces, and the steps of a check, on a screen.

use evonic_domain::{Settings, Workplace};
use evonic_workplace::CheckStep;

use crate::console::{
    command::settings,
    format::duration,
    table::{label, table, verdict},
    text::{Style, Text, text},
};

pub(super) fn list(workplaces: &[Workplace]) -> Text {
    let rows: Vec<_> = workplaces
        .iter()
        .map(|workplace| {
            let kind = workplace.settings.kind().name().to_owned();
            [workplace.name.to_string(), kind, location(&workplace.settings)]
        })
        .collect();
    table(["name", "kind", "where"], &rows)
}

fn location(settings: &Settings) -> String {
    match settings {
        Settings::Local(local) => match &local.root {
            Some(root) => root.display().to_string(),
            None => "the configured folder".to_owned(),
        },
        Settings::Ssh(ssh) => {
            let user = ssh.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
            let host = match ssh.port {
                Some(port) if ssh.host.contains(':') => format!("[{}]:{port}", ssh.host),
                Some(port) => format!("{}:{port}", ssh.host),
                None => ssh.host.clone(),
            };
            user + &host
        }
        Settings::Docker(docker) => match &docker.engine {
            Some(engine) => format!("{} on {engine}", docker.image),
            None => docker.image.clone(),
        },
    }
}

pub(super) fn one(workplace: &Workplace) -> Text {
    let mut page = Text::of_line(Style::Bold.of(&workplace.name));
    let mut row = |name: &str, value: &str| page.push(label(name, value));
    row("id", workplace.id.as_str());
    row("kind", workplace.settings.kind().name());
    let settings = serde_json::to_value(&workplace.settings).unwrap_or_default();
    for (key, value) in settings["settings"].as_object().into_iter().flatten() {
        row(key, &settings::text(key, value));
    }
    row("created", &workplace.created_at);
    row("updated", &workplace.updated_at);
    page
}

/// A line of the table that fills step by step, and advice below it.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
pub(super) fn step(step: &CheckStep) -> Text {
    const INDENT: usize = 9;
    let took = Style::Dim.of(duration(step.elapsed_ms as f64 / 1000.0));
    let name = Text::from(&step.step).padded(13);
    let detail = Text::quoted(&step.detail, INDENT);
    let mut page = Text::of_line(text![verdict(step.verdict), "  ", name, " ", detail, "  ", took]);
    if let Some(advice) = &step.advice {
        let advice = Text::quoted(advice, INDENT);
        page.line(text![" ".repeat(INDENT), Style::Bold.of("do:"), " ", advice]);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use evonic_domain::{DockerSettings, LocalSettings, SecretSource, SshAuth, SshSettings};
    use evonic_workplace::Verdict;

    fn workplace(name: &str, settings: Settings) -> Workplace {
        Workplace {
            id: "wpl_0190c2a1b3c47d5e8f60718293a4b5c6".parse().expect("an id"),
            name: name.parse().expect("a name"),
            settings,
            created_at: "2026-11-23T14:03:11.250Z".to_owned(),
            updated_at: "2026-11-23T14:03:11.250Z".to_owned(),
        }
    }

    #[test]
    fn workplaces_are_rendered() {
        let ssh = SshSettings {
            host: "2001:db8::7".to_owned(),
            port: Some(2222),
            user: Some("ops".to_owned()),
            authenticate: vec![SshAuth::Key, SshAuth::Password],
            password: Some(SecretSource::File("/etc/evonic/box".into())),
            ..SshSettings::default()
        };
        let environment = [("A".to_owned(), "b c".to_owned())].into();
        let docker = DockerSettings { environment, ..DockerSettings::default() };
        let workplaces = [
            workplace("local", Settings::Local(LocalSettings::default())),
            workplace("box", Settings::Ssh(ssh)),
            workplace("sandbox", Settings::Docker(docker)),
        ];
        insta::assert_snapshot!("list", list(&workplaces).plain());
        insta::assert_snapshot!("ssh", one(&workplaces[1]).plain());
        insta::assert_snapshot!("docker", one(&workplaces[2]).plain());
    }

    #[test]
    fn steps_are_rendered() {
        let of = |name: &str, verdict, detail: &str, advice: Option<&str>| CheckStep {
            step: name.to_owned(),
            verdict,
            detail: detail.to_owned(),
            advice: advice.map(str::to_owned),
            elapsed_ms: 12,
        };
        let text = [
            of("resolve", Verdict::Ok, "192.0.2.7", None),
            of("space", Verdict::Warning, "40 MiB free", Some("make space")),
            of("authenticate", Verdict::Failed, "no key fits", Some("ssh-copy-id ops@box")),
        ];
        let text: String = text.iter().map(|it| step(it).plain()).collect();
        insta::assert_snapshot!("steps", text);
    }
}

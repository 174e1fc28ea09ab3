//! `evonic history`: the last replacements of the worker.

use std::path::Path;

use evonic_shared::{
    config::Config,
    status::{Replacement, Reply, Request, Tampering},
};
use jiff::tz::TimeZone;

use super::{
    command::HistoryOptions,
    error::Result,
    format::local_time,
    output::Console,
    status::screen::{exit_summary, measure},
    supervisor::{Supervisor, unexpected},
    text::{Style, Text, text},
};

/// Runs the command.
pub(super) fn run(options: &HistoryOptions, config: &Config, console: &mut Console<'_>) -> Result {
    let mut supervisor = Supervisor::connect(&Supervisor::socket(config))?;
    let reply = supervisor.ask(&Request::History { limit: Some(options.limit) })?;
    if options.output.json {
        return console.json(&reply);
    }
    let Reply::History { entries, tampering, .. } = reply else {
        return Err(unexpected("it is no history"));
    };
    let post_mortems = config.state_dir.join("post-mortems");
    let zone = TimeZone::system();
    let mut page = render(&entries, &post_mortems, &zone);
    page.push(render_tampering(&tampering, &zone));
    console.print(&page)
}

/// Renders what others did to the supervisor, newest first.
fn render_tampering(tampering: &[Tampering], zone: &TimeZone) -> Text {
    let mut page = Text::default();
    for entry in tampering {
        let done = Style::Red.of(measure(entry.measure));
        let at = local_time(&entry.at, zone);
        page.line(text![at, "   tampering: ", &entry.detail, "   ", done]);
    }
    page
}

/// Renders entries of the history, newest first.
fn render(entries: &[Replacement], post_mortems: &Path, zone: &TimeZone) -> Text {
    const INDENT: usize = 22;
    if entries.is_empty() {
        return Text::of_line("The worker was never replaced.");
    }
    let mut page = Text::default();
    for entry in entries {
        let at = local_time(&entry.at, zone);
        let generation = format!("generation {}", entry.generation);
        let reason = Style::Yellow.of(format!("{:<14}", entry.reason.name()));
        let detail = Text::quoted(&entry.detail, INDENT);
        page.line(text![at, format!("   {generation:<14}   "), reason, "   ", detail]);
        page.line(text![" ".repeat(INDENT), Style::Dim.of(exit_summary(entry))]);
        if let Some(name) = &entry.post_mortem {
            let path = format!("post-mortem {}", post_mortems.join(name).display());
            page.line(text![" ".repeat(INDENT), Style::Dim.of(path)]);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use evonic_shared::status::Measure;

    use super::{super::status::tests::replacement, *};

    #[test]
    fn entries_are_rendered() {
        let folder = Path::new("/var/lib/evonic/post-mortems");
        let entries = [replacement(), Replacement { post_mortem: None, ..replacement() }];
        insta::assert_snapshot!(render(&entries, folder, &TimeZone::UTC).plain());
        let tampering = [Tampering {
            at: "2026-11-23T14:03:11.250Z".to_owned(),
            detail: "the nice value is 19; it was 0".to_owned(),
            measure: Measure::Reported,
        }];
        assert_eq!(
            render_tampering(&tampering, &TimeZone::UTC).plain(),
            format!(
                "{}   tampering: the nice value is 19; it was 0   cannot be put back\n",
                local_time("2026-11-23T14:03:11.250Z", &TimeZone::UTC)
            )
        );
        assert_eq!(render(&[], folder, &TimeZone::UTC).plain(), "The worker was never replaced.\n");
    }
}

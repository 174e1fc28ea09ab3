//! `evonic history`: the last replacements of the worker.

use std::path::Path;

use evonic_shared::{
    config::Config,
    status::{Replacement, Reply, Request},
};
use jiff::tz::TimeZone;

use super::{
    command::HistoryOptions,
    error::Result,
    format::local_time,
    output::Console,
    status::screen::exit_summary,
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
    let Reply::History { entries, .. } = reply else {
        return Err(unexpected("it is no history"));
    };
    let post_mortems = config.state_dir.join("post-mortems");
    console.print(&render(&entries, &post_mortems, &TimeZone::system()))
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
    use super::{super::status::tests::replacement, *};

    #[test]
    fn entries_are_rendered() {
        let folder = Path::new("/var/lib/evonic/post-mortems");
        let entries = [replacement(), Replacement { post_mortem: None, ..replacement() }];
        insta::assert_snapshot!(render(&entries, folder, &TimeZone::UTC).plain());
        assert_eq!(render(&[], folder, &TimeZone::UTC).plain(), "The worker was never replaced.\n");
    }
}

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
    output::{Console, pretty},
    status::screen::exit_summary,
    supervisor::{Supervisor, unexpected},
    terminal::Paint,
};

/// Runs the command.
pub(super) fn run(options: &HistoryOptions, config: &Config, console: &mut Console<'_>) -> Result {
    let mut supervisor = Supervisor::connect(&Supervisor::socket(config))?;
    let reply = supervisor.ask(&Request::History { limit: Some(options.limit) })?;
    if options.output.json {
        return console.print(&pretty(&reply));
    }
    let Reply::History { entries, .. } = reply else {
        return Err(unexpected("it is no history"));
    };
    let post_mortems = config.state_dir.join("post-mortems");
    let paint = console.terminal.out;
    console.print(&render(&entries, &post_mortems, &TimeZone::system(), paint))
}

/// Renders entries of the history, newest first.
fn render(entries: &[Replacement], post_mortems: &Path, zone: &TimeZone, paint: Paint) -> String {
    if entries.is_empty() {
        return "The worker was never replaced.\n".to_owned();
    }
    let mut text = String::new();
    for entry in entries {
        let at = local_time(&entry.at, zone);
        let generation = format!("generation {}", entry.generation);
        let reason = paint.yellow(&format!("{:<14}", entry.reason.name()));
        text.push_str(&format!("{at}   {generation:<14}   {reason}   {}\n", entry.detail));
        text.push_str(&format!("{:22}{}\n", "", paint.dim(&exit_summary(entry))));
        if let Some(name) = &entry.post_mortem {
            let path = format!("post-mortem {}", post_mortems.join(name).display());
            text.push_str(&format!("{:22}{}\n", "", paint.dim(&path)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::status::tests::replacement, *};

    #[test]
    fn entries_are_rendered() {
        let paint = Paint::PLAIN;
        let folder = Path::new("/var/lib/evonic/post-mortems");
        let entries = [replacement(), Replacement { post_mortem: None, ..replacement() }];
        insta::assert_snapshot!(render(&entries, folder, &TimeZone::UTC, paint));
        assert_eq!(render(&[], folder, &TimeZone::UTC, paint), "The worker was never replaced.\n");
    }
}

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
    output::{Console, pretty},
    status::screen::{exit_summary, measure},
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
    let Reply::History { entries, tampering, .. } = reply else {
        return Err(unexpected("it is no history"));
    };
    let post_mortems = config.state_dir.join("post-mortems");
    let paint = console.terminal.out;
    let zone = TimeZone::system();
    console.print(&render(&entries, &post_mortems, &zone, paint))?;
    console.print(&render_tampering(&tampering, &zone, paint))
}

/// Renders what others did to the supervisor, newest first.
fn render_tampering(tampering: &[Tampering], zone: &TimeZone, paint: Paint) -> String {
    let line = |entry: &Tampering| {
        let (at, done) = (local_time(&entry.at, zone), paint.red(measure(entry.measure)));
        format!("{at}   tampering: {}   {done}\n", entry.detail)
    };
    tampering.iter().map(line).collect()
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
    use evonic_shared::status::Measure;

    use super::{super::status::tests::replacement, *};

    #[test]
    fn entries_are_rendered() {
        let paint = Paint::PLAIN;
        let folder = Path::new("/var/lib/evonic/post-mortems");
        let entries = [replacement(), Replacement { post_mortem: None, ..replacement() }];
        insta::assert_snapshot!(render(&entries, folder, &TimeZone::UTC, paint));
        let tampering = [Tampering {
            at: "2026-11-23T14:03:11.250Z".to_owned(),
            detail: "the nice value is 19; it was 0".to_owned(),
            measure: Measure::Told,
        }];
        assert_eq!(
            render_tampering(&tampering, &TimeZone::UTC, paint),
            format!(
                "{}   tampering: the nice value is 19; it was 0   cannot be put back\n",
                local_time("2026-11-23T14:03:11.250Z", &TimeZone::UTC)
            )
        );
        assert_eq!(render(&[], folder, &TimeZone::UTC, paint), "The worker was never replaced.\n");
    }
}

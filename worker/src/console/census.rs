//! `evonic census`: what the worker's descriptors are.

use evonic_shared::{
    config::Config,
    status::{Census, Count, Reply, Request},
};

use super::{
    command::OutputOptions,
    error::Result,
    output::Console,
    supervisor::{Supervisor, unexpected},
    text::{Style, Text, text},
};

/// Runs the command.
pub(super) fn run(options: &OutputOptions, config: &Config, console: &mut Console<'_>) -> Result {
    let mut supervisor = Supervisor::connect(&Supervisor::socket(config))?;
    let Reply::Census(census) = supervisor.ask(&Request::Census)? else {
        return Err(unexpected("it is no census"));
    };
    console.show(options, &census, || render(&census))
}

fn render(census: &Census) -> Text {
    let Census { generation, pid, open, .. } = census;
    let head = format!("generation {generation}   pid {pid}   ");
    let mut page = Text::of_line(text![head, Style::Bold.of(format!("{open} open"))]);
    for (title, counts) in [("kind", &census.kinds), ("most numerous", &census.top)] {
        if counts.is_empty() {
            continue;
        }
        page.end_line();
        page.line(Style::Dim.of(format!("{:>7}  {:>10}  {title}", "open", "since ready")));
        for count in counts {
            page.line(line(count));
        }
    }
    page
}

fn line(count: &Count) -> Text {
    let growth = format!("{:>+11}", count.growth);
    let growth = match count.growth {
        0 => " ".repeat(11).into(),
        1.. => Style::Yellow.of(growth),
        _ => Style::Dim.of(growth),
    };
    text![format!("{:>7}  ", count.count), growth, "  ", &count.name]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_census_is_rendered() {
        let count = |name: &str, count, growth| Count { name: name.to_owned(), count, growth };
        let census = Census {
            format: 1,
            at: "2026-11-23T14:03:11.250Z".to_owned(),
            generation: 17,
            pid: 4711,
            open: 408,
            kinds: vec![count("tcp", 352, 340), count("file", 41, 0), count("eventfd", 15, -1)],
            top: vec![
                count("tcp 127.0.0.1:443", 340, 340),
                count("/var/lib/evonic/evonic.db", 12, 0),
            ],
        };
        insta::assert_snapshot!(render(&census).plain());
        let empty = Census { kinds: vec![], top: vec![], open: 0, ..census };
        let text = render(&empty).plain();
        assert_eq!(text, "generation 17   pid 4711   0 open\n");
    }
}

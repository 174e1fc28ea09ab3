//! Hosts and engines of workplaces that the worker leaves alone for a while.

use std::time::Duration;

use evonic_store::List;
use evonic_workplace::HostState;

use crate::console::{
    api::Api,
    format::{count, duration},
    runtime::on_runtime,
    text::{Style, Text, text},
};

/// How long a status may wait for it: the supervisor's part is complete without.
const HOSTS_TIMEOUT: Duration = Duration::from_secs(1);

/// A line for each of them; none where the worker does not answer.
pub(super) fn left_alone(api: &Api) -> Text {
    let api = api.retrying(Duration::ZERO);
    let asked = on_runtime(async {
        let asked = api.get::<List<HostState>>("/hosts");
        Ok(tokio::time::timeout(HOSTS_TIMEOUT, asked).await)
    });
    match asked {
        Ok(Ok(Ok(hosts))) => render(&hosts.data),
        _ => Text::default(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn render(hosts: &[HostState]) -> Text {
    const INDENT: usize = 13;
    let mut page = Text::default();
    for host in hosts {
        let Some(seconds) = host.left_alone_seconds else { continue };
        if page.is_empty() {
            page.end_line();
        }
        let label = Style::Dim.of(format!("{:INDENT$}", "left alone"));
        let failures = count(host.failures, "failure");
        let rest = duration(seconds as f64);
        let until = format!("   for {rest} more, after {failures} in a row");
        page.line(text![label, Style::Yellow.of(&host.host), until]);
        if let Some(error) = &host.last_error {
            page.line(text![" ".repeat(INDENT), Text::quoted(error, INDENT)]);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_left_alone_is_named() {
        let host = |name: &str, left_alone_seconds| HostState {
            host: name.to_owned(),
            connections: 0,
            failures: 5,
            left_alone_seconds,
            last_error: Some("connection refused".to_owned()),
        };
        assert_eq!(render(&[host("a@b:22", None)]).plain(), "");
        let text = render(&[host("a@b:22", None), host("ops@box:22", Some(12))]).plain();
        let lines = "\nleft alone   ops@box:22   for 12 s more, after 5 failures in a row\n             \
                     connection refused\n";
        assert_eq!(text, lines);
    }
}

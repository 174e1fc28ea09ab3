//! Hosts and engines of workplaces that the worker leaves alone for a while.

use std::time::Duration;

use evonic_store::List;
use evonic_workplace::HostState;

use crate::console::{
    api::Api,
    format::{count, duration},
    runtime::on_runtime,
    terminal::Paint,
};

/// How long a status may wait for it: the supervisor's part is complete without.
const HOSTS_TIMEOUT: Duration = Duration::from_secs(1);

/// A line for each of them; none where the worker does not answer.
pub(super) fn left_alone(api: &Api, paint: Paint) -> String {
    let api = api.retrying(Duration::ZERO);
    let asked = on_runtime(async {
        let asked = api.get::<List<HostState>>("/hosts");
        Ok(tokio::time::timeout(HOSTS_TIMEOUT, asked).await)
    });
    match asked {
        Ok(Ok(Ok(hosts))) => render(&hosts.data, paint),
        _ => String::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn render(hosts: &[HostState], paint: Paint) -> String {
    let mut text = String::new();
    for host in hosts {
        let Some(seconds) = host.left_alone_seconds else { continue };
        let label = paint.dim(&format!("{:13}", "left alone"));
        let failures = count(host.failures, "failure");
        text.push_str(&format!(
            "{label}{}   for {} more, after {failures} in a row\n",
            paint.yellow(&host.host),
            duration(seconds as f64)
        ));
        if let Some(error) = &host.last_error {
            text.push_str(&format!("{:13}{error}\n", ""));
        }
    }
    if text.is_empty() { text } else { format!("\n{text}") }
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
        let paint = Paint::PLAIN;
        assert_eq!(render(&[host("a@b:22", None)], paint), "");
        let text = render(&[host("a@b:22", None), host("ops@box:22", Some(12))], paint);
        let lines = "\nleft alone   ops@box:22   for 12 s more, after 5 failures in a row\n             \
                     connection refused\n";
        assert_eq!(text, lines);
    }
}

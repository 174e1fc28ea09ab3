//! What Prometheus's own tool says about the metrics, in each format.

use std::fmt::Write as _;

use evonic_tests::pair::{Options, Pair};

use crate::wire::{operator, pipe};

/// The metrics of a pair, and their media type.
fn scrape(pair: &Pair, accept: &str) -> (String, String) {
    let answer = operator(pair).request("GET", "/metrics", &[("Accept", accept)], None);
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200);
    (answer.header("content-type").expect("a type").to_owned(), answer.text())
}

#[test]
fn promtool_takes_both_formats() {
    let pair = Pair::start(&Options::default());
    let turn = pair.post(&pair.session("runbook"), "$ true");
    let _ended = pair.wait_for_turn(&turn);

    let (kind, plain) = scrape(&pair, "text/plain;version=0.0.4;q=0.5,*/*;q=0.1");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let (said, _) = pipe("sh", &["-c", "promtool check metrics 2>&1 && echo sound"], &plain);
    assert_eq!(said, "sound\n", "{plain}");

    // As Prometheus 3 asks.
    let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                  application/openmetrics-text;version=0.0.1;q=0.5,\
                  text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                  text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let (kind, open) = scrape(&pair, accept);
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    // promtool checks this format only where it imports it, and imports samples with times only.
    let mut timed = String::new();
    for line in open.lines() {
        let time = if line.starts_with('#') { "" } else { " 1800000000" };
        writeln!(timed, "{line}{time}").expect("a string");
    }
    let blocks = pair.folder().join("blocks");
    let import = format!(
        "cat > {0}.txt && promtool tsdb create-blocks-from openmetrics {0}.txt {0} 2>&1 && echo sound",
        blocks.display()
    );
    let (said, _) = pipe("sh", &["-c", &import], &timed);
    assert!(said.ends_with("sound\n"), "{said}\n{timed}");
}

//! Everything that `docs/runbook.md` shows is true.

use std::collections::BTreeSet;

use super::{TOOLS, answer, request, run, spec, user};
use crate::runbook::{
    error::ParseErrorKind,
    parse::{MAX_BYTES, MAX_STEPS, parse},
    report::EXAMPLE,
};
use evonic_domain::Outcome;

const DOCS: &str = include_str!("../../../../../docs/runbook.md");

/// The fenced blocks of the documentation: what stands behind the fence, and the text.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = DOCS.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((kind.to_owned(), text.join("\n")));
        }
    }
    blocks
}

#[test]
fn every_runbook_parses() {
    let blocks = blocks();
    let runbooks: Vec<&String> =
        blocks.iter().filter(|(kind, _)| kind == "runbook").map(|(_, text)| text).collect();
    assert!(runbooks.len() >= 6, "found {}", runbooks.len());
    for text in runbooks {
        assert!(parse(text).is_ok(), "{}\n\n{text}", parse(text).unwrap_err());
    }
    assert!(parse(EXAMPLE).is_ok(), "the example of a refusal");
}

#[test]
fn every_report_is_what_the_runbook_above_it_gives() {
    let results = [
        vec![(Outcome::Ok, "1\n"), (Outcome::Ok, "replaced once")],
        vec![
            (Outcome::Error, "Failed to connect to bus\n"),
            (Outcome::Error, "make: *** [web] Error 1\n"),
        ],
    ];
    let blocks = blocks();
    let pairs: Vec<(&String, &String)> = blocks
        .windows(2)
        .filter(|pair| pair[1].0 == "report")
        .map(|pair| (&pair[0].1, &pair[1].1))
        .collect();
    assert_eq!(pairs.len(), results.len());
    for ((runbook, report), results) in pairs.into_iter().zip(results) {
        let tool = |index: usize, _: &_| (results[index].0, results[index].1.to_owned());
        assert_eq!(run(runbook, tool).0, format!("{report}\n"));
    }
}

/// Numbers the kinds that the documentation has; exhaustive, so that a new one has to
/// be documented.
fn number(kind: &ParseErrorKind) -> u8 {
    match kind {
        ParseErrorKind::NoStepName { .. } => 0,
        ParseErrorKind::Expected { .. } => 1,
        ParseErrorKind::Trailing { .. } => 2,
        ParseErrorKind::OpenQuote => 3,
        ParseErrorKind::Escape { .. } => 4,
        ParseErrorKind::Glued { .. } => 5,
        ParseErrorKind::Tag { .. } => 6,
        ParseErrorKind::OpenBlock { .. } => 7,
        ParseErrorKind::OpenCommand => 8,
        ParseErrorKind::Range { .. } => 9,
        ParseErrorKind::Duration { .. } => 10,
        ParseErrorKind::Empty { .. } => 11,
        ParseErrorKind::NothingToShow => 12,
        ParseErrorKind::NoStep => 13,
        ParseErrorKind::TooLong { .. }
        | ParseErrorKind::TooManySteps { .. }
        | ParseErrorKind::ToolDenied { .. } => 14,
    }
}

#[test]
fn every_documented_error_is_produced_and_every_error_is_documented() {
    let mut kinds = BTreeSet::from([14]);
    for pair in blocks().windows(2).filter(|pair| pair[0].0 == "runbook-wrong") {
        let [(_, message), (next, error)] = pair else { unreachable!("windows of two") };
        assert_eq!(next, "error", "behind\n{message}");
        let refused = parse(message).expect_err(message);
        assert_eq!(&refused.to_string(), error, "of\n{message}");
        kinds.insert(number(&refused.kind));
        let first = format!("refused: {error}\n");
        let text = answer(&request(vec![user(message)])).text;
        assert!(text.starts_with(&first), "{text}");
    }
    assert_eq!(kinds, (0..=14).collect(), "of `kind`");
}

#[test]
fn bounds_are_documented_and_hold() {
    let documented = |error: &str| {
        assert!(DOCS.contains(&format!("- `{error}`\n")), "{error}");
    };
    let message = "#".repeat(300_000);
    documented(&parse(&message).unwrap_err().to_string());
    let message = format!("$ true{}", " ".repeat(MAX_BYTES - 6));
    assert!(parse(&message).is_ok());
    assert!(parse(&format!("{message} ")).is_err());

    assert!(parse(&"$ true\n".repeat(MAX_STEPS)).is_ok());
    documented(&parse(&"$ true\n".repeat(MAX_STEPS + 1)).unwrap_err().to_string());

    let mut denied = request(vec![user("$ uptime")]);
    denied.tools = TOOLS.into_iter().filter(|name| *name != "bash").map(spec).collect();
    let reply = answer(&denied);
    assert!(reply.tool_calls.is_empty());
    let first = reply.text.lines().next().unwrap();
    documented(first.strip_prefix("refused: ").unwrap());
}

//! What `read_file` shows, from a real file.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Answer, Registry, ToolResult, Toolbox};
use evonic_domain::{Outcome, ToolCall};
use evonic_local::fixture::Fixture;

/// Calls a tool at the fixture's workplace.
async fn call(fixture: &Fixture, name: &str, arguments: Value) -> ToolResult {
    let workplace = std::sync::Arc::new(fixture.local.clone());
    let tools = Toolbox::new(Registry::new(&fixture.tools), workplace);
    let (name, arguments) = (name.to_owned(), arguments.to_string());
    let call = ToolCall { id: "call".to_owned(), name, arguments };
    let (output, _pieces) = tokio::sync::mpsc::channel(1);
    match tools.run(&call, "command", None, output, &CancellationToken::new()).await {
        Answer::Known(result) => result,
        Answer::Lost(loss) => panic!("its outcome is unknown: {loss:?}"),
    }
}

/// What is shown of a file's lines when at most `max` bytes may be.
async fn read(
    content: impl AsRef<[u8]>,
    from_line: Option<u64>,
    to_line: Option<u64>,
    max: u32,
) -> ToolResult {
    let fixture = Fixture::with(|config| config.tools.max_read_bytes = max);
    fixture.put("f", content);
    let arguments = json!({"path": "f", "from_line": from_line, "to_line": to_line});
    let result = call(&fixture, "read_file", arguments).await;
    fixture.assert_given_back().await;
    result
}

async fn shown(content: &str, from: Option<u64>, to: Option<u64>, max: u32) -> String {
    let result = read(content, from, to, max).await;
    assert_eq!(result.outcome, Outcome::Ok, "{}", result.content);
    result.content
}

#[tokio::test]
async fn a_whole_file_needs_no_note() {
    assert_eq!(shown("a\nb\n", None, None, 99).await, "     1\ta\n     2\tb\n");
    assert_eq!(shown("a\nb", None, None, 99).await, "     1\ta\n     2\tb\n");
    assert_eq!(shown("", None, None, 99).await, "[the file is empty]\n");
    assert_eq!(shown("\n", None, None, 99).await, "     1\t\n");
}

#[tokio::test]
async fn ranges_are_told_with_what_follows() {
    let text = "a\nb\nc\nd\n";
    let middle = shown(text, Some(2), Some(3), 99).await;
    assert_eq!(middle, "     2\tb\n     3\tc\n[lines 2-3 of 4, 4 bytes of 8 bytes]\n");
    let end = shown(text, Some(4), None, 99).await;
    assert_eq!(end, "     4\td\n[lines 4-4 of 4, 2 bytes of 8 bytes]\n");
    let beyond = shown(text, Some(3), Some(900), 99).await;
    assert!(beyond.ends_with("[lines 3-4 of 4, 4 bytes of 8 bytes]\n"), "{beyond}");
    let capped = shown(text, None, None, 20).await;
    assert_eq!(
        capped,
        "     1\ta\n     2\tb\n[lines 1-2 of 4, 4 bytes of 8 bytes; ask for from_line 3]\n"
    );
}

#[tokio::test]
async fn asking_again_as_told_reads_the_whole_file() {
    let lines: Vec<String> = (0..500).map(|n| format!("{n}{}\n", "x".repeat(n % 90))).collect();
    let (mut from, mut seen, mut rounds) = (1, String::new(), 0);
    loop {
        let content = shown(&lines.concat(), Some(from), None, 2_000).await;
        let text = content.lines().filter(|line| !line.starts_with('['));
        for (number, line) in (from..).zip(text) {
            let line = line.strip_prefix(&format!("{number:>6}\t")).expect("it is numbered");
            seen.push_str(line);
            seen.push('\n');
        }
        rounds += 1;
        match content.split("ask for from_line ").nth(1) {
            Some(next) => from = next.trim_end_matches("]\n").parse().expect("a number"),
            None => break,
        }
    }
    assert!(rounds > 5);
    assert_eq!(seen, lines.concat());
}

#[tokio::test]
async fn a_line_that_does_not_fit_is_cut_and_this_is_said() {
    let content = shown(&format!("{}\nb\n", "é".repeat(300)), None, None, 101).await;
    let (text, notes) = content.split_once('\n').expect("a line");
    assert_eq!(text, format!("     1\t{}", "é".repeat(50)));
    assert_eq!(
        notes,
        "[line 1 is cut: 100 bytes of 601 bytes; for the rest use bash: sed -n 1p FILE | cut -b \
         101-]\n[lines 1-1 of 2, 100 bytes of 603 bytes; ask for from_line 2]\n"
    );
}

#[tokio::test]
async fn what_is_no_text_is_said() {
    let binary = read(b"\x7fELF\0\0", None, None, 99).await;
    assert_eq!(binary, ToolResult::error("f is a binary file of 6 bytes".to_owned()));
    let latin = read(b"caf\xe9\n", None, None, 99).await;
    let expected = "     1\tcaf\u{fffd}\n[bytes that are no UTF-8 are shown as \u{fffd}]\n";
    assert_eq!(latin, ToolResult::ok(expected.to_owned()));
}

#[tokio::test]
async fn ranges_that_make_no_sense_are_refused() {
    let behind = read("a\nb\n", Some(9), None, 99).await;
    assert_eq!(behind, ToolResult::error("from_line 9: f has only 2 lines".to_owned()));
    let backwards = read("a\nb\n", Some(2), Some(1), 99).await;
    assert_eq!(backwards, ToolResult::error("to_line 1 is before from_line 2".to_owned()));
}

#[tokio::test]
async fn a_large_file_is_not_read_into_memory() {
    let fixture = Fixture::new();
    fixture.put("f", [b'\n'; 9_000]);
    let file = std::fs::File::options().write(true).open(fixture.path("f")).expect("it is there");
    // Sparse: it takes no space, and is all zeros behind its first lines.
    file.set_len(1 << 40).expect("a sparse file");
    let arguments = json!({"path": "f", "from_line": 2, "to_line": 3});
    let result = call(&fixture, "read_file", arguments).await;
    let expected = "     2\t\n     3\t\n[lines 2-3 of many, 2 bytes of 1024 GiB]\n";
    assert_eq!(result, ToolResult::ok(expected.to_owned()));
    let edit = json!({"path": "f", "old": "\n", "new": ""});
    let refused = call(&fixture, "edit_file", edit).await;
    assert_eq!(refused.content, "f has 1099511627776 bytes, at most 8388608 can be edited");
}

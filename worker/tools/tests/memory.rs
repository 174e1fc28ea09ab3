//! An endless output takes constant memory. A process of its own: in the library's tests others
//! use memory at the same time.

use std::fs;

use evonic_domain::{Outcome, ToolCall};
use evonic_handles::{Budget, Page};
use evonic_shared::config::Config;
use evonic_tools::{Answer, Piece, Registry, Toolbox};
use evonic_workplace::Local;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc is there");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number") * rustix::param::page_size() as u64
}

#[tokio::test]
async fn memory_is_constant_while_output_is_endless() {
    let folder = evonic_parts::Folder::new().expect("a temporary folder");
    let config = Config::defaults(folder.path().to_owned(), folder.path().to_owned());
    let page = Page::private().expect("a page");
    let budget = Budget::new(&config.budget, page, config.fd.threshold);
    let local = Local::new(&config, budget).expect("a workplace");
    let tools = Toolbox::new(Registry::new(&config.tools), std::sync::Arc::new(local));
    let run = async |command: &str| {
        let call = ToolCall {
            id: "call".to_owned(),
            name: "bash".to_owned(),
            arguments: json!({"command": command, "timeout_seconds": 1}).to_string(),
        };
        let command_id = format!("memory-{}-{}", std::process::id(), command.len());
        let (sender, mut receiver) = mpsc::channel::<Piece>(4);
        let read = async {
            let mut bytes = 0;
            while let Some(piece) = receiver.recv().await {
                bytes += piece.text.len();
            }
            bytes
        };
        let cancel = CancellationToken::new();
        match tokio::join!(tools.run(&call, &command_id, None, sender, &cancel), read) {
            (Answer::Known(result), live) => (result, live),
            (Answer::Lost(loss), _) => panic!("its outcome is unknown: {loss:?}"),
        }
    };
    run("head -c 1000000 /dev/zero").await;
    let before = resident_bytes();
    let (result, live) = run("yes").await;
    let grown = resident_bytes().saturating_sub(before);

    assert_eq!(result.outcome, Outcome::Error, "it timed out");
    let left_out = result.content.split("[... ").nth(1).and_then(|rest| rest.split(' ').next());
    let left_out = left_out.expect("most is left out").replace(',', "");
    println!("{left_out} bytes left out in a second, resident memory grew by {grown} bytes");
    assert!(left_out.parse::<u64>().expect("a number") > 10_000_000);
    let cap = config.tools.max_output_bytes as usize;
    assert!((cap..cap + 200).contains(&result.content.len()), "{}", result.content.len());
    assert!((cap..cap + 200).contains(&live), "{live}");
    assert!(grown < 4 << 20, "resident memory grew by {grown} bytes");
}

/// The most that was resident so far.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.expect("a number") << 10
}

#[test]
fn memory_is_bounded_whatever_a_screen_is_told() {
    let cells = "\rx".to_owned() + &"e\u{301}".repeat(300) + "\x1b[65535Gx";
    let screen: String = (1..=200).map(|row| format!("\x1b[{row}H{cells}")).collect();
    let tabs = "\x1b[1;1H".to_owned() + &"\x1b[65535I\rx\x1b[E".repeat(250);
    let title = "\x1b]0;".to_owned() + &"x".repeat(100_000);
    let whole = format!("{tabs}{screen}\x1b[?1049h{screen}{title}\n");
    let bytes = [&[255], whole.as_bytes()].concat();
    drop((screen, tabs, title, whole));
    // Begins anew to look for the peak.
    fs::write("/proc/self/clear_refs", "5").expect("Linux has it");
    let before = peak_bytes();
    let [(_, screens)] = evonic_tools::fuzzing::DECODERS else { panic!("one decoder") };
    screens(&bytes);
    let grown = peak_bytes() - before;
    println!("two screens took {grown} bytes");
    assert!(grown < 2 * (16 << 20), "{grown} bytes");
}

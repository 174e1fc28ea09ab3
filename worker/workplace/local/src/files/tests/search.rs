//! Searches: what they find, and when they end.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use evonic_backend::{Backend, Found};

use crate::fixture::Fixture;

/// The matches of a search as `path:line:text`.
async fn search(fixture: &Fixture, pattern: &str, path: &str, glob: Option<&str>) -> Vec<String> {
    let found = fixture.local.search(pattern, path, glob, 99).await.expect("it is searched");
    assert!(!found.more && found.unreadable == 0, "{found:?}");
    let told =
        |found: &evonic_backend::Match| format!("{}:{}:{}", found.path, found.line, found.text);
    found.matches.iter().map(told).collect()
}

#[tokio::test]
async fn lines_are_found_where_they_should_be() {
    let fixture = Fixture::new();
    fixture.put("src/a.rs", "fn one() {}\r\n\nfn two() {}");
    fixture.put("src/deep/b.rs", "fn three() {}\n");
    fixture.put("src/notes.md", "fn in prose\n");
    fixture.put(".hidden", "fn hidden\n");
    fixture.put("binary", "fn \0 binary\n");
    fixture.put(".git/config", "fn git\n");
    fixture.put(".gitignore", "target/\n*.log\n!keep.log\n");
    fixture.put("target/out.rs", "fn built\n");
    fixture.put("x.log", "fn log\n");
    fixture.put("keep.log", "fn kept\n");
    fixture.put("src/.gitignore", "/deep\n");
    symlink("src", fixture.path("link")).expect("a link");

    let all = [
        ".hidden:1:fn hidden",
        "keep.log:1:fn kept",
        "src/a.rs:1:fn one() {}",
        "src/a.rs:3:fn two() {}",
        "src/notes.md:1:fn in prose",
    ];
    assert_eq!(search(&fixture, r"^fn \w+", ".", None).await, all);
    assert_eq!(search(&fixture, r"^fn \w+", "src", None).await, all[2..]);
    assert_eq!(search(&fixture, "fn", ".", Some("*.rs")).await, all[2..4]);
    assert_eq!(search(&fixture, "fn", ".", Some("src/*.rs")).await, all[2..4]);
    assert_eq!(search(&fixture, "fn", "src", Some("*.rs")).await, all[2..4]);
    assert_eq!(search(&fixture, "fn", "src", Some("!*.rs")).await, all[4..]);
    assert_eq!(search(&fixture, "two", "src/a.rs", None).await, all[3..4]);
    assert_eq!(search(&fixture, "fn", "target", None).await, ["target/out.rs:1:fn built"]);
    assert_eq!(search(&fixture, "fn", "src/deep", None).await, ["src/deep/b.rs:1:fn three() {}"]);
    assert!(search(&fixture, "log", ".", Some("x.log")).await.is_empty(), "ignored all the same");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn searches_are_bounded_and_say_so() {
    let fixture = Fixture::new();
    fixture.put("many", "x\n".repeat(10));
    let limited = fixture.local.search("x", ".", None, 9).await.expect("it is searched");
    assert_eq!((limited.matches.len(), limited.more), (9, true));
    let exactly = fixture.local.search("x", ".", None, 10).await.expect("it is searched");
    assert_eq!((exactly.matches.len(), exactly.more), (10, false));
    let long = format!("{}needle{}", "é".repeat(5_000), "z".repeat(2_000_000));
    fixture.put("long", format!("{long}\nneedle\n"));
    let found = fixture.local.search("needle", "long", None, 9).await.expect("it is searched");
    let shown = &found.matches[0].text;
    assert_eq!(shown.chars().count(), 500);
    assert!(shown.starts_with('…') && shown.contains("éneedlez") && shown.ends_with('…'));
    assert_eq!((found.matches[1].line, found.matches[1].text.as_str()), (2, "needle"));
}

#[tokio::test]
async fn wrong_patterns_are_explained() {
    let fixture = Fixture::new();
    for (pattern, glob, word) in [("(", None, "unclosed"), ("x", Some("["), "unclosed")] {
        let error = fixture.local.search(pattern, ".", glob, 9).await.expect_err("it is wrong");
        assert!(error.to_string().contains(word), "{error}");
    }
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_dropped_search_stops() {
    let fixture = Fixture::new();
    for number in 0..2_000 {
        fixture.put(&format!("many/{number}"), "x");
    }
    let search = fixture.local.search("never", ".", None, 9);
    let soon = tokio::time::timeout(Duration::from_millis(1), search).await;
    assert!(soon.is_err(), "it took less than a millisecond");
    fixture.assert_given_back().await;
}

/// One expression that is slow, on one line.
#[tokio::test]
async fn a_dropped_search_stops_within_a_line() {
    let fixture = Fixture::new();
    let line: Vec<u8> = (0..1_000_000_u32).map(|n| b'a' + (n.count_ones() % 2) as u8).collect();
    fixture.put("hostile", line);
    let search = fixture.local.search("[ab]*a[ab]{2000}c", "hostile", None, 9);
    let soon = tokio::time::timeout(Duration::from_millis(200), search).await;
    assert!(soon.is_err(), "it took less than 0.2 s");
    let dropped = Instant::now();
    fixture.assert_given_back().await;
    assert!(dropped.elapsed() < Duration::from_secs(2), "{:?}", dropped.elapsed());
}

/// A line without an end, in a file that takes no room.
#[tokio::test]
async fn a_search_of_an_endless_file_ends() {
    let fixture = Fixture::new();
    fixture.put("endless", vec![b'x'; 128 * 1024]);
    let endless = fs::OpenOptions::new().append(true).open(fixture.path("endless"));
    endless.expect("it is opened").set_len(1 << 40).expect("a hole");
    let search = fixture.local.search("never", ".", None, 9);
    let found = tokio::time::timeout(Duration::from_secs(30), search).await;
    let Found { matches, more, .. } = found.expect("it ends").expect("it is searched");
    assert_eq!((matches.len(), more), (0, true));
    fixture.assert_given_back().await;
}

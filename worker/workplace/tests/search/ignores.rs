//! `.gitignore` files of strangers: long, many, and made to take memory and time.

use std::time::{Duration, Instant};

use evonic_parts::PeakMemory;

use super::*;

/// The most memory of a worker, whatever is searched.
const MEMORY_BYTES: u64 = 64 << 20;

/// Rules that would be long regular expressions with many states, up to this many bytes.
fn rules(bytes: usize) -> String {
    let rule = |n: usize| format!("*a{n}*[a-z]*b?*[!x]*{n}*c/**/d*{n}\n");
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&rule(number));
    }
    text
}

/// Trees, each with a file that is found and one that a rule at the beginning ignores.
fn tree(kind: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.put("found", "needle");
    fixture.put("passed/over", "needle");
    let first = "/passed\n";
    match kind {
        "long" => fixture.put(".gitignore", first.to_owned() + &rules(1 << 20)),
        "short rules" => fixture.put(".gitignore", first.to_owned() + &"a\n".repeat(1 << 19)),
        "one rule" => fixture.put(".gitignore", first.to_owned() + &"*a?".repeat(350_000)),
        "braces" => fixture.put(".gitignore", first.to_owned() + &"{a,b}*".repeat(10_000)),
        "many" => {
            fixture.put(".gitignore", first.to_owned() + &rules(64_000));
            for number in 0..300 {
                let folder = format!("folder{number}");
                fixture.put(&format!("{folder}/x"), "other");
                let from = fixture.path(".gitignore");
                fs::hard_link(from, fixture.path(&folder).join(".gitignore")).expect("a link");
            }
        }
        "deep" => {
            fixture.put(".gitignore", first.to_owned() + &rules(64_000));
            let mut folder = String::new();
            for _ in 0..60 {
                folder.push_str("folder/");
                fixture.put(&format!("{folder}x"), "other");
                let from = fixture.path(".gitignore");
                fs::hard_link(from, fixture.path(&folder).join(".gitignore")).expect("a link");
            }
        }
        other => panic!("{other}"),
    }
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn ignore_files_of_strangers_cost_little_and_what_is_passed_over_is_told() {
    for kind in ["long", "short rules", "one rule", "braces", "many", "deep"] {
        let fixture = tree(kind);
        let check = |found: &Found, place: &str| {
            let paths: Vec<_> = found.matches.iter().map(|found| found.path.as_str()).collect();
            assert_eq!(paths, ["found"], "{kind} {place}");
            // What can be followed whole is not said to be cut.
            let is_cut = !["braces", "many"].contains(&kind);
            assert_eq!(found.ignores_cut > 0, is_cut, "{kind} {place}: {found:?}");
        };
        let (memory, began) = (PeakMemory::begin(), Instant::now());
        let found = fixture.local.search("needle", "", None, 100).await.expect("it is searched");
        check(&found, "local");
        for machine in machines() {
            let root = whole(&fixture, "");
            let found = search(&machine, "needle", &root, &root, None, 100).await;
            check(&found.expect("it is searched"), &format!("{machine:?}"));
        }
        let (peak, took) = (memory.bytes(), began.elapsed());
        println!("{kind}: {} MiB, {took:?}", peak >> 20);
        assert!(peak < MEMORY_BYTES, "{kind}: {} MiB", peak >> 20);
        // Four searches, of which each takes a second or two here, also without these files.
        assert!(took < Duration::from_secs(60), "{kind}: {took:?}");
    }
}

//! `evonic status` as a health check.

use std::fs;

use evonic_shared::{exit::ExitCode, status::State};
use evonic_tests::{
    fault::{Fault, Puppet},
    pair::{Options, Pair},
    poll,
};

use crate::said;

fn code(pair: &Pair, arguments: &[&str]) -> i32 {
    pair.evonic(arguments).status.code().expect("no signal ends it")
}

#[test]
fn the_exit_code_of_status_is_the_health() {
    let mut pair = Pair::start(&Options::default());
    for (arguments, expected) in [
        (&["status"][..], 0),
        (&["status", "--json"], 0),
        (&["status", "--quiet", "--json"], 64),
        (&["status", "--fly"], 64),
    ] {
        assert_eq!(code(&pair, arguments), expected, "{arguments:?}");
    }
    assert_eq!(said(&pair.evonic(&["status", "--quiet"])), "", "the code says it");
    pair.stop();
    assert_eq!(code(&pair, &["status"]), 3);
    let output = pair.evonic(&["status", "--quiet"]);
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(3), ""));
    // What another program left there is no service.
    fs::create_dir_all(pair.runtime_dir()).expect("a folder");
    fs::write(pair.runtime_dir().join("supervisor.sock"), "").expect("a file");
    assert_eq!(code(&pair, &["status"]), 3);
}

#[test]
fn a_loop_and_a_part_that_is_late_are_no_health() {
    let quick = "[supervisor]\nbackoff_base = \"50ms\"\nbackoff_cap = \"100ms\"\n";
    let dies = Options::config(quick).fault(u64::MAX, Fault::ExitAtStart { code: 82 });
    let pair = Pair::launch(&dies);
    pair.wait("a loop", |status| status.state == State::CrashLoop);
    assert_eq!(code(&pair, &["status", "--quiet"]), 1);
    assert!(said(&pair.evonic(&["status"])).contains("code 82 (the disk is full)"));
    // A permanent failure is told even where nothing serves.
    assert_eq!(code(&pair, &["restart"]), 1);

    let starts = Puppet { never_ready: true, ..Puppet::default() };
    let pair = Pair::launch(&Options::default().fault(u64::MAX, Fault::Puppet(starts)));
    poll::until(
        "it starts",
        std::time::Duration::from_secs(10),
        || code(&pair, &["status", "--quiet"]),
        |code| (*code == 1).then_some(()),
    );
}

#[test]
fn every_exit_code_is_in_the_table() {
    let page = include_str!("../../../docs/install.md");
    let (_, section) = page.split_once("\n## Exit codes\n").expect("the section");
    let section = section.split("\n## ").next().expect("text");
    for (code, meaning) in ExitCode::PERMANENT {
        let code = code.code();
        let begin = format!("| {code} |");
        let row = section
            .lines()
            .find(|line| line.starts_with(&begin))
            .unwrap_or_else(|| panic!("no {code}"));
        let meaning = meaning.trim_start_matches("its ");
        assert!(row.contains(meaning), "{row}: {meaning}");
    }
    for code in [ExitCode::DEGRADED, ExitCode::NOT_RUNNING] {
        assert!(section.contains(&format!("| {} | `evonic status` |", code.code())), "{section}");
    }
}

//! The operator's program, told of budgets that are reached.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use evonic_tests::{pair::Pair, poll, scripted::Server, troubleshooting};
use serde_json::{Value, json};

use super::{SOON, TOKENS, budget, pair, text};

/// Spends a budget of two calls, whole.
fn spend(pair: &Pair) -> String {
    let _ = budget(
        pair,
        &json!({"name": "two", "subject": "all", "period": "day",
        "limit": {"tokens": 2 * TOKENS}}),
    );
    let session = pair.session("spender");
    for _ in 0..2 {
        let turn = pair.wait_for_turn(&pair.post(&session, "go"));
        assert_eq!(turn["state"], "completed", "{turn}");
    }
    session
}

fn script(path: &Path, text: &str) -> String {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    path.to_str().expect("text").to_owned()
}

fn wait_for_log(pair: &Pair, words: &str) -> String {
    poll::until(
        words,
        SOON,
        || pair.log(),
        |log| log.lines().find(|line| line.contains(words)).map(str::to_owned),
    )
}

#[test]
fn the_hook_is_told_each_mark_once_and_nothing_else() {
    let server = Server::start(vec![text()]);
    let folder = tempfile::tempdir().expect("a folder");
    let (told, seen) = (folder.path().join("told"), folder.path().join("seen"));
    let program = script(
        &folder.path().join("hook"),
        &format!(
            "cat >> {}\n{{ env; grep SigBlk /proc/self/status; }} > {}",
            told.display(),
            seen.display()
        ),
    );
    let config = format!("[usage]\non_budget = [\"{program}\", \"now\"]\n");
    let pair = pair(&server, &config);
    let session = spend(&pair);
    let lines = || fs::read_to_string(&told).unwrap_or_default();
    let told = poll::until("it is told", SOON, lines, |text| {
        (text.lines().count() >= 3).then(|| text.clone())
    });
    let told: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let marks: Vec<_> = told.iter().map(|told| &told["percent"]).collect();
    assert_eq!(marks, [50, 80, 100]);
    assert!(told.iter().all(|told| told["session_id"] == *session && told["name"] == "two"));
    assert_eq!((&told[2]["spent"], &told[2]["limit"]), (&json!(24), &json!(24)), "{told:?}");
    let seen = poll::until(
        "its environment",
        SOON,
        || fs::read_to_string(&seen),
        |seen| seen.as_ref().ok().filter(|seen| seen.contains("SigBlk")).cloned(),
    );
    let names = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let names: Vec<_> =
        names.filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name)).collect();
    assert_eq!(names, ["PATH"], "{seen}");
    assert!(seen.contains("0000000000000000"), "no signal is blocked: {seen}");
    troubleshooting::assert_documented("budget is spent", &wait_for_log(&pair, "budget is spent"));
}

#[test]
fn a_hook_that_hangs_or_fails_delays_no_turn_and_leaves_nothing() {
    let server = Server::start(vec![text()]);
    let folder = tempfile::tempdir().expect("a folder");
    let pids = folder.path().join("pids");
    let body = format!("sleep 600 & echo $! $$ >> {}\nwait", pids.display());
    let program = script(&folder.path().join("hook"), &body);
    let config = format!("[usage]\non_budget = [\"{program}\"]\non_budget_timeout = \"500ms\"\n");
    let hung = pair(&server, &config);
    let _ = spend(&hung);
    let killed = wait_for_log(&hung, "usage.on_budget took too long");
    troubleshooting::assert_documented("usage.on_budget took too long, and was killed", &killed);
    let first = fs::read_to_string(&pids).expect("it was started");
    for pid in first.lines().next().expect("a line").split(' ') {
        let process = format!("/proc/{pid}/stat");
        poll::until(
            "it is gone",
            SOON,
            || fs::read_to_string(&process).ok(),
            |stat| stat.as_ref().is_none_or(|stat| stat.contains(") Z ")).then_some(()),
        );
    }
    let config = "[usage]\non_budget = [\"/nowhere/hook\"]\n";
    let pair = pair(&server, config);
    let _ = spend(&pair);
    let missing = wait_for_log(&pair, "usage.on_budget cannot be run");
    troubleshooting::assert_documented("usage.on_budget cannot be run … No such file", &missing);
}

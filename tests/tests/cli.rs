//! Every command of the operator's command line, as an operator calls it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Output, Stdio},
    time::Duration,
};

use evonic_tests::pair::{Options, Pair, program};
use serde_json::Value;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ok(pair: &Pair, arguments: &[&str]) -> String {
    let output = pair.evonic(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    text(&output)
}

fn json(pair: &Pair, arguments: &[&str]) -> Value {
    let text = ok(pair, arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

fn contains_all(text: &str, wanted: &[&str]) {
    for word in wanted {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

#[test]
fn state_is_shown_to_people_and_to_programs() {
    let pair = Pair::start(&Options::default());
    let screen = ok(&pair, &["status"]);
    contains_all(&screen, &["running", "generation 1", "ceiling", "sqlite", "restarts"]);
    assert!(!screen.contains('\x1b'), "no colour where there is no terminal");
    assert_eq!(json(&pair, &["status", "--json"])["worker"]["generation"], 1);

    let restarted = ok(&pair, &["restart"]);
    assert!(restarted.contains('2'), "it waits for the successor: {restarted}");
    assert_eq!(pair.worker().1, 2);
    pair.wait_for_successor(1);
    contains_all(&ok(&pair, &["history"]), &["requested", "generation 1"]);
    assert_eq!(json(&pair, &["history", "--json", "--limit", "1"])["entries"][0]["generation"], 1);
    contains_all(&ok(&pair, &["census"]), &["evonic.db", "generation 2"]);
    assert!(json(&pair, &["census", "--json"])["open"].as_u64().is_some_and(|open| open > 5));
}

#[test]
fn a_restart_takes_a_changed_configuration_when_it_is_asked_to() {
    let pair = Pair::start(&Options::config("[agents]\nmax_queued = 7\n"));
    let sound = std::fs::read_to_string(pair.config_file()).unwrap();
    let change = |to: &str| {
        std::fs::write(pair.config_file(), sound.replace("max_queued = 7", to)).unwrap();
    };
    let before = pair.worker().1;
    change("max_queud = 7");
    let refused = pair.evonic(&["restart", "--reload"]);
    assert!(!refused.status.success(), "{refused:?}");
    contains_all(&String::from_utf8_lossy(&refused.stderr), &["max_queud"]);
    assert_eq!(pair.worker().1, before, "nothing was replaced");
    change("max_queued = 1");
    ok(&pair, &["restart", "--reload"]);
    assert!(pair.worker().1 > before);
}

#[test]
fn watching_shows_what_changes() {
    let pair = Pair::start(&Options::default());
    let mut watch = pair
        .evonic_command(&["status", "--watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut generation = || {
        let line = lines.next().expect("a line").unwrap();
        let status: Value = serde_json::from_str(&line).unwrap();
        status["worker"]["generation"].as_u64()
    };
    assert_eq!(generation(), Some(1));
    pair.kill_worker();
    while generation() != Some(2) {}
    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn workplaces_are_made_shown_changed_checked_and_removed() {
    let pair = Pair::start(&Options::default());
    let root = pair.state_dir().join("elsewhere");
    let place = root.to_str().unwrap();
    ok(&pair, &["workplace", "add", "here", "--kind", "local", "--root", place]);
    let far = ["--host", "192.0.2.1", "--port", "2222", "--password", "env:NOBODY"];
    ok(&pair, &[&["workplace", "add", "far", "-k", "ssh"][..], &far].concat());
    let settings = "{\"memory_bytes\": 1073741824, \"pids\": 99}";
    let docker = ["workplace", "add", "boxes", "-k", "docker", "--settings", settings];
    ok(&pair, &[&docker[..], &["--memory", "512M"]].concat());
    contains_all(
        &ok(&pair, &["workplace", "list"]),
        &["local", "here", "192.0.2.1:2222", "docker"],
    );
    contains_all(&ok(&pair, &["workplace", "show", "far"]), &["2222", "env:NOBODY", "strict"]);
    let boxes = json(&pair, &["workplace", "show", "boxes", "--json"]);
    assert_eq!(
        (&boxes["settings"]["memory_bytes"], &boxes["settings"]["pids"]),
        (&(512_u64 << 20).into(), &99.into())
    );

    ok(&pair, &["workplace", "set", "far", "port=", "user=ops", "name=farther"]);
    let far = json(&pair, &["workplace", "show", "farther", "--json"]);
    assert_eq!((&far["settings"]["port"], &far["settings"]["user"]), (&Value::Null, &"ops".into()));
    let refused = pair.evonic(&["workplace", "set", "farther", "host="]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("settings.host"), "{refused:?}");
    let usage = pair.evonic(&["workplace", "set", "farther", "password=hunter2"]);
    assert_eq!(usage.status.code(), Some(64), "{usage:?}");

    contains_all(&ok(&pair, &["workplace", "check", "here"]), &["home", "write", "run", "free"]);
    let steps = ok(&pair, &["workplace", "check", "here", "--json"]);
    assert!(steps.lines().count() >= 5, "{steps}");
    for line in steps.lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["verdict"].is_string(), "{line}");
    }
    ok(&pair, &["workplace", "set", "here", "root=/dev/null/nowhere"]);
    let failed = pair.evonic(&["workplace", "check", "here"]);
    assert_eq!(failed.status.code(), Some(1));
    contains_all(&text(&failed), &["failed", "do:"]);

    let agent = ["agent", "add", "worker", "--workplace", "boxes", "--other-workplace", "local"];
    ok(&pair, &agent);
    contains_all(&ok(&pair, &["agent", "show", "worker"]), &["boxes", "local"]);
    assert_eq!(pair.evonic(&["workplace", "rm", "boxes"]).status.code(), Some(1));
    let nowhere = pair.evonic(&["agent", "add", "lost", "--workplace", "nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("farther"), "{nowhere:?}");
    ok(&pair, &["agent", "rm", "worker"]);
    ok(&pair, &["workplace", "rm", "boxes"]);
    let wrong = pair.evonic(&["sandbox", "build", "--workplace", "here"]);
    assert_eq!(wrong.status.code(), Some(1));
    contains_all(&ok(&pair, &["man", "workplace add"]), &["evonic", "identity"]);
}

#[test]
fn the_doctor_looks_at_what_runs_and_says_what_is_missing() {
    let pair = Pair::start(&Options::default());
    let engine = pair.state_dir().join("no-engine.sock");
    let engine = format!("unix://{}", engine.display());
    let verdict = |found: &Value, name: &str| {
        let checks = found["checks"].as_array().expect("a list");
        let check = checks.iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("{name} is missing: {found}"))["verdict"].clone()
    };
    let found: Value = serde_json::from_slice(&pair.evonic(&["doctor", "--json"]).stdout).unwrap();
    for well in ["configuration", "state_dir", "supervisor", "worker", "rlimits", "setsid"] {
        assert_eq!(verdict(&found, well), "ok", "{well}: {found}");
    }
    ok(&pair, &["workplace", "add", "boxes", "--kind", "docker", "--engine", &engine]);
    let failed = pair.evonic(&["doctor"]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    contains_all(&text(&failed), &["failed", "docker", "no-engine.sock", "start the engine"]);
}

#[test]
fn agents_are_made_listed_shown_and_removed() {
    let pair = Pair::start(&Options::default());
    ok(&pair, &["agent", "add", "nightly", "--model", "runbook"]);
    contains_all(&ok(&pair, &["agent", "list"]), &["nightly", "runbook"]);
    assert_eq!(json(&pair, &["agent", "show", "nightly", "--json"])["name"], "nightly");
    let taken = pair.evonic(&["agent", "add", "nightly", "--model", "runbook"]);
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("nightly"), "{taken:?}");
    ok(&pair, &["agent", "rm", "nightly"]);
    assert!(!ok(&pair, &["agent", "list"]).contains("nightly"));
    assert_eq!(pair.evonic(&["agent", "show", "nightly"]).status.code(), Some(1));
}

#[test]
fn an_agent_is_changed_and_may_have_no_tools() {
    let pair = Pair::start(&Options::default());
    let shown = |name: &str| json(&pair, &["agent", "show", name, "--json"]);
    ok(&pair, &["agent", "add", "mute", "--tools", ""]);
    assert_eq!(shown("mute")["tools"], Value::Array(Vec::new()));
    contains_all(&ok(&pair, &["agent", "show", "mute"]), &["no tool"]);

    let place = pair.state_dir().join("elsewhere");
    ok(&pair, &["workplace", "add", "here", "-k", "local", "--root", place.to_str().unwrap()]);
    let before = shown("mute");
    let set = ["agent", "set", "mute", "--tools", "bash,read_file", "--instructions", "Be brief."];
    let changed =
        ok(&pair, &[&set[..], &["--workplace", "here", "--other-workplace", "local"]].concat());
    contains_all(&changed, &["Changed mute"]);
    let after = shown("mute");
    assert_eq!(after["tools"], serde_json::json!(["bash", "read_file"]));
    assert_eq!(after["instructions"], "Be brief.");
    assert_eq!(after["other_workplaces"], serde_json::json!(["local"]));
    assert_ne!(after["workplace"], before["workplace"]);
    assert_eq!((&after["id"], &after["model"]), (&before["id"], &before["model"]));

    let set = ["agent", "set", "mute", "--other-workplace", "", "--every-tool", "--name", "loud"];
    let after = json(&pair, &[&set[..], &["--json"]].concat());
    assert_eq!((&after["name"], &after["tools"]), (&"loud".into(), &Value::Null));
    assert_eq!(after["other_workplaces"], Value::Array(Vec::new()));
    ok(&pair, &["agent", "set", "loud", "--tools", ""]);
    assert_eq!(shown("loud")["tools"], Value::Array(Vec::new()));
    let audit = ok(&pair, &["audit", "--action", "agent.update"]);
    assert_eq!(audit.matches("agent.update").count(), 3, "{audit}");

    for (wrong, word, code) in [
        (&["--tools", "fly"][..], "fly", 1),
        (&["--model", "none-such"], "none-such", 1),
        (&["--workplace", "nowhere"], "nowhere", 1),
        (&["--name", "No Name"], "No Name", 64),
        (&[], "--model", 64),
    ] {
        let refused = pair.evonic(&[&["agent", "set", "loud"], wrong].concat());
        assert_eq!(refused.status.code(), Some(code), "{refused:?}");
        contains_all(&String::from_utf8_lossy(&refused.stderr), &[word]);
    }
    assert_eq!(pair.evonic(&["agent", "set", "mute", "--tools", ""]).status.code(), Some(1));
}

#[test]
fn a_chat_reads_its_message_from_standard_input_and_survives_a_replacement() {
    let pair = Pair::start(&Options::default());
    let mut chat = pair
        .evonic_command(&["chat", "runbook"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let runbook =
        "$ echo first\n$ for i in 1 2 3 4; do echo step $i; sleep 0.5; done\n$ echo last\n";
    chat.stdin.take().unwrap().write_all(runbook.as_bytes()).unwrap();
    let mut output = BufReader::new(chat.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("step 1") {
        assert!(output.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
    // The command runs to its end under the old worker; the new one takes the next step.
    ok(&pair, &["restart", "--no-wait"]);
    output.read_to_string(&mut seen).unwrap();
    assert!(chat.wait().unwrap().success(), "{seen}");
    contains_all(&seen, &["first", "step 4", "last", "done"]);
    assert!(pair.worker().1 > 1, "the worker was replaced meanwhile");

    let sessions = json(&pair, &["session", "list", "--json"]);
    let session = sessions[0]["id"].as_str().expect("a session").to_owned();
    ok(&pair, &["session", "show", &session]);
    ok(&pair, &["chat", "runbook", "--session", &session, "$ echo again"]);
    ok(&pair, &["session", "rm", &session]);
    assert_eq!(pair.evonic(&["session", "show", &session]).status.code(), Some(1));
}

#[test]
fn a_chat_as_json_is_the_event_log() {
    let pair = Pair::start(&Options::default());
    let lines = ok(&pair, &["chat", "runbook", "--json", "$ echo hello"]);
    let kinds: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().into())
        .collect();
    assert_eq!(kinds.first().map(String::as_str), Some("chat.opened"));
    assert_eq!(kinds.last().map(String::as_str), Some("turn.completed"));
    assert!(kinds.iter().any(|kind| kind == "tool.completed"), "{kinds:?}");
}

#[test]
fn configuration_is_shown_with_its_origin() {
    let pair = Pair::start(&Options::config("[fd]\nunexplained = 99\n"));
    let output = pair.evonic_command(&["config"]).env("EVONIC_LOG", "warn").output().unwrap();
    contains_all(&text(&output), &["evonic.toml:", "$EVONIC_LOG", "default", "99"]);
    assert!(json(&pair, &["config", "--json"]).is_object());
    ok(&pair, &["config", "--check"]);
    let documented = ok(&pair, &["config", "--markdown"]);
    assert_eq!(documented, include_str!("../../docs/configuration.md"));
}

#[test]
fn without_a_pair_every_command_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["status"][..], &["history"], &["restart"], &["agent", "list"], &["chat", "runbook", "x"]]
    {
        let output = std::process::Command::new(program("evonic"))
            .args(arguments)
            .env("EVONIC_STATE_DIR", folder.path().join("state"))
            .env("EVONIC_RUNTIME_DIR", folder.path().join("run"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let expected = if arguments == ["status"] { 3 } else { 69 };
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {output:?}");
        contains_all(&String::from_utf8_lossy(&output.stderr), &["evonic-supervisor"]);
    }
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(program("evonic")).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        text(&output)
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).contains("evonic"), "{shell}");
    }
    assert!(run(&["man"]).contains(".TH"));
    assert!(run(&["man", "chat"]).contains("chat"));
    contains_all(&run(&[]), &["evonic chat runbook"]);
    contains_all(&run(&["--version"]), &["evonic"]);
    let unknown = std::process::Command::new(program("evonic")).arg("fly").output().unwrap();
    assert_eq!(unknown.status.code(), Some(64));
}

#[test]
fn ctrl_c_cancels_the_turn() {
    let pair = Pair::start(&Options::default());
    let mut chat = pair
        .evonic_command(&["chat", "runbook", "$ echo begun; sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(chat.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("│ begun") {
        assert!(output.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
    Pair::signal(chat.id(), nix::sys::signal::Signal::SIGINT);
    let ended = evonic_tests::poll::until(
        "the chat ends",
        Duration::from_secs(5),
        || chat.try_wait().unwrap(),
        |status| *status,
    );
    assert_eq!(ended.code(), Some(3));
}

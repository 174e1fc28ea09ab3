//! An agent does real work, from the command line.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Stdio,
    time::{Duration, Instant},
};

use evonic_tests::{
    pair::{Options, Pair},
    scripted::{Scripted, Server},
};
use serde_json::json;

const RUNBOOK: &str = "$ echo hello from the workplace\n\
                       write notes/first.txt <<END\n\
                       one line\n\
                       another line\n\
                       END\n\
                       read notes/first.txt\n";

#[test]
fn a_runbook_runs_a_command_and_writes_and_reads_a_file() {
    let pair = Pair::start(&Options::default());
    let output = pair.evonic(&["chat", "runbook", RUNBOOK]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}\n{output:?}");
    for wanted in ["hello from the workplace", "another line"] {
        assert!(text.contains(wanted), "{wanted:?} is missing in:\n{text}");
    }
    let file = pair.state_dir().join("workplace/notes/first.txt");
    assert_eq!(fs::read_to_string(file).unwrap(), "one line\nanother line\n");

    let database = rusqlite::Connection::open_with_flags(
        pair.state_dir().join("evonic.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )
    .unwrap();
    let states: Vec<String> = database
        .prepare("SELECT state FROM turns")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(states, ["completed"]);
}

#[test]
fn output_streams_while_the_command_runs() {
    let pair = Pair::start(&Options::default());
    let began = Instant::now();
    let mut chat = pair
        .evonic_command(&["chat", "runbook", "$ echo early; sleep 3; echo late"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(chat.stdout.take().unwrap());
    let mut line = String::new();
    while !line.trim_start_matches(['|', '│', ' ']).starts_with("early") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended without the first output");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "the output came only at the end");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("late"), "{rest}");
    assert!(chat.wait().unwrap().success());
}

#[test]
fn a_model_over_a_socket_calls_a_tool_and_uses_its_result() {
    let command = json!({"command": "echo from the tool > made.txt; cat made.txt"});
    let server = Server::start(vec![
        Scripted::Call("bash".to_owned(), command),
        Scripted::Text(vec!["The file ".into(), "says hello.".into()], Duration::ZERO),
    ]);
    let pair = Pair::start(&Options::config(&server.config("scripted")));
    let added = pair.evonic(&["agent", "add", "helper", "--model", "scripted"]);
    assert!(added.status.success(), "{added:?}");
    let output = pair.evonic(&["chat", "helper", "what is in the file?"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text.contains("from the tool") && text.contains("The file says hello."), "{text}");
    let made = pair.state_dir().join("workplace/made.txt");
    assert_eq!(fs::read_to_string(made).unwrap(), "from the tool\n");

    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    let last = requests[1]["messages"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["role"], "tool");
    assert!(last["content"].as_str().unwrap().contains("from the tool"), "{last}");
}

#[test]
fn a_failed_turn_and_a_cancelled_one_show_in_the_exit_code() {
    let server = Server::start(vec![Scripted::Status(
        401,
        json!({"error": {"message": "who are you?"}}).to_string(),
    )]);
    let pair = Pair::start(&Options::config(&server.config("closed")));
    assert!(pair.evonic(&["agent", "add", "locked-out", "--model", "closed"]).status.success());
    let output = pair.evonic(&["chat", "locked-out", "hello"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("who are you?"), "{printed}");
    assert_eq!(server.requests().len(), 1, "a permanent refusal is not retried");

    let session = pair.session("runbook");
    let turn = pair.post(&session, "$ setsid sleep 600 & sleep 600");
    let running = || pair.expect(200, "GET", &format!("/api/v1/turns/{turn}"), None);
    evonic_tests::poll::until(
        "the turn runs its command",
        Duration::from_secs(10),
        || sleepers(&pair),
        |count| (*count >= 2).then_some(()),
    );
    assert_eq!(running()["state"], "running");
    let began = Instant::now();
    let _ = pair.expect(202, "POST", &format!("/api/v1/turns/{turn}/cancel"), None);
    assert_eq!(pair.wait_for_turn(&turn)["state"], "cancelled");
    assert!(began.elapsed() < Duration::from_secs(2), "cancelling took {:?}", began.elapsed());
    assert_eq!(sleepers(&pair), 0, "the process tree is gone");
}

#[test]
fn a_model_whose_key_is_missing_costs_nobody_else_anything() {
    let pair = Pair::start(&Options::config(
        "[models.keyless]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n\
         key_env = \"EVONIC_TEST_NO_SUCH_KEY\"\n",
    ));
    assert!(pair.evonic(&["agent", "add", "keyless", "--model", "keyless"]).status.success());
    let output = pair.evonic(&["chat", "keyless", "hello"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("EVONIC_TEST_NO_SUCH_KEY"), "{printed}");
    assert!(pair.evonic(&["chat", "runbook", "$ true"]).status.success());
}

/// Processes named `sleep` whose folder is this pair's workplace.
fn sleepers(pair: &Pair) -> usize {
    let workplace = pair.state_dir().join("workplace");
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == workplace)
                && fs::read_to_string(entry.path().join("comm")).is_ok_and(|c| c.trim() == "sleep")
        })
        .count()
}

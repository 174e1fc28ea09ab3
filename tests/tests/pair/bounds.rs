//! Sessions that are too large to be loaded whole: they go on, and the worker stays as it is.

use evonic_tests::{
    pair::{Options, Pair},
    process,
    scripted::{Scripted, Server},
    size,
};
use serde_json::json;

/// What the worker's resident memory stays below.
const MOST_KIB: u64 = 64 * 1024;

const BLOCK_BYTES: usize = 64 * 1024;

/// Adds results of calls to a session's only turn, as many as there are blocks.
fn grow(pair: &Pair, turn: &str, blocks: u32) {
    let path = pair.state_dir().join("evonic.db");
    let mut database = rusqlite::Connection::open(path).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let block = "x".repeat(BLOCK_BYTES);
    let transaction = database.transaction().unwrap();
    for number in 0..blocks {
        let calls = json!([{"id": format!("c{number}"), "name": "bash", "arguments": "{}"}]);
        let usage = json!({"input_tokens": 0, "output_tokens": 0});
        let reply = json!({"type": "assistant", "text": "", "tool_calls": calls, "usage": usage});
        let result = json!({"type": "tool_result", "call_id": format!("c{number}"),
            "name": "bash", "outcome": "ok", "content": block});
        for (at, item) in [reply, result].into_iter().enumerate() {
            let position = 1000 + 2 * i64::from(number) + i64::try_from(at).unwrap();
            let insert = "INSERT INTO items (turn_id, position, data) VALUES (?1, ?2, ?3)";
            transaction.execute(insert, (turn, position, item.to_string())).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// A session of this agent with one turn that has ended, and so many blocks in its transcript.
fn large_session(pair: &Pair, agent: &str, blocks: u32) -> String {
    let session = pair.session(agent);
    let turn = pair.post(&session, "$ true\n");
    let _ended = pair.wait_for_turn(&turn);
    grow(pair, &turn, blocks);
    session
}

#[test]
fn a_session_that_does_not_fit_into_memory_goes_on_and_costs_no_worker() {
    let server = Server::start(vec![Scripted::Text(vec!["done".to_owned()], Default::default())]);
    let config = format!(
        "[models.remote]\nbase_url = \"http://{}/v1\"\nmodel = \"model\"\n",
        server.address
    );
    let pair = Pair::start(&Options::config(&config));
    let agent = json!({"name": "remote", "model": "remote"});
    let _agent = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let huge = large_session(&pair, "runbook", 4800);
    let fits = large_session(&pair, "remote", 25);
    let large = large_session(&pair, "remote", 300);
    let (pid, generation) = pair.worker();
    let idle = process::peak_memory_kib(pid).unwrap();

    let ended = pair.wait_for_turn(&pair.post(&huge, "$ echo again\n"));
    assert_eq!(ended["state"], "completed", "{ended}");
    let passed_over = process::peak_memory_kib(pid).unwrap();

    let ended = pair.wait_for_turn(&pair.post(&fits, "and now?"));
    assert_eq!(ended["state"], "completed", "{ended}");
    assert!(server.requests().last().unwrap().to_string().len() > 24 * BLOCK_BYTES);
    let loaded = process::peak_memory_kib(pid).unwrap();

    let ended = pair.wait_for_turn(&pair.post(&large, "and now?"));
    assert_eq!(ended["state"], "completed", "{ended}");
    assert!(server.requests().last().unwrap().to_string().len() < 25 * BLOCK_BYTES);
    let compacted = process::peak_memory_kib(pid).unwrap();
    size::report("worker's peak: idle", idle, "KiB");
    size::report("worker's peak: a turn of a session of 300 MiB has run", passed_over, "KiB");
    size::report("worker's peak: a turn with 1.6 MiB has run", loaded, "KiB");
    size::report("worker's peak: a turn of a session of 19 MiB has run", compacted, "KiB");
    assert_eq!(pair.worker(), (pid, generation), "it was replaced: {}", pair.log());
    assert!(compacted < MOST_KIB, "the worker had {compacted} KiB");
}

/// A turn that its workers die with is named, and fails.
#[test]
fn a_turn_that_kills_its_workers_is_named_and_fails() {
    let pair = Pair::start(&Options::config("[agents]\nmax_takeovers = 3\n"));
    let session = pair.session("runbook");
    let turn = pair.post(&session, "$ touch started; sleep 1000\n");
    for deaths in 1..=3 {
        let started = pair.state_dir().join("workplace/started");
        evonic_tests::poll::until(
            "the turn runs",
            evonic_tests::pair::TIMEOUT,
            || {
                let path = format!("/api/v1/turns/{turn}");
                let answer = pair.request("GET", &path, None).map(|answer| answer.json());
                (started.exists(), answer.map(|turn| turn["owner"].clone()).ok(), pair.worker().1)
            },
            |(started, owner, generation)| {
                (*started && *owner == Some(json!(generation))).then_some(())
            },
        );
        if deaths > 1 {
            let metrics = pair.request("GET", "/metrics", None).unwrap().text();
            let named = format!("evonic_turn_takeovers{{turn_id=\"{turn}\"}} {}", deaths - 1);
            assert!(metrics.contains(&named), "no {named} in:\n{metrics}");
        }
        let _status = pair.kill_worker();
    }
    let ended = pair.wait_for_turn(&turn);
    assert_eq!(ended["error"]["code"], "too_many_takeovers", "{ended}");
    let log = pair.log();
    let line = log.lines().find(|line| line.contains("took over a dead worker's turn"));
    assert!(line.is_some_and(|line| line.contains(&turn)), "{log}");
    let metrics = pair.request("GET", "/metrics", None).unwrap().text();
    assert!(!metrics.contains(&turn), "an ended turn is named: {metrics}");
}

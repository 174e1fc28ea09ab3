//! What the length of a session costs its next turn: nothing, and next to no memory.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::{Options, Pair},
    process,
    scripted::{Scripted, Server},
    size,
};
use rusqlite::params;
use serde_json::json;

use super::{agent, all};

/// Bytes of a message that was said before.
const MESSAGE_BYTES: usize = 1700;
/// What a running session may have above an idle worker.
const MOST_KIB: u64 = 16 * 1024;

/// A session in which so many messages were said before this version counted anything.
fn session(pair: &Pair, messages: usize) -> String {
    let session = pair.session("clerk");
    let path = pair.state_dir().join("evonic.db");
    let mut database = rusqlite::Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    let transaction = database.transaction().unwrap();
    for turn in 0..messages / 2 {
        let id = format!("trn_{:032x}", u128::from(fastrand::u64(..)) << 20 | turn as u128);
        let insert = "INSERT INTO turns (id, session_id, state, steps, cancel_requested,
             partial_text, input_tokens, output_tokens, created_at, started_at, ended_at)
             VALUES (?1, ?2, 'completed', 1, 0, 0, 0, 0, ?3, ?3, ?3)";
        let at = "2026-11-23T14:03:11.250Z";
        transaction.execute(insert, params![id, session, at]).unwrap();
        let text = format!("Note {turn}. {}", "It was stored. ".repeat(MESSAGE_BYTES / 15));
        let usage = json!({"input_tokens": 0, "output_tokens": 0});
        let items = [
            json!({"type": "user", "text": text}),
            json!({"type": "assistant", "text": text, "tool_calls": [], "usage": usage}),
        ];
        for (position, item) in (0_i64..).zip(items) {
            let insert = "INSERT INTO items (turn_id, position, data) VALUES (?1, ?2, ?3)";
            transaction.execute(insert, params![id, position, item.to_string()]).unwrap();
        }
    }
    transaction.commit().unwrap();
    session
}

/// Rounds in which each session is asked once.
const ROUNDS: usize = 15;

/// The time from a message to its turn's end.
fn turn_time(pair: &Pair, session: &str) -> Duration {
    let began = Instant::now();
    let ended = pair.wait_for_turn(&pair.post(session, "and now?"));
    assert_eq!(ended["state"], "completed", "{ended}");
    began.elapsed()
}

#[test]
fn a_long_session_costs_its_next_turn_what_a_short_one_does() {
    let server = Server::start(vec![Scripted::Counted(vec!["Noted.".to_owned()], Duration::ZERO)]);
    let config = format!("{}context_tokens = 8192\nmax_tokens = 64\n", server.config("scripted"));
    let pair = Pair::start(&Options::config(&config));
    agent(&pair, "clerk", "scripted", &[]);
    let (pid, generation) = pair.worker();
    // Code is memory too, once it has run.
    let warm = session(&pair, 300);
    let _ = turn_time(&pair, &warm);
    let (_, idle) = process::memory_kib(pid).unwrap();
    let mut sessions = Vec::new();
    for messages in [10, 1000, 10_000] {
        let session = session(&pair, messages);
        let first = turn_time(&pair, &session);
        let compactions = all(&pair, &session, "compactions").len();
        size::report(&format!("first turn after {messages} messages"), size::ms(first), "ms");
        size::report("its compactions", compactions, "");
        assert!(compactions <= 16, "{compactions} compactions");
        sessions.push((messages, session, Vec::new()));
    }
    // One after the other, so that a busy machine is busy for all of them.
    for _round in 0..ROUNDS {
        for (_, session, times) in &mut sessions {
            times.push(turn_time(&pair, session));
        }
    }
    let mut times = Vec::new();
    for (messages, _, of_session) in &mut sessions {
        times.push(size::quantile(of_session, 0.25));
        let time = size::ms(times[times.len() - 1]);
        size::report(&format!("each later turn after {messages} messages"), time, "ms");
    }
    let peak = process::peak_memory_kib(pid).unwrap();
    size::report("worker's memory: idle", idle, "KiB");
    size::report("worker's peak: a session of 17 MB has run", peak, "KiB");
    assert_eq!(pair.worker(), (pid, generation), "it was replaced: {}", pair.log());
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*most < *least * 2, "{times:?}");
    assert!(peak < idle + MOST_KIB, "{peak} KiB, idle {idle} KiB");
}

//! A worker killed at random moments: nothing accepted is lost, nothing is said twice.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    size,
};
use serde_json::{Value, json};

const SESSIONS: usize = 8;

#[test]
fn no_accepted_message_is_lost() {
    let kills = size::of("chaos_kills", 10, 200);
    let pair = Pair::start(&Options::config(
        "[supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n\
         [agents]\nmax_takeovers = 1000\n",
    ));
    let address = pair.address();
    let sessions: Vec<String> = (0..SESSIONS).map(|_| pair.session("runbook")).collect();
    let done = AtomicBool::new(false);
    // Turns by the message that was accepted for them.
    let accepted: Mutex<BTreeMap<String, String>> = Mutex::default();
    std::thread::scope(|scope| {
        for session in &sessions {
            let (done, accepted) = (&done, &accepted);
            scope.spawn(move || {
                let path = format!("/api/v1/sessions/{session}/messages");
                for number in 0_u64.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    let content = format!("$ echo {session} {number}; sleep 0.02");
                    let key = format!("{session}-{number}");
                    let turn = post(address, &path, &key, &content, done);
                    let Some(turn) = turn else { break };
                    accepted.lock().expect("no panic").insert(key, turn.clone());
                    // One turn ahead at the most, so that kills meet turns at every step.
                    wait_for_end(address, &turn, done);
                }
            });
        }
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(fastrand::u64(20..400)));
            pair.kill_worker();
        }
        done.store(true, Ordering::Relaxed);
    });

    let accepted = accepted.into_inner().expect("no panic");
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for turn in accepted.values() {
        let ended = pair.wait_for_turn(turn);
        *ends.entry(ended["state"].as_str().expect("a state").to_owned()).or_default() += 1;
    }
    println!("{kills} kills under {SESSIONS} sessions: {} turns, ended {ends:?}", accepted.len());
    assert_eq!(ends.keys().collect::<Vec<_>>(), ["completed"], "every turn ends as it should");
    for session in &sessions {
        check_messages(&pair, session, &accepted);
    }
}

/// Posts until it is accepted: the key makes it one message, however often it is sent.
fn post(
    address: std::net::SocketAddr,
    path: &str,
    key: &str,
    content: &str,
    done: &AtomicBool,
) -> Option<String> {
    let body = json!({"content": content});
    loop {
        let answer = Connection::tcp(address).and_then(|mut connection| {
            connection.request("POST", path, &[("Idempotency-Key", key)], Some(&body))
        });
        match answer {
            Ok(answer) if answer.status == 202 => {
                return answer.json()["turn"]["id"].as_str().map(str::to_owned);
            }
            Ok(answer) if answer.status != 503 => panic!("{}: {}", answer.status, answer.text()),
            _ if done.load(Ordering::Relaxed) => return None,
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn wait_for_end(address: std::net::SocketAddr, turn: &str, done: &AtomicBool) {
    let path = format!("/api/v1/turns/{turn}?wait=5");
    while !done.load(Ordering::Relaxed) {
        let answer = Connection::tcp(address)
            .and_then(|mut connection| connection.request("GET", &path, &[], None));
        if let Ok(answer) = answer
            && matches!(answer.json()["state"].as_str(), Some("completed" | "failed"))
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every accepted message is there once, with one answer; nothing else is.
fn check_messages(pair: &Pair, session: &str, accepted: &BTreeMap<String, String>) {
    let (mut asked, mut answered) = (BTreeMap::new(), BTreeMap::new());
    let mut after = String::new();
    loop {
        let path = format!("/api/v1/sessions/{session}/messages?limit=100{after}");
        let page = pair.expect(200, "GET", &path, None);
        for message in page["data"].as_array().expect("a list") {
            let turn = message["turn_id"].as_str().expect("a turn").to_owned();
            let of = if message["role"] == "user" { &mut asked } else { &mut answered };
            let seen: &mut u32 = of.entry(turn).or_default();
            *seen += 1;
        }
        match &page["next"] {
            Value::String(next) => after = format!("&after={next}"),
            _ => break,
        }
    }
    assert!(asked.values().chain(answered.values()).all(|&count| count == 1), "once each");
    for (key, turn) in accepted.iter().filter(|(key, _)| key.starts_with(session)) {
        assert!(asked.contains_key(turn) && answered.contains_key(turn), "{key} was lost");
    }
}

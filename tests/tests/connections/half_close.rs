//! Clients that close their sending side: with a request that is whole, or in the middle of a stream.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use evonic_tests::{
    pair::{Options, Pair},
    poll, size,
};
use serde_json::json;

use crate::wire::{certificate, half_closing, operator, pipe, request};

/// Far below the two seconds after which an answer is given up.
const AT_ONCE: Duration = Duration::from_millis(1000);

fn median(mut times: Vec<Duration>) -> Duration {
    size::quantile(&mut times, 0.5)
}

/// The messages of a session.
fn messages(pair: &Pair, session: &str) -> usize {
    let path = format!("/api/v1/sessions/{session}/messages?limit=200");
    let answer = operator(pair).request("GET", &path, &[], None).expect("an answer");
    let list = answer.json()["data"].as_array().expect("a list").clone();
    list.iter().filter(|message| message["role"] == "user").count()
}

fn session(pair: &Pair) -> String {
    let new = json!({"agent": "runbook"});
    let made = operator(pair).request("POST", "/api/v1/sessions", &[], Some(&new));
    made.expect("an answer").json()["id"].as_str().expect("an id").to_owned()
}

/// Posts by programs that half-close: each is answered, stored, and over at once.
fn post_by(pair: &Pair, clients: &[(&str, Vec<String>)]) {
    let rounds = usize::try_from(size::of("half_close", 20, 200)).expect("a count");
    for (program, arguments) in clients {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let session = session(pair);
        let path = format!("/api/v1/sessions/{session}/messages");
        let post = request(pair, "POST", &path, r#"{"content":"$ true"}"#);
        let mut times = Vec::new();
        for _ in 0..rounds {
            let (answer, took) = pipe(program, &arguments, &post);
            assert!(answer.starts_with("HTTP/1.1 202 "), "{program} {arguments:?}: {answer:?}");
            assert!(answer.ends_with('}'), "{answer:?}");
            times.push(took);
        }
        assert_eq!(messages(pair, &session), rounds, "{program} {arguments:?}");
        let took = median(times);
        assert!(took < AT_ONCE, "{program} {arguments:?}: {took:?}");
        let get = request(pair, "GET", &path, "");
        let gets = (0..5).map(|_| {
            let (answer, took) = pipe(program, &arguments, &get);
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with('}'), "{answer:?}");
            took
        });
        let took = median(gets.collect());
        assert!(took < AT_ONCE, "{program} {arguments:?}: {took:?}");
    }
}

/// Room for all messages, however slowly they are worked off.
const QUEUE: &str = "[agents]\nmax_queued = 1000\n";

#[test]
fn a_post_that_half_closes_is_served_answered_and_over_at_once() {
    let pair = Pair::start(&Options::config(QUEUE));
    post_by(&pair, &half_closing(&pair));
}

#[test]
fn a_post_that_half_closes_over_tls_is_served_answered_and_over_at_once() {
    let (_folder, tls) = certificate();
    let pair = Pair::start(&Options::config(&format!("{QUEUE}{tls}")));
    let to = format!("OPENSSL:127.0.0.1:{},verify=0", pair.address().port());
    let arguments = ["-t", "10", "-", &to].map(str::to_owned).to_vec();
    post_by(&pair, &[("socat", arguments)]);
}

/// Connections over TCP that the worker holds.
fn held(pair: &Pair) -> u64 {
    let handles = operator(pair).request("GET", "/api/v1/handles", &[], None).expect("an answer");
    let kinds = handles.json()["data"].as_array().expect("a list").clone();
    let http = kinds.iter().find(|kind| kind["kind"] == "http").expect("a kind");
    // But for the one that asks.
    http["descriptors"].as_u64().expect("a count") - 1
}

#[test]
fn who_half_closes_a_stream_or_a_wait_has_left() {
    let pair = Pair::start(&Options::default());
    let session = session(&pair);
    let post = json!({"content": "$ sleep 30"});
    let path = format!("/api/v1/sessions/{session}/messages");
    let posted = operator(&pair).request("POST", &path, &[], Some(&post)).expect("an answer");
    let turn = posted.json()["turn"]["id"].as_str().expect("an id").to_owned();
    poll::until(
        "nothing is held",
        Duration::from_secs(10),
        || held(&pair),
        |&held| (held == 0).then_some(()),
    );
    for (path, is_answered) in [
        (format!("/api/v1/sessions/{session}/events"), true),
        (format!("/api/v1/turns/{turn}?wait=60"), false),
    ] {
        // What follows the request is of no interest: it may be a line end of a script.
        for rest in ["", "\r\n", "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let mut stream = TcpStream::connect(pair.address()).unwrap();
            let bytes = format!("{}{rest}", request(&pair, "GET", &path, ""));
            stream.write_all(bytes.as_bytes()).unwrap();
            if is_answered {
                stream.read_exact(&mut [0; 12]).unwrap();
            } else {
                poll::until(
                    "it waits",
                    Duration::from_secs(10),
                    || held(&pair),
                    |&held| (held == 1).then_some(()),
                );
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let left = Instant::now();
            poll::until(
                "its permit is back",
                Duration::from_secs(10),
                || held(&pair),
                |&held| (held == 0).then_some(()),
            );
            let took = left.elapsed();
            assert!(took < Duration::from_secs(1), "{path}{rest:?}: {took:?}");
        }
    }
}

#[test]
fn a_stream_that_has_ended_is_answered_whole_to_who_half_closes() {
    let pair = Pair::start(&Options::default());
    let session = session(&pair);
    let turn = pair.post(&session, "$ echo done");
    let _ended = pair.wait_for_turn(&turn);
    let path = format!("/api/v1/sessions/{session}/events?until_turn={turn}");
    let port = pair.address().port().to_string();
    let arguments = ["-N", "127.0.0.1", &port];
    let (answer, _) = pipe("nc", &arguments, &request(&pair, "GET", &path, ""));
    assert!(answer.contains("turn.completed") && answer.ends_with("0\r\n\r\n"), "{answer}");
    // And one that has not: a script sees its beginning, and has to stay to see more.
    let turn = pair.post(&session, "$ sleep 30");
    let path = format!("/api/v1/turns/{turn}?wait=60");
    let (answer, took) = pipe("nc", &arguments, &request(&pair, "GET", &path, ""));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(answer, "", "who waits has left");
}

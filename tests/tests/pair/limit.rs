//! Limits: refused where they do not fit, and 503 where they are reached.

use std::time::{Duration, Instant};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    poll,
};

#[test]
fn a_descriptor_limit_below_the_budget_is_refused() {
    let options = Options { limit: Some(256), ..Options::default() };
    let mut pair = Pair::spawn(&options);
    assert_eq!(pair.wait_for_exit(), Some(78), "{}", pair.log());
    let log = pair.log();
    for wanted in ["256", "LimitNOFILE", "[budget]"] {
        assert!(log.contains(wanted), "{wanted:?} is missing in: {log}");
    }
}

#[test]
fn a_threshold_below_the_budget_is_refused() {
    let mut pair = Pair::spawn(&Options::config("[fd]\nthreshold = 100\n"));
    assert_eq!(pair.wait_for_exit(), Some(78), "{}", pair.log());
    assert!(pair.log().contains("fd.threshold"), "{}", pair.log());
}

#[test]
fn requests_beyond_the_last_permit_get_503_until_one_is_free() {
    let pair = Pair::start(&Options::config(
        "[budget]\nhttp = 8\n[http]\nreserved_unix = 0\nreserved_keys = 0\n\
         max_connections_per_address = 100\nmax_connections_per_key = 100\n",
    ));
    let (address, session) = (pair.address(), pair.session("runbook"));
    // Two of eight only refuse. Who waits for an answer keeps its place.
    let path = format!("/api/v1/sessions/{session}/events");
    let followers: Vec<_> = (0..6)
        .map(|_| {
            let mut connection = Connection::tcp(address).expect("a connection");
            connection.ask("GET", &path, &[], None).expect("it is sent");
            connection.head().expect("an answer");
            connection
        })
        .collect();
    let ask = || {
        let began = Instant::now();
        let answer = Connection::tcp(address)
            .and_then(|mut connection| connection.request("GET", "/api/v1/agents", &[], None));
        (
            answer.map(|answer| (answer.status, answer.header("retry-after").is_some())),
            began.elapsed(),
        )
    };
    let elapsed =
        poll::until("503 with Retry-After", Duration::from_secs(5), ask, |(answer, took)| {
            (*answer == Ok((503, true))).then_some(*took)
        });
    assert!(elapsed < Duration::from_secs(3), "refused after {elapsed:?}");
    drop(followers);
    poll::until("it recovers", Duration::from_secs(5), ask, |(answer, _)| {
        (*answer == Ok((200, false))).then_some(())
    });
}

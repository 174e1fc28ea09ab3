//! As many are admitted as the quota says, however many workers count.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use evonic_tests::{
    http::{Answer, Connection},
    pair::Pair,
    size,
};
use serde_json::json;

use super::{READ, fields::checked, limited};

/// Allowed a second, in the long run.
const RATE: f64 = 100.0;

/// At once after a pause. Also what clients may be late by, in seconds times the rate: a machine
/// that stands still for less than ten seconds loses nothing.
const BURST: f64 = 1000.0;

/// Both, as the configuration has it.
const QUOTA: &str = "\"1000/10s\"";

const CLIENTS: u32 = 8;

/// One answer.
struct Seen {
    /// When it was there.
    at: Instant,
    admitted: bool,
    generation: u64,
}

#[test]
fn two_overlapping_workers_admit_what_one_would() {
    let seconds = size::of("limit_seconds", 5, 60).max(5);
    let pair = limited(QUOTA, "", "");
    let (address, seen, done) = (pair.address(), Mutex::new(Vec::new()), AtomicBool::new(false));
    let began = Instant::now();
    let restarts = std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut kept = None;
                // First what is allowed at once, as fast as it goes; then twice the rate.
                let mut next = None;
                while !done.load(Ordering::Relaxed) {
                    if let Some(next) = &mut next {
                        std::thread::sleep(Instant::saturating_duration_since(
                            next,
                            Instant::now(),
                        ));
                        *next += Duration::from_secs_f64(f64::from(CLIENTS) / (2.0 * RATE));
                    }
                    let answer = ask(address, &mut kept);
                    let admitted = answer.status == 200;
                    if !admitted && next.is_none() {
                        next = Some(Instant::now());
                    }
                    let generation = generation(&answer);
                    let at = Instant::now();
                    seen.lock().expect("unpoisoned").push(Seen { at, admitted, generation });
                }
            });
        }
        let mut restarts = 0;
        while began.elapsed() < Duration::from_secs(seconds) {
            restart(&pair);
            restarts += 1;
        }
        done.store(true, Ordering::Relaxed);
        restarts
    });
    let seen = seen.into_inner().expect("unpoisoned");
    report(began, restarts, seen);
}

/// Asks on the kept connection, or a new one where the worker closed it.
fn ask(address: std::net::SocketAddr, kept: &mut Option<Connection>) -> Answer {
    let mut connection =
        kept.take().unwrap_or_else(|| Connection::tcp(address).expect("a connection"));
    let answer = connection.request("GET", READ, &[], None).expect("an answer");
    assert!(matches!(answer.status, 200 | 429), "{answer:?}");
    let _told = checked(&answer);
    if !connection.is_closing() {
        *kept = Some(connection);
    }
    answer
}

/// The worker that answered: the first half of the request's identifier.
fn generation(answer: &Answer) -> u64 {
    let id = answer.header("x-request-id").expect("every answer has one");
    id.split('-').next().and_then(|number| number.parse().ok()).expect("GENERATION-COUNT")
}

/// Two workers serve, until the older one has drained.
fn restart(pair: &Pair) {
    let (_, generation) = pair.worker();
    let asked = pair.ask(&json!({"op": "restart"}));
    assert!(asked.is_ok(), "{asked:?}");
    let _status = pair.wait_for_successor(generation);
}

fn report(began: Instant, restarts: u32, mut seen: Vec<Seen>) {
    seen.sort_by_key(|seen| seen.at);
    // Up to a refusal: at that moment nothing of the quota was left.
    let last = seen.iter().rposition(|seen| !seen.admitted).expect("twice the rate is refused");
    seen.truncate(last + 1);
    let elapsed = (seen[last].at - began).as_secs_f64();
    let admitted = seen.iter().filter(|seen| seen.admitted).count() as f64;
    let mut by_generation: BTreeMap<u64, u32> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| seen.admitted) {
        *by_generation.entry(seen.generation).or_default() += 1;
    }
    let changes = seen.windows(2).filter(|pair| pair[0].generation != pair[1].generation).count();
    let allowed = BURST + RATE * elapsed;
    let error = (admitted - allowed).abs() / allowed * 100.0;
    println!("{} requests in {elapsed:.2} s, {restarts} restarts:", seen.len());
    size::report("allowed", format!("{allowed:.1}"), "");
    size::report("admitted", format!("{admitted:.0}"), "");
    size::report("error", format!("{error:.3}"), "%");
    size::report("answers of another worker than the one before", changes, "");
    assert!(by_generation.len() >= 2, "more than one worker admitted: {by_generation:?}");
    assert!(error <= 1.0, "{admitted} of {allowed} were admitted: {error:.3} %");
}

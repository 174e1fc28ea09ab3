//! Many requests: the worker's descriptors end where they began.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    poll, process, size,
};
use serde_json::json;

/// Of one address: the pair's own client needs places, too.
const CONNECTIONS: u64 = 60;

#[test]
fn many_requests_leave_no_descriptor() {
    let requests = size::of("requests", 19_980, 100_020);
    let pair = Pair::start(&Options::default());
    let (worker, generation) = pair.worker();
    let session = pair.session("runbook");
    run(&pair, &session, 2_000);
    let before = settled(worker);

    let highest = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    let (mut samples, elapsed) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = process::descriptors(worker).unwrap_or(0);
                highest.fetch_max(now, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let began = Instant::now();
        let samples = run(&pair, &session, requests);
        done.store(true, Ordering::Relaxed);
        (samples, began.elapsed())
    });
    let after = settled(worker);
    let status = pair.status();
    let fd = &status.worker.as_ref().expect("a worker").fd;
    let budget = fd.budget.expect("a budget") + fd.baseline.expect("a baseline");

    println!("{requests} requests over {CONNECTIONS} connections, every tenth writes:");
    #[allow(clippy::cast_precision_loss, reason = "a figure for a person")]
    size::report("requests", format!("{:.0}", requests as f64 / elapsed.as_secs_f64()), "a second");
    size::report("median", size::ms(size::quantile(&mut samples, 0.5)), "ms");
    size::report("p99", size::ms(size::quantile(&mut samples, 0.99)), "ms");
    size::report(
        "descriptors before, highest, after",
        format!("{before}, {highest:?}, {after}"),
        "",
    );
    assert_eq!(before, after, "{:#?}", process::links(worker));
    let highest = highest.load(Ordering::Relaxed);
    assert!(highest <= budget as usize, "{highest} descriptors, of a budget of {budget}");
    assert_eq!(pair.worker(), (worker, generation), "the worker was not replaced");
}

/// The worker's descriptors when clients are gone and what lingers was closed.
fn settled(worker: u32) -> usize {
    let count = || process::descriptors(worker).unwrap_or(0);
    let mut last = (count(), Instant::now());
    poll::until("the count settles", Duration::from_secs(30), count, move |&now| {
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(3)).then_some(now)
    })
}

fn run(pair: &Pair, session: &str, requests: u64) -> Vec<Duration> {
    let address = pair.address();
    let path = format!("/api/v1/sessions/{session}");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let mut samples = Vec::new();
                    let mut connection = Connection::tcp(address).expect("a connection");
                    for number in 0..requests / CONNECTIONS {
                        let change = json!({"title": format!("title {number}")});
                        let began = Instant::now();
                        let answer = if number % 10 == 0 {
                            connection.request("PATCH", &path, &[], Some(&change))
                        } else {
                            connection.request("GET", &path, &[], None)
                        };
                        samples.push(began.elapsed());
                        let answer = answer.expect("an answer");
                        assert_eq!(answer.status, 200, "{}", answer.text());
                    }
                    samples
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    })
}

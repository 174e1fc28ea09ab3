//! However many requests: no more handles on the database than the budget says.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    poll, process, size,
};

use super::READ;

const CONNECTIONS: u64 = 64;

/// The keeper's two, the shared memory, and one that is parked for the next request.
const IDLE: usize = 4;

/// While a request has its handle: the parked one is in use, and the log once more.
const MOST: usize = IDLE + 1;

/// Descriptors of the limiter's database.
fn open(worker: u32) -> usize {
    let links = process::links(worker);
    links.iter().filter(|link| link.to_string_lossy().contains("/limits.db")).count()
}

#[test]
fn database_handles_stay_within_the_budget() {
    let requests = size::of("limit_requests", 5_000, 100_000);
    let pair = Pair::start(&Options::default());
    let ((worker, generation), address) = (pair.worker(), pair.address());
    let idle = |when: &str| {
        poll::until(
            when,
            Duration::from_secs(30),
            || open(worker),
            |&now| (now == IDLE).then_some(()),
        );
    };
    idle("idle before");
    let (highest, done, served) =
        (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                highest.fetch_max(open(worker), Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| {
                let served = &served;
                scope.spawn(move || {
                    let mut connection = Connection::tcp(address).expect("a connection");
                    let mine = requests / CONNECTIONS + u64::from(client < requests % CONNECTIONS);
                    for _ in 0..mine {
                        let answer = connection.request("GET", READ, &[], None).expect("an answer");
                        assert_eq!(answer.status, 200, "{answer:?}");
                        // Not counted would be no limits either.
                        assert!(answer.header("ratelimit").is_some(), "{answer:?}");
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "every request is answered");
    });
    let elapsed = began.elapsed();
    idle("back to the baseline");
    let highest = highest.into_inner();
    assert_eq!(served.into_inner() as u64, requests);
    println!("{requests} requests over {CONNECTIONS} connections, each counted:");
    size::report("requests", format!("{:.0}", requests as f64 / elapsed.as_secs_f64()), "a second");
    size::report("descriptors of limits.db: idle, highest", format!("{IDLE}, {highest}"), "");
    assert!(highest <= MOST, "{highest} descriptors of limits.db");
    assert_eq!(pair.worker(), (worker, generation), "the worker was not replaced");
}

//! What counting a request costs. Figures: how fast a machine is fails no test.

use std::time::{Duration, Instant};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    size,
};

use super::READ;

/// Medians of requests one after the other, and all of them from eight clients at once.
fn measure(pair: &Pair, requests: u64) -> (Duration, f64) {
    let address = pair.address();
    let run = |count: u64| {
        let mut connection = Connection::tcp(address).expect("a connection");
        let times = (0..count).map(|_| {
            let began = Instant::now();
            let answer = connection.request("GET", READ, &[], None).expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
            began.elapsed()
        });
        times.collect::<Vec<_>>()
    };
    let _warm = run(requests / 10);
    let mut alone = run(requests);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| run(requests / 4))).collect();
        for client in clients {
            let _times = client.join().expect("every request is answered");
        }
    });
    let rate = (requests / 4 * 8) as f64 / began.elapsed().as_secs_f64();
    (size::quantile(&mut alone, 0.5), rate)
}

#[test]
fn the_cost_of_counting_a_request() {
    let requests = size::of("limit_cost", 400, 20_000);
    let with = measure(&Pair::start(&Options::default()), requests);
    let off = Options::config("[limits]\nenabled = false\n");
    let without = measure(&Pair::start(&off), requests);
    println!("a read over a kept connection, by address and key, one window each:");
    for (name, (median, rate)) in [("on", with), ("off", without)] {
        let what = format!("limiter {name}: median");
        size::report(&what, size::ms(median), "ms");
        let what = format!("limiter {name}: eight clients");
        size::report(&what, format!("{rate:.0}"), "requests/s");
    }
    size::report("cost of counting", size::ms(with.0.saturating_sub(without.0)), "ms");
}

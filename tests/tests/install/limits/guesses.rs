//! Guesses of keys are slowed, whoever counts them, and show in the metrics.

use std::time::{Duration, Instant};

use evonic_tests::{http::Connection, pair::Pair, size};

use super::{CLIENT, READ, fields::checked, limited};

/// Guesses at once, and one more each second.
const BURST: u64 = 10;

/// A key of the right form that is none: one of the last characters is another.
fn forged(pair: &Pair, guess: u64) -> String {
    let key = pair.admin_key();
    let end = format!("{:06}", guess % 1_000_000);
    format!("{}{end}", &key[..key.len() - end.len()])
}

fn metric(pair: &Pair, line: &str) -> u64 {
    // Over the Unix socket, where nothing is limited.
    let mut connection = pair.operator().expect("a connection");
    let text = connection.request("GET", "/metrics", &[], None).expect("an answer").text();
    let found = text.lines().find_map(|at| at.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{line}: {text}")).parse().expect("a number")
}

#[test]
fn guesses_of_keys_are_slowed_and_counted() {
    let seconds = size::of("guess_seconds", 3, 30);
    let pair = limited("", "", "\"10/10s\"");
    let address = pair.address();
    let (mut refused, mut slowed) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let key = forged(&pair, refused + slowed);
        let mut connection =
            Connection::tcp_without_key(address).expect("a connection").showing(&key);
        let answer = connection.request("GET", READ, CLIENT, None).expect("an answer");
        match answer.status {
            401 => refused += 1,
            429 => {
                let _fields = checked(&answer);
                slowed += 1;
            }
            _ => panic!("{answer:?}"),
        }
    }
    let elapsed = began.elapsed();
    println!("{} guesses in {elapsed:.2?}:", refused + slowed);
    size::report("refused as an unknown key", refused, "");
    size::report("turned away", slowed, "");
    assert!(
        refused >= BURST && refused <= BURST + elapsed.as_secs() + 1,
        "{refused} in {elapsed:?}"
    );
    assert!(slowed > 0, "a guesser asks faster than that");
    // No key of an address that is turned away is looked at.
    let looked_at = metric(&pair, "evonic_authentication_failures_total");
    size::report("keys that were looked at", looked_at, "");
    assert!(
        (refused..=refused + elapsed.as_secs() + 1).contains(&looked_at),
        "{looked_at} for {refused}"
    );
    let line = "evonic_limits_limited_total{policy=\"failed-10s\",subject=\"failed\"}";
    assert_eq!(metric(&pair, line), slowed);
}

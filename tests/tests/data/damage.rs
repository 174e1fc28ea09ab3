//! A database with wrong bytes in it.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    time::{Duration, Instant},
};

use evonic_shared::{status::State, store_report::StoreState};
use evonic_tests::{
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};

use crate::{EAGER, ask_for_session, database, report, seen};

/// Where the file is spoiled.
const PLACES: u64 = 20;

#[test]
fn a_damaged_database_is_no_crash_loop_wherever_it_is_damaged() {
    let mut pair = Pair::start(&Options::config(EAGER));
    let session = pair.session("runbook");
    for number in 0..20 {
        let turn = pair.post(&session, &format!("$ seq {number} 200"));
        let _ = pair.wait_for_turn(&turn);
    }
    pair.stop();
    let whole = fs::read(database(&pair)).unwrap();
    let length = whole.len() as u64;
    let (mut noticed, mut generation) = (0, pair_generation(&pair));
    for place in 0..PLACES {
        fs::write(database(&pair), &whole).unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(database(&pair)).unwrap();
        file.seek(SeekFrom::Start(place * length / PLACES)).unwrap();
        file.write_all(&[0xa5; 300]).unwrap();
        drop(file);
        pair.start_again(&Options::config(EAGER), &[]);
        let status = pair.wait("a worker serves", |status| status.state == State::Running);
        let worker = status.worker.as_ref().expect("a worker");
        assert_eq!(worker.generation, generation + 1, "at {place}: {}", pair.log());
        generation = worker.generation;
        let _ = pair.expect(200, "GET", "/livez", None);
        // What can be read is; what cannot is said.
        let read = pair
            .operator()
            .and_then(|mut operator| operator.request("GET", "/api/v1/sessions", &[], None));
        let read = read.expect("an answer");
        assert!([200, 500, 503].contains(&read.status), "at {place}: {}", read.text());
        for part in ["messages", "turns", "items"] {
            let path = format!("/api/v1/sessions/{session}/{part}");
            let read =
                pair.operator().and_then(|mut operator| operator.request("GET", &path, &[], None));
            let read = read.expect("an answer");
            assert!([200, 404, 500, 503].contains(&read.status), "at {place}: {}", read.text());
        }
        let written = ask_for_session(&pair);
        assert!([201, 500, 503].contains(&written.status), "at {place}: {}", written.text());
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(250) && report(&pair.status()).is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(report) = report(&pair.status()) {
            assert_eq!(report.state, StoreState::Corrupt, "at {place}: {report:?}");
            assert_ne!(ask_for_session(&pair).status, 201, "at {place}");
            noticed += 1;
            if place == 0 {
                assert_documented("database … is damaged", &seen(&pair));
            }
        }
        assert_eq!(pair.worker().1, generation, "at {place}: {}", pair.log());
        pair.stop();
    }
    println!("{noticed} of {PLACES} places were noticed in {length} bytes");
    // Bytes within a text are a text.
    assert!(noticed >= 8, "{noticed}");
}

/// The last generation that was, of a pair that has stopped.
fn pair_generation(pair: &Pair) -> u64 {
    let other = rusqlite::Connection::open(database(pair)).unwrap();
    let sql = "SELECT MAX(number) FROM generations";
    let last: i64 = other.query_row(sql, [], |row| row.get(0)).unwrap();
    u64::try_from(last).unwrap()
}

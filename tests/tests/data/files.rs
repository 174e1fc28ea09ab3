//! Files of the database that go, or change, under the worker.

use std::{fs, time::Instant};

use evonic_shared::store_report::StoreState;
use evonic_tests::{
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};

use crate::{
    CONFIG, NOTICED, ask_for_session, database, readyz, report, seen, wait_for_state,
    wait_until_well,
};

/// The worker says what happened, takes no write, reads, and stays.
fn refuses_writes(pair: &Pair, state: StoreState, code: &str) {
    let (pid, _) = pair.worker();
    // At once: nothing is accepted that has no name.
    let answer = ask_for_session(pair);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains(code), "{}", answer.text());
    let began = Instant::now();
    let found = wait_for_state(pair, state);
    assert!(began.elapsed() < NOTICED, "{:?}", began.elapsed());
    assert!(found.detail.contains("evonic.db"), "{found:?}");
    let ready = readyz(pair);
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.text().contains(&found.detail), "{}", ready.text());
    let _ = pair.expect(200, "GET", "/livez", None);
    assert_eq!(pair.evonic(&["status", "--quiet"]).status.code(), Some(1), "it is no health");
    assert_eq!(pair.worker().0, pid, "{}", pair.log());
}

/// Removes the files of the database with these endings.
fn remove(pair: &Pair, endings: &[&str]) {
    for ending in endings {
        let mut path = database(pair).into_os_string();
        path.push(ending);
        // The last two are there while it is open.
        let _ = fs::remove_file(path);
    }
}

#[test]
fn a_database_that_is_removed_is_lost_and_never_made_anew() {
    let mut pair = Pair::start(&Options::config(CONFIG));
    let session = pair.session("runbook");
    let copy = pair.folder().join("copy.db");
    assert!(pair.evonic(&["backup", copy.to_str().unwrap()]).status.success());
    let (_, generation) = pair.worker();

    remove(&pair, &["", "-wal", "-shm"]);
    refuses_writes(&pair, StoreState::Lost, "database_lost");
    // What it had is still in its hands.
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert_eq!(sessions["data"][0]["id"], session.as_str(), "{sessions}");
    assert_documented("evonic.db is gone", &seen(&pair));

    pair.stop();
    pair.start_again(&Options::config(CONFIG), &[]);
    wait_for_state(&pair, StoreState::Lost);
    let words = seen(&pair);
    assert_documented("evonic.db is gone, or empty", &words);
    assert!(words.contains("database-id"), "it says how to begin anew: {words}");
    assert!(!database(&pair).exists());
    let answer = ask_for_session(&pair);
    assert_eq!(answer.status, 503, "{}", answer.text());
    let uptime = pair.status().worker.expect("a worker").generation;
    assert_eq!(uptime, generation + 1, "no crash loop: {}", pair.log());
    pair.stop();

    // As docs/install.md says.
    remove(&pair, &["", "-wal", "-shm"]);
    fs::copy(&copy, database(&pair)).unwrap();
    pair.start_again(&Options::config(CONFIG), &[]);
    wait_until_well(&pair);
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert_eq!(sessions["data"][0]["id"], session.as_str(), "{sessions}");
    pair.stop();

    remove(&pair, &["", "-wal", "-shm"]);
    fs::File::create(database(&pair)).unwrap();
    pair.start_again(&Options::config(CONFIG), &[]);
    wait_for_state(&pair, StoreState::Lost);
    pair.stop();
    fs::remove_file(pair.state_dir().join("database-id")).unwrap();
    pair.start_again(&Options::config(CONFIG), &[]);
    wait_until_well(&pair);
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert_eq!(sessions["data"].as_array().unwrap().len(), 0, "{sessions}");
}

#[test]
fn a_database_that_is_replaced_is_not_written_and_taken_by_the_next_worker() {
    let mut pair = Pair::start(&Options::config(CONFIG));
    let _ = pair.session("runbook");
    let copy = pair.folder().join("copy.db");
    assert!(pair.evonic(&["backup", copy.to_str().unwrap()]).status.success());
    // In the log of the former file only: it must not come into the copy.
    let _ = pair.session("runbook");
    let before = pair.status();
    assert!(report(&before).is_none(), "{before:?}");

    fs::rename(&copy, database(&pair)).unwrap();
    refuses_writes(&pair, StoreState::Replaced, "database_replaced");
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert_eq!(sessions["data"].as_array().unwrap().len(), 2, "those of the file in use");
    assert_documented("evonic.db is another file than the one that is in use", &seen(&pair));

    // Beside the one that has the former file open, its log would be taken for this one's.
    let (_, generation) = pair.worker();
    assert!(pair.evonic(&["restart"]).status.success());
    let _ = pair.wait_for_successor(generation);
    wait_for_state(&pair, StoreState::Replaced);
    assert_eq!(ask_for_session(&pair).status, 503);
    pair.stop();
    pair.start_again(&Options::config(CONFIG), &[]);
    wait_until_well(&pair);
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert_eq!(sessions["data"].as_array().unwrap().len(), 1, "those of the copy");
    let _ = pair.session("runbook");
}

#[test]
fn a_log_or_shared_memory_that_is_removed_stops_writes() {
    for ending in ["-wal", "-shm"] {
        let pair = Pair::start(&Options::config(CONFIG));
        let _ = pair.session("runbook");
        remove(&pair, &[ending]);
        refuses_writes(&pair, StoreState::Lost, "database_lost");
    }
}

#[test]
fn a_database_that_is_cut_short_is_damaged() {
    for part in [0, 2] {
        let pair = Pair::start(&Options::config(CONFIG));
        let _ = pair.session("runbook");
        let other = rusqlite::Connection::open(database(&pair)).unwrap();
        other.execute_batch("PRAGMA wal_checkpoint(FULL)").unwrap();
        drop(other);
        // A heartbeat later its size is known.
        let _ = pair.expect(200, "GET", "/readyz", None);
        let file = fs::OpenOptions::new().write(true).open(database(&pair)).unwrap();
        let bytes = file.metadata().unwrap().len();
        file.set_len(bytes.checked_div(part).unwrap_or(0)).unwrap();
        refuses_writes(&pair, StoreState::Corrupt, "database_corrupt");
        assert_documented("database … is damaged", &seen(&pair));
    }
}

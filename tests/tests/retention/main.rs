//! What is kept and what goes: sessions, pieces of logs, free pages, room on the disk; and sessions
//! and databases that are brought elsewhere.

mod floor;
mod folding;
mod load;
mod restore;
mod sessions;
mod transfer;

use std::{path::PathBuf, process::Output, time::Duration};

use evonic_tests::{
    pair::{Options, Pair},
    poll,
};
use rusqlite::Connection;
use serde_json::Value;

/// Heartbeats often, so that the status follows soon.
const CONFIG: &str = "[supervisor]\nheartbeat_interval = \"200ms\"\nheartbeat_timeout = \"20s\"\n\
                      grace = \"3s\"\n";

/// A pass begins some seconds after a worker's start.
const PASS: Duration = Duration::from_secs(60);

fn database(pair: &Pair) -> PathBuf {
    pair.state_dir().join("evonic.db")
}

/// Stops the pair, changes its database, and starts it again.
fn change_database(pair: &mut Pair, options: &Options, change: impl FnOnce(&Connection)) {
    assert_eq!(pair.stop(), Some(0), "{}", pair.log());
    let connection = Connection::open(database(pair)).expect("the database");
    change(&connection);
    drop(connection);
    pair.start_again(options, &[]);
    pair.wait("it serves", |status| status.state == evonic_shared::status::State::Running);
}

/// So many days were seen, and what is there is older than that by the clock.
fn pass_days(connection: &Connection, days: u32) {
    let sql = format!(
        "INSERT INTO days (day, uptime, boot, audit)
             WITH RECURSIVE days_ago (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM days_ago WHERE n < {days})
             SELECT 'passed ' || n, 0, '', 0 FROM days_ago;
         UPDATE sessions SET updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days', '-1 hour');"
    );
    connection.execute_batch(&sql).expect("days pass");
}

/// The logs are marked to be folded, as they are after a first pass, before those days.
fn mark(connection: &Connection) {
    let sql = "UPDATE sessions SET fold_to = last_event, fold_day = 1,
                   fold_at = '2000-01-01T00:00:00.000Z' WHERE last_event > 0";
    connection.execute_batch(sql).expect("marks");
}

/// The names of a session's events after one of them, in order, with their numbers.
fn events(pair: &Pair, session: &str) -> Vec<(u64, String)> {
    let connection = Connection::open(database(pair)).expect("the database");
    let sql = "SELECT sequence, name FROM events WHERE session_id = ?1 ORDER BY sequence";
    let mut statement = connection.prepare(sql).expect("a statement");
    let rows = statement.query_map([session], |row| {
        let sequence: i64 = row.get(0)?;
        Ok((sequence.cast_unsigned(), row.get(1)?))
    });
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

/// A metric without labels, or with these.
fn metric(pair: &Pair, name: &str) -> Option<f64> {
    let text = pair.request("GET", "/metrics", None).ok()?.text();
    let line =
        text.lines().find(|line| line.strip_prefix(name).is_some_and(|l| l.starts_with(' ')));
    line?.rsplit(' ').next()?.parse().ok()
}

/// Waits until this holds of the worker's part of the status.
fn wait_for_storage(pair: &Pair, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    poll::until(
        what,
        PASS,
        || {
            let status = serde_json::to_value(pair.status()).unwrap_or_default();
            status["worker"]["storage"].clone()
        },
        |storage| holds(storage).then(|| storage.clone()),
    )
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs `evonic`, which must end well; what it printed.
fn evonic(pair: &Pair, arguments: &[&str]) -> String {
    let output = pair.evonic(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

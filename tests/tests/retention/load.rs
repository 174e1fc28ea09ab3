//! Many events: folded under load, given back, and no reason to start later.

use std::{
    fs,
    time::{Duration, Instant},
};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    poll,
    size::{self, ms, quantile, report},
};
use rusqlite::Connection as Database;

use crate::{change_database, database, mark, metric, pass_days};

/// No worker is waited for after a kill, so that none lives long enough to fold; and a disk that is
/// slow for a moment replaces no worker.
const CONFIG: &str = "[supervisor]\nheartbeat_interval = \"200ms\"\nheartbeat_timeout = \"20s\"\n\
                      grace = \"3s\"\nstable_after = \"100ms\"\nbackoff_base = \"10ms\"\n\
                      backoff_cap = \"50ms\"\n";

/// Events of a session.
const EVENTS: u64 = 1000;

/// Starts that are compared; the fastest of each counts.
const STARTS: usize = 10;

/// Adds sessions with a turn each, whose text came in many pieces.
fn fill(connection: &Database, sessions: u64) {
    let deltas = EVENTS - 5;
    let sql = format!(
        "PRAGMA synchronous = OFF;
         CREATE TEMP TABLE n AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {sessions}) SELECT n FROM c;
         CREATE TEMP TABLE d AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {deltas}) SELECT n FROM c;
         CREATE TEMP TABLE e (sequence, name, more);
         INSERT INTO e VALUES (1, 'message.created', ',\"message_id\":\"msg_0190c2a1b3c47d5e8f60718293a4b5c7\",\"role\":\"user\",\"content\":\"go\"'),
             (2, 'turn.started', ',\"generation\":1'),
             ({deltas} + 3, 'step.completed', ',\"step\":1,\"text\":\"all of it\",\"usage\":{{\"input_tokens\":0,\"output_tokens\":0}}'),
             ({deltas} + 4, 'message.created', ',\"message_id\":\"msg_0190c2a1b3c47d5e8f60718293a4b5c8\",\"role\":\"assistant\",\"content\":\"all of it\"'),
             ({deltas} + 5, 'turn.completed', ',\"usage\":{{\"input_tokens\":0,\"output_tokens\":0}}');
         INSERT INTO e SELECT n + 2, 'text.delta', ',\"text\":\"a few words of it\"' FROM d;
         BEGIN;
         INSERT INTO sessions (id, agent_id, title, last_event, created_at, updated_at)
             SELECT printf('ses_0190c2a1b3c47d5e8f607182%08x', n), (SELECT id FROM agents LIMIT 1), '', {EVENTS}, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z' FROM n;
         INSERT INTO turns (id, session_id, state, steps, cancel_requested, partial_text, input_tokens, output_tokens, created_at, ended_at)
             SELECT printf('trn_0190c2a1b3c47d5e8f607182%08x', n), printf('ses_0190c2a1b3c47d5e8f607182%08x', n), 'completed', 1, 0, 0, 0, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z' FROM n;
         INSERT INTO events (session_id, sequence, name, data)
             SELECT printf('ses_0190c2a1b3c47d5e8f607182%08x', n), sequence, name,
                 printf('{{\"turn_id\":\"trn_0190c2a1b3c47d5e8f607182%08x\",\"at\":\"2026-01-01T00:00:00.000Z\",\"type\":\"%s\"%s}}', n, name, more)
             FROM n CROSS JOIN e ORDER BY n, sequence;
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE);"
    );
    connection.execute_batch(&sql).expect("it is filled");
}

/// The fastest start of a pair's workers, as they log them.
fn fastest_start(pair: &Pair) -> Duration {
    let log = pair.log();
    let starts =
        log.lines().filter(|line| line.contains(" ready ") && line.contains("elapsed_ms="));
    let elapsed = starts.filter_map(|line| {
        let text = line.split("elapsed_ms=").nth(1)?.split_whitespace().next()?;
        text.parse().ok().map(Duration::from_millis)
    });
    elapsed.min().unwrap_or_else(|| panic!("no start in the log:\n{log}"))
}

/// For how long reads are timed: a pass begins five seconds after a start.
const READING: Duration = Duration::from_secs(3);

/// How long reads of a session take.
fn reads(pair: &Pair, sessions: u64) -> Vec<Duration> {
    let mut connection = Connection::tcp(pair.address()).expect("a connection");
    let (began, mut took) = (Instant::now(), Vec::new());
    while began.elapsed() < READING {
        let session = took.len() as u64 * 7919 % sessions + 1;
        let path = format!("/api/v1/sessions/ses_0190c2a1b3c47d5e8f607182{session:08x}/turns");
        let asked = Instant::now();
        let answer = connection.request("GET", &path, &[], None).expect("an answer");
        took.push(asked.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text());
        std::thread::sleep(Duration::from_millis(1));
    }
    took
}

#[test]
fn many_events_are_folded_without_harm_and_start_as_soon_as_none() {
    let events = size::of("retention_events", 20_000, 1_000_000);
    let (sessions, full) = (events / EVENTS, size::is_full());
    let empty = Pair::start(&Options::config(CONFIG));
    let options = Options::config(CONFIG);
    let mut pair = Pair::start(&options);
    change_database(&mut pair, &options, |connection| {
        fill(connection, sessions);
        mark(connection);
        pass_days(connection, 3);
    });
    let before = fs::metadata(database(&pair)).expect("the database").len();
    // In turns: what else the machine does hits both.
    for _ in 0..STARTS {
        let _ = empty.kill_worker();
        let _ = pair.kill_worker();
    }
    let (nothing, many) = (fastest_start(&empty), fastest_start(&pair));
    drop(empty);
    report("start of a worker, empty", ms(nothing), "ms");
    report(&format!("start of a worker, {events} events"), ms(many), "ms");
    // Some milliseconds are the machine's.
    let bound = nothing.mul_f64(if full { 1.5 } else { 5.0 }) + Duration::from_millis(20);
    assert!(many <= bound, "{many:?}, with nothing {nothing:?}");

    // The first pass begins five seconds after a start.
    let folded = || metric(&pair, "evonic_retention_removed_total{what=\"event\"}").unwrap_or(0.0);
    let mut calm = reads(&pair, sessions);
    assert!(folded() < 1.0, "the pass began too early to compare");
    poll::until("folding begins", Duration::from_secs(60), folded, |count| {
        (*count > 0.0).then_some(())
    });
    let began = Instant::now();
    let mut busy = reads(&pair, sessions);
    let during = folded();
    let (calm, busy) = (quantile(&mut calm, 0.99), quantile(&mut busy, 0.99));
    report("p99 of reads, calm", ms(calm), "ms");
    report("p99 of reads, while a log is folded", ms(busy), "ms");
    let factor = if full { 1.5 } else { 5.0 };
    assert!(busy <= calm.mul_f64(factor) + Duration::from_millis(2), "{busy:?}, calm {calm:?}");
    assert!(!full || during < events as f64 * 0.9, "it was over too early to compare");

    let wanted = (sessions * (EVENTS - 5)) as f64;
    let limit = Duration::from_secs(if full { 1500 } else { 120 });
    poll::until("all is folded", limit, folded, |count| (*count >= wanted).then_some(()));
    report("folding", format!("{:.0}", events as f64 / began.elapsed().as_secs_f64()), "events/s");
    let after = poll::until(
        "the file is smaller",
        limit,
        || fs::metadata(database(&pair)).map_or(u64::MAX, |found| found.len()),
        |after| (*after < before / 2).then_some(*after),
    );
    report("the file before", before >> 10, "KiB");
    report("the file after", after >> 10, "KiB");
    report("folding and giving back", began.elapsed().as_secs(), "s");
}

//! Who changed what, and when.

use std::{net::IpAddr, str::FromStr};

use rusqlite::Connection;

use super::*;
use evonic_domain::{Action, AuditRecord};

/// What no record may hold.
const MARKER: &str = "a-secret-that-was-planted";

fn origin() -> Origin {
    Origin {
        actor: "key_0190c2a1b3c47d5e8f60718293a4b5c6".to_owned(),
        address: Some(IpAddr::from_str("192.0.2.7").unwrap()),
        request_id: Some("3-14".to_owned()),
    }
}

fn log(harness: &Harness) -> Vec<AuditRecord> {
    harness.read(|reader| reader.audit(&AuditQuery::default(), &WHOLE)).data
}

fn said(harness: &Harness) -> Vec<String> {
    let line = |record: AuditRecord| {
        let name = record.target.name.unwrap_or_default();
        let line = format!("{} {name} {}", record.action.name(), record.fields.join(","));
        line.trim_end().to_owned()
    };
    log(harness).into_iter().map(line).collect()
}

/// The database without the store: what a mistake in the store could do.
#[expect(clippy::disallowed_methods, reason = "a test looks at the file behind the store's back")]
fn behind(harness: &Harness) -> Connection {
    let connection = Connection::open(&harness.path).unwrap();
    connection.busy_timeout(DEADLINE).unwrap();
    connection
}

fn add_old(harness: &Harness, count: usize) {
    let connection = behind(harness);
    for _ in 0..count {
        connection
            .execute(
                "INSERT INTO audit (at, actor, action, target, fields)
                 VALUES ('2020-01-01T00:00:00.000Z', 'old', 'agent.create', 'agt_x', '[]')",
                [],
            )
            .unwrap();
    }
}

#[test]
fn a_change_says_who_made_it_from_where_and_when() {
    let harness = Harness::new();
    let before = column::now();
    let make = |writer: &mut AuditedWriter<'_, '_>| writer.create_agent(new_agent("scribe"));
    let agent = harness.wait(harness.store.change(origin(), make)).unwrap();
    let log = log(&harness);
    let [record] = &log[..] else { panic!("{log:?}") };
    assert_eq!(record.actor, origin().actor);
    assert_eq!(record.address.as_deref(), Some("192.0.2.7"));
    assert_eq!(record.request_id.as_deref(), Some("3-14"));
    assert_eq!(record.action, Action::AgentCreate);
    assert_eq!(
        (record.target.kind.as_str(), record.target.id.as_str()),
        ("agent", agent.id.as_str())
    );
    assert_eq!(record.target.name.as_deref(), Some("scribe"));
    assert!(before <= record.at && record.at <= column::now(), "{record:?}");
}

#[test]
fn what_changed_is_named_and_not_told() {
    let harness = Harness::new();
    let mut new = new_agent("scribe");
    new.instructions = MARKER.to_owned();
    let agent = harness.write(|writer| writer.create_agent(new)).id;
    let change = AgentChange {
        name: Some("clerk".parse().unwrap()),
        model: Some("runbook".to_owned()),
        instructions: Some(format!("{MARKER} too")),
        ..AgentChange::default()
    };
    let id = agent.clone();
    harness.write(move |writer| writer.change_agent(&id, change));
    let session = harness.session().id;
    let change = SessionChange { title: Some(MARKER.to_owned()) };
    let id = session.clone();
    harness.write(move |writer| writer.change_session(&id, change));
    let id = session.clone();
    harness.write(move |writer| writer.change_session(&id, SessionChange::default()));
    let turn = harness.post(&session, MARKER);
    harness.write(move |writer| writer.request_cancel(&turn));
    let id = session.clone();
    harness.write(move |writer| writer.delete_session(&id));
    harness.write(move |writer| writer.delete_agent(&agent));
    assert_eq!(
        said(&harness),
        [
            "agent.create scribe".to_owned(),
            "agent.update scribe instructions,name".to_owned(),
            "session.create".to_owned(),
            "session.update  title".to_owned(),
            "session.update".to_owned(),
            format!("message.create {session}"),
            format!("turn.cancel {session}"),
            "session.delete".to_owned(),
            "agent.delete clerk".to_owned(),
        ]
    );
    let planted = "SELECT COUNT(*) FROM audit WHERE instr(quote(target) || quote(target_name)
         || quote(fields) || quote(actor) || quote(request_id), ?1)";
    let count: u32 = behind(&harness).query_row(planted, [MARKER], |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
}

#[test]
fn what_changes_nothing_leaves_no_record() {
    let harness = Harness::new();
    let session = harness.session().id;
    let post = |key: &'static str| {
        let id = session.clone();
        harness.write(move |writer| writer.post_message(&id, "go", Some(key), 10, None)).turn.id
    };
    let (turn, _) = (post("once"), post("once"));
    for _ in 0..2 {
        let turn = turn.clone();
        harness.write(move |writer| writer.request_cancel(&turn));
    }
    let words: Vec<_> = log(&harness).iter().map(|record| record.action.name()).collect();
    assert_eq!(words, ["session.create", "message.create", "turn.cancel"]);
}

#[test]
fn a_change_that_fails_leaves_no_record() {
    let harness = Harness::new();
    let twice = |writer: &mut AuditedWriter<'_, '_>| {
        writer.create_agent(new_agent("one"))?;
        writer.create_agent(new_agent("one"))
    };
    assert_conflict(harness.try_write(twice), "name_taken");
    let panics = |writer: &mut AuditedWriter<'_, '_>| -> Result<(), StoreError> {
        writer.create_agent(new_agent("two"))?;
        panic!("as a defect does");
    };
    assert!(matches!(harness.try_write(panics), Err(StoreError::Panicked)));
    assert_eq!(log(&harness), []);
}

#[test]
fn a_record_that_cannot_be_written_undoes_its_change() {
    let harness = Harness::new();
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN
         SELECT RAISE(ABORT, 'no room'); END";
    behind(&harness).execute_batch(broken).unwrap();
    let session = harness.try_write(|writer| writer.create_session(new_session("runbook")));
    assert!(matches!(session, Err(StoreError::Sql { operation: "record change", .. })));
    let agent = harness.try_write(|writer| writer.create_agent(new_agent("scribe")));
    assert!(matches!(agent, Err(StoreError::Sql { .. })), "{agent:?}");
    let work = harness.try_write(|writer| writer.record(Action::CopyCreate, "x", None, &[]));
    assert!(matches!(work, Err(StoreError::Sql { .. })), "{work:?}");
    assert_eq!(harness.read(|reader| reader.sessions(None, &WHOLE)).data, []);
    let named = harness.try_read(|reader| reader.agent("scribe"));
    assert_missing(named, "agent");
    behind(&harness).execute_batch("DROP TRIGGER broken").unwrap();
    harness.session();
}

#[test]
fn old_records_go_a_few_at_a_time_and_young_ones_never() {
    let harness = Harness::new();
    harness.session();
    let oldest = log(&harness).remove(0).position;
    add_old(&harness, 10);
    harness.session();
    let left = || {
        let count = "SELECT COUNT(*) FROM audit WHERE actor = 'old'";
        behind(&harness).query_row(count, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    assert_eq!(left(), 10, "the clock may have been set forwards: no days were seen since");
    harness.pass_days(29);
    harness.session();
    assert_eq!(left(), 10);
    harness.pass_days(1);
    // The young one among them stays.
    for expected in [6, 2, 0, 0] {
        harness.session();
        assert_eq!(left(), expected);
    }
    assert_eq!(log(&harness).remove(0).position, oldest);
    assert_eq!(log(&harness).len(), 7);
}

#[test]
fn the_log_is_not_changed_and_keeps_what_is_young() {
    let harness = Harness::new();
    harness.session();
    add_old(&harness, 2);
    let connection = behind(&harness);
    let refused = |sql: &str| connection.execute(sql, []).unwrap_err().to_string();
    assert_eq!(refused("UPDATE audit SET actor = 'nobody'"), "the audit log is not changed");
    assert_eq!(refused("DELETE FROM audit"), "the audit log keeps this");
    assert_eq!(connection.execute("DELETE FROM audit WHERE actor = 'old'", []).unwrap(), 2);
    assert_eq!(log(&harness).len(), 1);
}

#[test]
fn positions_are_never_given_twice() {
    let harness = Harness::new();
    add_old(&harness, 3);
    behind(&harness).execute("DELETE FROM audit", []).unwrap();
    harness.session();
    assert_eq!(log(&harness)[0].position, 4);
}

/// The positions of all pages of a query, and how many pages there were.
fn pages(harness: &Harness, query: &AuditQuery, limit: u32) -> (Vec<u64>, usize) {
    let (mut positions, mut count, mut after) = (Vec::new(), 0, None);
    loop {
        let (query, paging) = (query.clone(), Paging { limit, after });
        let page = harness.read(move |reader| reader.audit(&query, &paging));
        positions.extend(page.data.iter().map(|record| record.position));
        count += 1;
        match page.next {
            Some(cursor) => after = Some(cursor),
            None => return (positions, count),
        }
    }
}

#[test]
fn pages_lead_from_end_to_end_in_both_orders() {
    let harness = Harness::new();
    for _ in 0..7 {
        harness.session();
    }
    for limit in [1, 2, 3, 7, 8] {
        let query = AuditQuery::default();
        assert_eq!(pages(&harness, &query, limit).0, (1..=7).collect::<Vec<_>>(), "{limit}");
        let query = AuditQuery { order: Order::NewestFirst, ..AuditQuery::default() };
        assert_eq!(pages(&harness, &query, limit).0, (1..=7).rev().collect::<Vec<_>>(), "{limit}");
    }
    for order in [Order::OldestFirst, Order::NewestFirst] {
        for odd in ["", "x", "-1", "99999999999999999999"] {
            let query = AuditQuery { order, ..AuditQuery::default() };
            let paging = Paging { limit: 10, after: Some(Cursor(odd.to_owned())) };
            let page = harness.read(move |reader| reader.audit(&query, &paging));
            let all = order == Order::OldestFirst && odd == "-1";
            assert_eq!(page.data.len(), if all { 7 } else { 0 }, "{order:?} {odd:?}");
            assert_eq!(page.next, None, "{order:?} {odd:?}");
        }
    }
}

#[test]
fn a_filter_finds_what_fits_and_looks_at_a_bounded_part_at_once() {
    let harness = Harness::new();
    let session = harness.session().id;
    let make = |writer: &mut AuditedWriter<'_, '_>| writer.create_agent(new_agent("scribe"));
    harness.wait(harness.store.change(origin(), make)).unwrap();
    let turn = harness.post(&session, "go");
    // Many others, as in a long log.
    behind(&harness)
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
             INSERT INTO audit (at, actor, action, target, fields)
             SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'many', 'agent.create', 'x', '[]'
             FROM n",
        )
        .unwrap();
    harness.write(move |writer| writer.request_cancel(&turn));
    let end = 50_004;
    let base = AuditQuery::default;
    for (query, expected) in [
        (AuditQuery { actor: Some(origin().actor), ..base() }, vec![2]),
        (AuditQuery { target: Some("scribe".to_owned()), ..base() }, vec![2]),
        (AuditQuery { target: Some(session.to_string()), ..base() }, vec![1, 3, end]),
        (AuditQuery { action: Some(Action::TurnCancel), ..base() }, vec![end]),
        (AuditQuery { actor: Some("nobody".to_owned()), ..base() }, vec![]),
    ] {
        let (found, count) = pages(&harness, &query, 200);
        assert_eq!((found, count), (expected.clone(), 3), "{query:?}");
        let query = AuditQuery { order: Order::NewestFirst, ..query };
        let (found, count) = pages(&harness, &query, 200);
        assert_eq!((found, count), (expected.into_iter().rev().collect(), 3), "{query:?}");
    }
}

#[test]
fn a_day_counts_after_half_a_day_of_uptime_or_a_start_of_the_machine() {
    let harness = Harness::new();
    let first = harness.write(|writer| writer.see_day());
    assert_eq!(harness.write(|writer| writer.see_day()), first, "a day counts once");
    let change = |column: &str| {
        let sql = format!("UPDATE days SET {column}");
        harness.write(move |writer| writer.execute("change a day", &sql, []).map(drop));
    };
    change("day = '2001-01-01'");
    assert_eq!(harness.write(|writer| writer.see_day()), first, "the clock may have stepped");
    change("boot = 'the one before'");
    assert_eq!(harness.write(|writer| writer.see_day()), first + 1, "no uptime tells it");
    change("day = hex(randomblob(8)), uptime = uptime - 43200");
    assert_eq!(harness.write(|writer| writer.see_day()), first + 2);
}

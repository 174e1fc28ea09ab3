//! What is kept, and what goes little by little.

use std::{collections::HashMap, num::NonZeroU32};

use super::*;
use evonic_domain::{Age, AgentId, Retention};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Keeps sessions so long.
pub(super) fn keep(sessions: Option<Duration>) -> Keep {
    let general = Retention { sessions: sessions.map(Age::from), max_sessions: None };
    Keep { general, agents: HashMap::new(), deltas: DAY }
}

impl Harness {
    fn upkeep(&self, keep: Keep) -> UpkeepPage {
        self.read(move |reader| reader.upkeep("", &keep))
    }

    /// A session with a turn whose text came in so many pieces.
    fn told(&self, pieces: usize) -> (SessionId, TurnId) {
        let lease = self.running(1).lease;
        let (session, turn) = (lease.session_id.clone(), lease.turn_id.clone());
        self.write(move |writer| {
            for _ in 0..pieces {
                writer.append(&lease, vec![delta("x")])?;
            }
            writer.record_reply(
                &lease,
                NewReply {
                    text: "x".repeat(pieces),
                    tool_calls: Vec::new(),
                    ..NewReply::default()
                },
            )?;
            writer.end_turn(&lease, completed("x"))
        });
        (session, turn)
    }

    /// What happened is older by the clock, by so many days.
    fn age(&self, days: u32) {
        self.write(move |writer| {
            let then = column::before(DAY * days);
            writer.execute("age", "UPDATE sessions SET updated_at = ?1", [&then])?;
            let sql = "UPDATE sessions SET fold_at = ?1 WHERE fold_at IS NOT NULL";
            writer.execute("age", sql, [&then])
        });
    }

    fn mark(&self) {
        let marks = self.upkeep(keep(None)).marks;
        self.write(move |writer| writer.mark(&marks));
    }

    fn fold(&self, fold: Fold) {
        let plan = self.read({
            let fold = fold.clone();
            move |reader| reader.fold_plan(&fold)
        });
        self.write(move |writer| {
            for portion in plan.portions(3) {
                writer.take_pieces(&fold.id, &portion)?;
            }
            writer.folded(&fold.id, plan.upto)
        });
    }

    fn bounds(&self, session: &SessionId) -> LogBounds {
        let id = session.clone();
        self.read(move |reader| reader.log_bounds(&id))
    }
}

#[test]
fn a_log_is_folded_a_day_after_its_turns_have_ended() {
    let harness = Harness::new();
    let (session, _) = harness.told(7);
    let before = harness.events(&session);
    assert_eq!(harness.upkeep(keep(None)).folds, [], "it is not marked");
    harness.mark();
    let page = harness.upkeep(keep(None));
    assert_eq!((page.folds, page.marks), (vec![], vec![]), "a day is not over");
    assert_eq!((page.sessions, page.events), (1, before.len() as u64));
    harness.age(2);
    assert_eq!(harness.upkeep(keep(None)).folds, [], "by the clock alone");
    harness.pass_days(2);
    let page = harness.upkeep(keep(None));
    let last = before.len() as u64;
    assert_eq!(page.folds, [Fold { id: session.clone(), after: 0, upto: last }]);
    harness.fold(page.folds[0].clone());
    let after = harness.events(&session);
    let whole: Vec<_> = before.into_iter().filter(|event| event.name != "text.delta").collect();
    assert_eq!(after, whole, "the rest is as it was, its numbers too");
    assert_eq!(harness.bounds(&session), LogBounds { last, folded: last });
    let page = harness.upkeep(keep(None));
    assert_eq!((page.folds, page.marks, page.events), (vec![], vec![], last - 7));
}

#[test]
fn the_log_of_a_running_turn_is_not_folded() {
    let harness = Harness::new();
    let (session, _) = harness.told(2);
    let ended = harness.bounds(&session).last;
    harness.post(&session, "more");
    let lease = harness.claim(1).unwrap().lease;
    let running = lease.clone();
    harness.write(move |writer| writer.append(&running, vec![delta("y"), delta("z")]));
    let marks = harness.upkeep(keep(None)).marks;
    // Its message stands before its beginning.
    assert_eq!(marks, [Mark { id: session.clone(), upto: ended + 1 }]);
    harness.mark();
    harness.age(3);
    harness.pass_days(2);
    harness.fold(harness.upkeep(keep(None)).folds[0].clone());
    let names = harness.names(&session);
    assert_eq!(names.iter().filter(|name| *name == "text.delta").count(), 2, "{names:?}");
    harness.write(move |writer| writer.end_turn(&lease, TurnEnd::Cancelled));
    harness.mark();
    harness.age(3);
    harness.pass_days(2);
    harness.fold(harness.upkeep(keep(None)).folds[0].clone());
    let names = harness.names(&session);
    assert_eq!(names.iter().filter(|name| *name == "text.delta").count(), 2, "no step has them");
}

#[test]
fn a_session_expires_by_the_clock_and_by_days_that_were_seen() {
    let harness = Harness::new();
    let (session, _) = harness.told(1);
    let month = Some(DAY * 30);
    harness.age(31);
    assert_eq!(harness.upkeep(keep(month)).expired, [], "a clock that steps makes nothing old");
    harness.pass_days(31);
    assert_eq!(harness.upkeep(keep(None)).expired, [], "for ever");
    let expired = harness.upkeep(keep(month)).expired;
    assert_eq!(expired.len(), 1);
    // A message that comes meanwhile keeps it.
    harness.post(&session, "wait");
    let agent = harness.read(|reader| reader.agent("runbook"));
    let (of, late) = (agent.clone(), expired.clone());
    assert_eq!(harness.write(move |writer| writer.expire_sessions(&of, &late)), []);
    let lease = harness.claim(1).unwrap().lease;
    assert_eq!(harness.upkeep(keep(month)).expired, [], "it is busy");
    harness.write(move |writer| writer.end_turn(&lease, TurnEnd::Cancelled));
    harness.age(31);
    harness.pass_days(31);
    let expired = harness.upkeep(keep(month)).expired;
    let gone = harness.write(move |writer| writer.expire_sessions(&agent, &expired));
    assert_eq!(gone, std::slice::from_ref(&session));
    assert_missing(
        harness.try_read({
            let id = session.clone();
            move |reader| reader.session(&id)
        }),
        "session",
    );
    let query = AuditQuery::default();
    let record = harness.read(move |reader| reader.audit(&query, &WHOLE)).data.pop().unwrap();
    assert_eq!(
        (record.action.name(), record.fields),
        ("agent.expire", vec!["sessions=1".to_owned()])
    );
    let hidden = harness.upkeep(keep(month)).hidden;
    assert_eq!(hidden, [(session.clone(), "removed".to_owned())]);
    assert!(harness.write(move |writer| writer.purge_some(session.as_str())));
    assert_eq!(harness.upkeep(keep(month)).hidden, []);
}

#[test]
fn an_agent_keeps_as_many_sessions_as_it_may_and_those_that_are_busy() {
    let harness = Harness::new();
    let ended: Vec<_> = (0..4).map(|_| harness.told(1).0).collect();
    let busy = harness.session();
    harness.post(&busy.id, "busy");
    let id = busy.id.clone();
    harness.write(move |writer| {
        let sql = "UPDATE sessions SET updated_at = '2000' WHERE id = ?1";
        writer.execute("age", sql, [id.as_str()])
    });
    let agent = busy.agent_id;
    let surplus = |most| {
        let agent = agent.clone();
        let found = harness.read(move |reader| reader.surplus(&agent, most, 100));
        found.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(surplus(5), []);
    // The busy one counts, and stays.
    assert_eq!(surplus(3), ended[..2]);
    assert_eq!(surplus(1), ended);
}

#[test]
fn an_agent_has_a_retention_of_its_own() {
    let harness = Harness::new();
    let most = NonZeroU32::new(9);
    let own = Retention { sessions: Some(Age::from(DAY * 3)), max_sessions: most };
    let change = AgentChange { retention: Some(Some(own.clone())), ..AgentChange::default() };
    let id = harness.read(|reader| reader.agent("runbook")).id;
    let agent = id.clone();
    let changed = harness.write(move |writer| writer.change_agent(&agent, change));
    assert_eq!(changed.retention, Some(own.clone()));
    assert_eq!(harness.read(|reader| reader.agent("runbook")).retention, Some(own.clone()));
    let query = AuditQuery::default();
    let record = harness.read(move |reader| reader.audit(&query, &WHOLE)).data.pop().unwrap();
    assert_eq!(record.fields, ["retention"]);
    let mut all = keep(Some(DAY * 30));
    all.agents.insert(id.clone(), own.clone());
    assert_eq!((all.of(&id), all.of(&AgentId::new())), (&own, &all.general));
}

#[test]
fn a_long_session_that_is_deleted_goes_little_by_little() {
    let harness = Harness::new();
    let (session, _) = harness.told(2000);
    let id = session.clone();
    assert!(!harness.write(move |writer| writer.delete_session(&id)), "all at once");
    assert_missing(
        harness.try_read({
            let id = session.clone();
            move |reader| reader.session(&id)
        }),
        "session",
    );
    let id = session.clone();
    let posted = harness.try_write(move |writer| writer.post_message(&id, "hi", None, 9, None));
    assert_missing(posted, "session");
    let mut rounds = 0;
    while !harness.write({
        let id = session.clone();
        move |writer| writer.purge_some(id.as_str())
    }) {
        rounds += 1;
    }
    assert!(rounds >= 2, "{rounds}");
    let left = harness.read(|reader| {
        let sql = "SELECT (SELECT COUNT(*) FROM events) + (SELECT COUNT(*) FROM turns)
                       + (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM items) AS count";
        reader.one("count", sql, [], |row| row.get::<_, i64>("count"))
    });
    assert_eq!(left, 0);
}

#[test]
fn free_pages_are_given_back_once_a_quarter_is_free() {
    let harness = Harness::new();
    let (session, _) = harness.told(20);
    let lease = {
        harness.post(&session, "big");
        harness.claim(1).unwrap().lease
    };
    harness.write(move |writer| {
        for _ in 0..200 {
            writer.append(&lease, vec![delta(&"y".repeat(10_000))])?;
        }
        writer.end_turn(&lease, TurnEnd::Cancelled)
    });
    assert!(!harness.read(|reader| reader.wants_vacuum()));
    let size = || std::fs::metadata(&harness.path).unwrap().len();
    let shrink = || {
        harness.wait(harness.store.shrink_file()).unwrap();
        // It is done before the next write.
        harness.write(|_writer| Ok(()));
    };
    shrink();
    assert!(size() > 1_500_000, "all of it is in the file, and nothing in the log");
    let id = session.clone();
    harness.write(move |writer| {
        let mut is_gone = writer.delete_session(&id)?;
        while !is_gone {
            is_gone = writer.purge_some(id.as_str())?;
        }
        Ok(())
    });
    assert!(harness.read(|reader| reader.wants_vacuum()));
    let mut returned = 0;
    while let Some(bytes) = harness.write(|writer| writer.vacuum(50)) {
        assert!((1..=50 * 4096).contains(&bytes), "{bytes}");
        returned += bytes;
    }
    assert!(returned > 1_500_000, "{returned}");
    // What is in the log makes no file smaller.
    let before = size();
    shrink();
    let after = size();
    assert!(after < 500_000, "{before} -> {after} in {:?}", harness.folder);
}

#[test]
fn nothing_new_comes_while_too_little_is_free() {
    let harness = Harness::new();
    let session = harness.session();
    let content = "said before";
    let keyed = {
        let id = session.id.clone();
        move |writer: &mut AuditedWriter<'_, '_>| {
            writer.post_message(&id, content, Some("k"), 9, None)
        }
    };
    let posted = harness.write(keyed.clone());
    harness.store.keep_free(u64::MAX / 4);
    assert!(harness.store.is_low_on_space());
    for refused in [
        harness.try_write(|writer| writer.create_session(new_session("runbook"))).map(drop),
        harness
            .try_write({
                let id = session.id.clone();
                move |writer| writer.post_message(&id, "new", None, 9, None)
            })
            .map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StoreError::LowSpace { .. }), "{refused:?}");
        assert!(refused.to_string().contains("retention.min_free"), "{refused}");
    }
    // What was accepted before is answered again.
    assert_eq!(harness.write(keyed).message.id, posted.message.id);
    let lease = harness.claim(1).unwrap().lease;
    harness.write(move |writer| writer.end_turn(&lease, completed("well")));
    harness.store.keep_free(1);
    assert!(!harness.store.is_low_on_space());
    harness.session();
}

//! What calls of models took, and its sums.

use std::collections::BTreeMap;

use evonic_domain::{ModelCall, UsageBy, UsageSum};
use proptest::prelude::*;

use super::*;

pub(super) fn tokens(input: u64, output: u64) -> Usage {
    Usage { input_tokens: input, output_tokens: output, ..Usage::default() }
}

/// A call that costs this.
pub(super) fn reply(usage: Usage, cost: u64) -> NewReply {
    NewReply { usage, cost, model: "main".to_owned(), ..NewReply::default() }
}

fn asked(by: UsageBy) -> UsageQuery {
    UsageQuery { by, from: None, to: None, agents: None, caller: None, session: None }
}

impl Harness {
    fn sums(&self, query: UsageQuery) -> Vec<UsageSum> {
        self.read(move |reader| reader.usage(&query, &WHOLE)).data
    }

    fn total(&self, query: UsageQuery) -> (u64, Usage, u64) {
        self.sums(query).into_iter().fold((0, Usage::default(), 0), |mut total, sum| {
            total.0 += sum.calls;
            total.1 += sum.usage;
            total.2 = total.2.saturating_add(sum.cost).min(i64::MAX.unsigned_abs());
            total
        })
    }
}

#[test]
fn a_call_is_in_every_sum_once_and_outlives_its_session() {
    let harness = Harness::new();
    let claimed = harness.running(1);
    let (lease, agent) = (claimed.lease.clone(), claimed.agent.clone());
    let usage =
        Usage { cached_tokens: 3, cache_write_tokens: 2, reasoning_tokens: 1, ..tokens(9, 4) };
    let own = lease.clone();
    harness.write(move |writer| {
        writer.record_reply(&own, reply(usage, 70))?;
        writer.record_reply(&own, NewReply { model: "other".to_owned(), ..NewReply::default() })?;
        // A summary, which is no step.
        let call = ModelCall { model: "main".to_owned(), usage: tokens(1, 1), cost: 5 };
        writer.count_call(&own, &call)?;
        writer.end_turn(&own, completed(""))
    });
    let mut sum = usage;
    sum += tokens(1, 1);
    let turn = harness.turn(&lease.turn_id);
    assert_eq!((turn.usage, turn.cost, turn.steps), (sum, 75, 2));
    let session = lease.session_id.clone();
    let session = harness.read(move |reader| reader.session(&session));
    assert_eq!((session.usage, session.cost), (sum, 75));
    harness.write(move |writer| writer.delete_session(&lease.session_id));
    for by in UsageBy::ALL {
        assert_eq!(harness.total(asked(by)), (3, sum, 75), "{by}");
    }
    let today = column::now()[..10].to_owned();
    let of = |by| -> Vec<(String, Option<String>, u64, u64)> {
        let sums = harness.sums(asked(by)).into_iter();
        sums.map(|sum| (sum.of, sum.name, sum.calls, sum.uncounted_calls)).collect()
    };
    assert_eq!(of(UsageBy::Day), [(today, None, 3, 1)]);
    let name = Some("runbook".to_owned());
    assert_eq!(of(UsageBy::Agent), [(agent.id.to_string(), name, 3, 1)]);
    assert_eq!(of(UsageBy::Key), [("inside".to_owned(), None, 3, 1)]);
    let models = [("main".to_owned(), None, 2, 0), ("other".to_owned(), None, 1, 1)];
    assert_eq!(of(UsageBy::Model), models);
    let totals = harness.read(|reader| reader.model_totals(9));
    assert_eq!(totals.iter().map(|sum| sum.calls).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn what_is_fenced_or_undone_is_not_counted() {
    let mut harness = Harness::new();
    let lease = harness.running(1).lease;
    let (own, late) = (lease.clone(), lease.clone());
    harness.write(move |writer| writer.record_reply(&own, reply(tokens(1, 1), 1)));
    let own = lease.clone();
    let undone = harness.try_write(move |writer| {
        writer.record_reply(&own, reply(tokens(1, 1), 1))?;
        Err::<(), _>(StoreError::Fenced)
    });
    assert!(matches!(undone, Err(StoreError::Fenced)));
    harness.write(|writer| writer.take_over(1));
    let fenced = harness.try_write(move |writer| {
        let call = ModelCall { usage: tokens(1, 1), ..ModelCall::default() };
        writer.count_call(&late, &call)
    });
    assert!(matches!(fenced, Err(StoreError::Fenced)));
    harness.reopen();
    assert_eq!(harness.total(asked(UsageBy::Day)), (1, tokens(1, 1), 1));
}

#[test]
fn counters_stop_at_the_largest_integer() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let own = lease.clone();
    let most = tokens(u64::MAX, u64::MAX);
    harness.write(move |writer| {
        for _ in 0..3 {
            writer.record_reply(&own, reply(most, u64::MAX))?;
            let other = NewReply { model: "other".to_owned(), ..reply(most, u64::MAX) };
            writer.record_reply(&own, other)?;
        }
        Ok(())
    });
    let largest = i64::MAX.unsigned_abs();
    let turn = harness.turn(&lease.turn_id);
    assert_eq!((turn.usage, turn.cost), (tokens(largest, largest), largest));
    let sums = harness.sums(asked(UsageBy::Day));
    assert_eq!(
        (sums[0].calls, sums[0].usage, sums[0].cost),
        (6, tokens(largest, largest), largest)
    );
}

/// A row of before: `(session, day, agent, caller, model, cost)`.
type Row = (String, i64, String, String, String, u64);

/// Writes usage as so many days left it: of each session, and summed up.
fn write_rows(harness: &Harness, rows: Vec<Row>) {
    harness.write(move |writer| {
        for (session, day, agent, caller, model, cost) in rows {
            let call = ModelCall { model, usage: tokens(cost, 1), cost };
            writer.add_usage("", day, (&agent, &caller), &call)?;
            writer.add_usage(&session, day, (&agent, &caller), &call)?;
        }
        Ok(())
    });
}

fn row() -> impl Strategy<Value = Row> {
    let name = |prefix: &'static str| (0..4_u8).prop_map(move |n| format!("{prefix}{n}"));
    (
        name("ses_"),
        20_261_128..=20_261_130_i64,
        name("agt_"),
        name("key_"),
        name("m"),
        0..1_u64 << 40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_are_exact(rows in prop::collection::vec(row(), 1..60)) {
        let harness = Harness::new();
        write_rows(&harness, rows.clone());
        for by in UsageBy::ALL {
            let key = |row: &Row| match by {
                UsageBy::Day => format!("2026-11-{}", row.1 % 100),
                UsageBy::Agent => row.2.clone(),
                UsageBy::Key => row.3.clone(),
                UsageBy::Session => row.0.clone(),
                UsageBy::Model => row.4.clone(),
            };
            let (from, to) = ("2026-11-29".to_owned(), "2026-11-30".to_owned());
            let mut naive = BTreeMap::<String, (u64, u64)>::new();
            for row in rows.iter().filter(|row| row.1 >= 20_261_129 && row.3 != "key_3") {
                let sum = naive.entry(key(row)).or_default();
                *sum = (sum.0 + 1, sum.1 + row.5);
            }
            let mut counted = BTreeMap::new();
            for caller in ["key_0", "key_1", "key_2"] {
                let query = UsageQuery {
                    from: Some(from.clone()),
                    to: Some(to.clone()),
                    caller: Some(caller.to_owned()),
                    ..asked(by)
                };
                for sum in harness.sums(query) {
                    let entry: &mut (u64, u64) = counted.entry(sum.of).or_default();
                    *entry = (entry.0 + sum.calls, entry.1 + sum.cost);
                    prop_assert_eq!(sum.cost, sum.usage.input_tokens);
                }
            }
            prop_assert_eq!(&counted, &naive, "{}", by);
        }
    }
}

#[test]
fn pages_lead_to_every_sum_once() {
    let harness = Harness::new();
    let row = |n: u64| {
        let (agent, caller, model) = ("agt_1".to_owned(), "inside".to_owned(), "m".to_owned());
        (format!("ses_{n:03}"), 20_261_100 + (n % 28 + 1).cast_signed(), agent, caller, model, n)
    };
    write_rows(&harness, (0..100).map(row).collect());
    for by in [UsageBy::Day, UsageBy::Session] {
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let paging = Paging { limit: 7, after };
            let page = harness.read(move |reader| reader.usage(&asked(by), &paging));
            seen.extend(page.data);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(seen.is_sorted_by(|a, b| a.of < b.of), "{seen:?}");
        assert_eq!(seen.iter().map(|sum| sum.cost).sum::<u64>(), 99 * 100 / 2, "{by}");
    }
}

#[test]
fn old_days_become_their_month_and_no_bill_is_lost() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let row = |n: u64| {
        let (agent, caller) = ("agt_1".to_owned(), format!("key_{}", n % 2));
        let day = 20_240_100 + (n % 28 + 1).cast_signed();
        (format!("ses_{n:03}"), day, agent, caller, "m".to_owned(), n)
    };
    write_rows(&harness, (0..100).map(row).collect());
    let count = |harness: &Harness| {
        let lease = lease.clone();
        harness.write(move |writer| writer.record_reply(&lease, reply(Usage::default(), 0)));
    };
    let days = |harness: &Harness| -> Vec<String> {
        harness.sums(asked(UsageBy::Day)).into_iter().map(|sum| sum.of).collect()
    };
    for _ in 0..20 {
        count(&harness);
    }
    assert_eq!(days(&harness).len(), 29, "a clock that steps makes nothing old");
    harness.write(|writer| {
        for n in 0..450 {
            writer.execute(
                "pass a day",
                "INSERT INTO days (day, uptime, boot, audit)
                 VALUES (date('2024-02-01', '+' || ?1 || ' days'), 0, '', 0)",
                [n],
            )?;
        }
        Ok(())
    });
    for _ in 0..20 {
        count(&harness);
    }
    let today = column::now()[..10].to_owned();
    assert_eq!(days(&harness), ["2024-01".to_owned(), today]);
    assert_eq!(harness.total(asked(UsageBy::Key)).2, 99 * 100 / 2);
    let old = |from: &str, to: &str| UsageQuery {
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
        ..asked(UsageBy::Day)
    };
    assert_eq!(harness.total(old("2024-01-01", "2024-01-05")).2, 99 * 100 / 2);
    assert_eq!(harness.total(old("2024-01-02", "2024-02-05")).2, 0);
    assert!(harness.sums(asked(UsageBy::Session)).iter().all(|sum| sum.cost == 0));
}

#[test]
fn sums_cost_what_they_show_and_not_what_there_is() {
    let harness = Harness::new();
    let row = |n: u64| {
        let (agent, caller) = (format!("agt_{}", n % 5), format!("key_{}", n % 7));
        let day = 20_261_100 + (n % 28 + 1).cast_signed();
        (format!("ses_{n:06}"), day, agent, caller, "m".to_owned(), n)
    };
    write_rows(&harness, (0..100_000).map(row).collect());
    let month = |by| UsageQuery {
        from: Some("2026-11-01".to_owned()),
        to: Some("2026-11-30".to_owned()),
        ..asked(by)
    };
    let agents = Some(vec!["agt_00000000000070008000000000000001".parse().unwrap()]);
    let queries = [
        ("agent and month", UsageQuery { agents, ..month(UsageBy::Agent) }),
        ("key and month", UsageQuery { caller: Some("key_3".to_owned()), ..month(UsageBy::Key) }),
        ("days", month(UsageBy::Day)),
        ("models", month(UsageBy::Model)),
        ("a session", UsageQuery { session: Some("ses_050000".to_owned()), ..month(UsageBy::Day) }),
        ("a page of sessions", month(UsageBy::Session)),
    ];
    for (what, query) in queries {
        let (plan, took) = harness.read(move |reader| {
            let begun = Instant::now();
            reader.usage(&query, &Paging { limit: 50, after: None })?;
            Ok((reader.usage_plan(&query)?, begun.elapsed()))
        });
        println!("{what}: {took:?}");
        assert!(plan.contains("PRIMARY KEY (session_id"), "{what}: {plan}");
        assert!(!plan.contains("SCAN usage"), "{what}: {plan}");
        // A scan of 200,000 rows takes hundreds of milliseconds in this build.
        assert!(took < Duration::from_millis(100), "{what}: {took:?}");
    }
}

//! What budgets allow, whom they let wait, and what they tell.

use evonic_domain::{
    Budget, BudgetChange, BudgetLimit, BudgetPeriod, BudgetReached, BudgetSubject, NewBudget,
    OnReached, WaitReason,
};

use super::{
    usage::{reply, tokens},
    *,
};

fn new(name: &str, subject: BudgetSubject, period: BudgetPeriod, limit: BudgetLimit) -> NewBudget {
    let name = name.parse().unwrap();
    NewBudget { name, subject, of: None, period, limit, on_reached: None }
}

fn monthly(name: &str, subject: BudgetSubject, limit: u64) -> NewBudget {
    new(name, subject, BudgetPeriod::Month, BudgetLimit::Tokens(limit))
}

impl Harness {
    fn budget(&self, new: NewBudget) -> Budget {
        self.write(|writer| writer.create_budget(new))
    }

    fn check(&self, lease: &Lease) -> BudgetCheck {
        let lease = lease.clone();
        self.write(move |writer| writer.check_budgets(&lease))
    }

    fn spend(&self, lease: &Lease, count: u64, cost: u64) {
        let lease = lease.clone();
        self.write(move |writer| writer.record_reply(&lease, reply(tokens(count, 0), cost)));
    }

    /// The marks that a session was told of: of which budget, and which.
    fn marks(&self, session: &SessionId) -> Vec<(String, u64, u64)> {
        let events = self.events(session).into_iter();
        events
            .filter(|event| event.name == "budget.reached")
            .map(|event| serde_json::from_str::<BudgetReached>(&event.data).unwrap())
            .map(|told| (told.name.to_string(), told.percent, told.spent))
            .collect()
    }

    fn spent_of(&self, budget: &Budget) -> Vec<(Option<String>, u64, u64)> {
        let id = budget.id.clone();
        let view = self.read(move |reader| reader.budget_view(reader.budget(id.as_str())?));
        view.state.spent.into_iter().map(|spent| (spent.of, spent.spent, spent.percent)).collect()
    }
}

#[test]
fn a_turn_past_a_budget_waits_for_the_next_period_and_goes_on_when_it_is_raised() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    assert!(harness.store.may_have_budgets(), "nobody has looked");
    assert_eq!(harness.check(&lease), BudgetCheck::Allowed);
    assert!(!harness.store.may_have_budgets());
    let budget = harness.budget(monthly("all", BudgetSubject::All, 100));
    assert!(harness.store.may_have_budgets());
    harness.spend(&lease, 99, 0);
    assert_eq!(harness.check(&lease), BudgetCheck::Allowed);
    harness.spend(&lease, 50, 0);
    let BudgetCheck::Waits(waiting) = harness.check(&lease) else { panic!("it waits") };
    assert_eq!(waiting.reason, WaitReason::Budget);
    assert!(waiting.until > column::now() && waiting.until.ends_with("-01T00:00:00.000Z"));
    assert_eq!(waiting.message, "budget all (all, month) is reached: 149 of 100 tokens");
    let turn = harness.turn(&lease.turn_id);
    assert_eq!((turn.state, turn.waiting.as_ref()), (TurnState::Queued, Some(&waiting)));
    assert_eq!(harness.names(&lease.session_id).last().unwrap(), "turn.waiting");
    assert!(harness.claim(2).is_none(), "it waits");
    let raise = |limit| {
        let id = budget.id.clone();
        let limit = Some(BudgetLimit::Tokens(limit));
        harness.write(move |writer| {
            writer.change_budget(&id, BudgetChange { limit, ..BudgetChange::default() })
        })
    };
    raise(149);
    assert!(harness.claim(2).is_none(), "it is still spent");
    raise(150);
    let claimed = harness.claim(2).expect("it goes on");
    assert_eq!(claimed.turn.waiting, None);
    assert_eq!(harness.check(&claimed.lease), BudgetCheck::Allowed);
    harness.spend(&claimed.lease, 1, 0);
    assert!(matches!(harness.check(&claimed.lease), BudgetCheck::Waits(_)));
    harness.write(move |writer| writer.delete_budget(&budget.id));
    assert!(harness.claim(3).is_some(), "a budget that is gone lets nobody wait");
    assert!(!harness.names(&lease.session_id).contains(&"turn.failed".to_owned()));
}

#[test]
fn a_budget_that_ends_turns_says_which_and_outweighs_those_that_let_wait() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    harness.budget(monthly("waits", BudgetSubject::All, 10));
    let budget = new("ends", BudgetSubject::All, BudgetPeriod::Total, BudgetLimit::Cost(2));
    let budget = harness.budget(budget);
    assert_eq!(budget.on_reached, OnReached::End);
    harness.spend(&lease, 10, 2_999_999);
    let BudgetCheck::Ended(error) = harness.check(&lease) else { panic!("it ends") };
    assert_eq!(error.code, TurnErrorCode::BudgetReached);
    assert_eq!(error.message, "budget ends (all, total) is reached: cost 0.000002 of 0.000002");
    let turn = harness.turn(&lease.turn_id);
    assert_eq!((turn.state, turn.error), (TurnState::Failed, Some(error)));
    assert_eq!(harness.spent_of(&budget), [(None, 2, 100)]);
}

#[test]
fn each_has_a_share_of_its_own_and_one_alone_can_have_one() {
    let harness = Harness::new();
    let first = harness.running(1);
    let second = harness.running(1);
    for subject in [BudgetSubject::Session, BudgetSubject::Agent, BudgetSubject::Key] {
        let budget = harness.budget(monthly(&format!("each-{subject}"), subject, 100));
        assert_eq!(harness.spent_of(&budget), []);
    }
    let of = Some(second.lease.session_id.to_string());
    let day = new("one", BudgetSubject::Session, BudgetPeriod::Day, BudgetLimit::Tokens(10));
    let one = harness.budget(NewBudget { of: of.clone(), ..day });
    harness.spend(&first.lease, 60, 0);
    harness.spend(&second.lease, 10, 0);
    assert_eq!(harness.spent_of(&one), [(of, 10, 100)]);
    assert_eq!(harness.check(&first.lease), BudgetCheck::Allowed);
    let BudgetCheck::Waits(waiting) = harness.check(&second.lease) else { panic!("it waits") };
    assert!(waiting.message.starts_with("budget one (session ses_"), "{}", waiting.message);
    harness.spend(&first.lease, 30, 0);
    let BudgetCheck::Waits(waiting) = harness.check(&first.lease) else { panic!("it waits") };
    assert!(waiting.message.starts_with("budget each-"), "{}", waiting.message);
    let spent = |name: &str| {
        let name = name.to_owned();
        let budget = harness.read(move |reader| reader.budget(&name));
        harness.spent_of(&budget)
    };
    let session = |claimed: &Claimed| Some(claimed.lease.session_id.to_string());
    assert_eq!(spent("each-session"), [(session(&first), 90, 90), (session(&second), 10, 10)]);
    assert_eq!(spent("each-agent"), [(Some(first.agent.id.to_string()), 100, 100)]);
    assert_eq!(spent("each-key"), [(Some("inside".to_owned()), 100, 100)]);
    for claimed in [&first, &second] {
        let id = claimed.lease.turn_id.clone();
        harness.write(move |writer| writer.request_cancel(&id));
        let id = claimed.lease.session_id.clone();
        harness.write(move |writer| writer.delete_session(&id));
    }
    assert_eq!(spent("each-session"), [], "shares of sessions go with them");
    assert_missing(harness.try_read(|reader| reader.budget("one")), "budget");
    assert_eq!(spent("each-agent").len(), 1);
}

#[test]
fn each_mark_is_told_once_in_a_period_and_again_of_a_limit_that_was_raised() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let mut notices = harness.store.budget_notices();
    let budget = harness.budget(monthly("all", BudgetSubject::All, 100));
    let turn = new("turn", BudgetSubject::All, BudgetPeriod::Turn, BudgetLimit::Tokens(1000));
    harness.budget(turn);
    for count in [49, 1, 10, 25, 10, 5, 100] {
        harness.spend(&lease, count, 0);
    }
    let mark = |percent, spent| ("all".to_owned(), percent, spent);
    let told = [mark(50, 50), mark(80, 85), mark(100, 100)];
    assert_eq!(harness.marks(&lease.session_id), told);
    for (_, percent, _) in &told {
        let (event, missed) = harness.wait(notices.next()).expect("the store is open");
        let notice: BudgetReached = serde_json::from_str(&event.data).unwrap();
        assert_eq!((notice.percent, missed), (*percent, 0));
    }
    harness.write(move |writer| {
        let limit = Some(BudgetLimit::Tokens(300));
        writer.change_budget(&budget.id, BudgetChange { limit, ..BudgetChange::default() })
    });
    for count in [39, 1, 60, 300] {
        harness.spend(&lease, count, 0);
    }
    let marks = harness.marks(&lease.session_id).split_off(3);
    let turn = |percent, spent| ("turn".to_owned(), percent, spent);
    assert_eq!(marks, [mark(80, 240), mark(100, 300), turn(50, 600)]);
    harness.spend(&lease, 400, 0);
    let marks = harness.marks(&lease.session_id).split_off(6);
    assert_eq!(marks, [turn(80, 1000), turn(100, 1000)], "a step can pass several");
    let BudgetCheck::Ended(error) = harness.check(&lease) else { panic!("a turn has no next") };
    assert!(error.message.starts_with("budget turn ("), "{}", error.message);
}

#[test]
fn a_budget_counts_what_was_spent_before_it_was_made() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    harness.spend(&lease, 60, 0);
    let budget = harness.budget(monthly("all", BudgetSubject::All, 100));
    assert_eq!(harness.spent_of(&budget), [(None, 60, 60)]);
    harness.spend(&lease, 40, 0);
    assert_eq!(harness.spent_of(&budget), [(None, 100, 100)]);
    assert!(matches!(harness.check(&lease), BudgetCheck::Waits(_)));
}

#[test]
fn what_is_over_is_forgotten_and_what_is_missing_is_counted_anew() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let budget = harness.budget(monthly("all", BudgetSubject::All, 100));
    harness.spend(&lease, 60, 0);
    let age = |to: &'static str| {
        harness
            .write(move |writer| writer.execute("age", "UPDATE budget_sums SET period = ?1", [to]));
    };
    let periods = || {
        let sql = "SELECT period FROM budget_sums ORDER BY period";
        harness.read(|reader| reader.all("read", sql, [], |row| row.get::<_, String>("period")))
    };
    age("2020-01");
    harness.spend(&lease, 10, 0);
    assert_eq!(harness.spent_of(&budget), [(None, 70, 70)], "as the usage of this month has it");
    let month = column::now()[..7].to_owned();
    assert_eq!(periods(), std::slice::from_ref(&month));
    // A clock that stepped back.
    age("2999-01");
    harness.spend(&lease, 10, 0);
    assert_eq!(periods(), [month, "2999-01".to_owned()]);
    assert_eq!(harness.spent_of(&budget), [(None, 80, 80)]);
}

#[test]
fn those_who_ask_at_once_pass_a_limit_by_one_call_each() {
    let harness = Harness::new();
    let leases: Vec<_> = (0..16).map(|_| harness.running(1).lease).collect();
    harness.budget(monthly("all", BudgetSubject::All, 100));
    let (store, runtime) = (&harness.store, &harness.runtime);
    let turn = |lease: Lease| {
        let store = store.clone();
        runtime.spawn(async move {
            let mut calls = 0_u64;
            loop {
                let asked = lease.clone();
                let check = store.write(move |writer| writer.check_budgets(&asked)).await.unwrap();
                if check != BudgetCheck::Allowed {
                    return calls;
                }
                tokio::task::yield_now().await;
                let own = lease.clone();
                let spent = move |writer: &mut Writer<'_>| {
                    writer.record_reply(&own, reply(tokens(3, 0), 0))
                };
                store.write(spent).await.unwrap();
                calls += 1;
            }
        })
    };
    let turns: Vec<_> = leases.into_iter().map(turn).collect();
    let calls: u64 = turns.into_iter().map(|turn| harness.wait(turn).unwrap()).sum();
    // 34 calls reach the limit; each may be in one more.
    assert!((34..=33 + 16).contains(&calls), "{calls}");
    let budget = harness.read(|reader| reader.budget("all"));
    assert_eq!(harness.spent_of(&budget), [(None, calls * 3, calls * 3)]);
}

#[test]
fn names_are_unique_and_changes_are_recorded() {
    let harness = Harness::new();
    let budget = harness.budget(monthly("all", BudgetSubject::All, 100));
    let again =
        harness.try_write(|writer| writer.create_budget(monthly("all", BudgetSubject::Agent, 1)));
    assert_conflict(again, "name_taken");
    let key = harness.budget(monthly("keys", BudgetSubject::Key, 100));
    let listed = |which| {
        let page = harness.read(move |reader| reader.budgets(which, &WHOLE));
        page.data.into_iter().map(|view| view.budget.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(BudgetList::Every), [budget.id.clone(), key.id]);
    assert_eq!(listed(BudgetList::WithoutKeys), std::slice::from_ref(&budget.id));
    let id = budget.id.clone();
    harness.write(move |writer| {
        let name = Some("others".parse().unwrap());
        let change = BudgetChange { name, on_reached: Some(OnReached::End), limit: None };
        writer.change_budget(&id, change)?;
        writer.delete_budget(&id)
    });
    let query = AuditQuery { target: Some(budget.id.to_string()), ..AuditQuery::default() };
    let records = harness.read(move |reader| reader.audit(&query, &WHOLE)).data;
    let records: Vec<_> =
        records.into_iter().map(|record| (record.action.name(), record.fields.join(" "))).collect();
    assert_eq!(
        records,
        [
            ("budget.create", String::new()),
            ("budget.update", "name on_reached".to_owned()),
            ("budget.delete", String::new())
        ]
    );
}

/// However many wait, a change of budgets is a short transaction; the rest is looked at by portions.
#[test]
fn a_change_looks_at_some_who_wait_and_leaves_the_others_to_who_claims() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let budget = harness.budget(monthly("all", BudgetSubject::All, 100));
    harness.spend(&lease, 100, 0);
    assert!(matches!(harness.check(&lease), BudgetCheck::Waits(_)));
    harness.copy_waiting(&lease.session_id, 300);
    let waiting = || {
        let sql = "SELECT COUNT(*) AS n FROM turns WHERE wait_ends IS NOT NULL";
        harness.read(move |reader| reader.one("test", sql, [], |row| column::natural(row, "n")))
    };
    let change = |change: BudgetChange| {
        let id = budget.id.clone();
        harness.write(move |writer| writer.change_budget(&id, change));
    };
    let told = harness.turn(&lease.turn_id).waiting;
    let name = Some("other".parse().unwrap());
    change(BudgetChange { name, ..BudgetChange::default() });
    assert_eq!(harness.turn(&lease.turn_id).waiting, told, "a name changes nothing for anybody");
    assert!(!harness.store.wants_budget_recheck());
    let limit = Some(BudgetLimit::Tokens(1_000));
    change(BudgetChange { limit, ..BudgetChange::default() });
    assert_eq!(waiting(), 101);
    assert!(harness.store.take_budget_recheck() && !harness.store.wants_budget_recheck());
    assert_eq!(harness.write(|writer| writer.recheck_budgets(0)), None);
    assert_eq!(waiting(), 0);
}

/// A key's own budget goes with it.
#[test]
fn who_waits_for_the_budget_of_a_key_goes_on_when_the_key_is_gone() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let caller = "key_00000000000000000000000000000001";
    let (turn, session) = (lease.turn_id.clone(), lease.session_id.clone());
    harness.write(move |writer| {
        let sql = "UPDATE turns SET posted_by = ?2 WHERE id = ?1";
        writer.execute("test", sql, [turn.as_str(), caller])?;
        for (id, day) in [(caller, "1"), ("key_00000000000000000000000000000002", "NULL")] {
            let sql = format!(
                "INSERT INTO api_keys (id, name, hash, scope, created_at, ended_day)
                 VALUES ('{id}', '{id}', x'00', 'admin', '{id}', {day})"
            );
            writer.execute("test", &sql, [])?;
        }
        writer.execute("test", "UPDATE api_keys SET revoked_at = '2020' WHERE ended_day = 1", [])
    });
    let of = Some(caller.to_owned());
    harness.budget(NewBudget { of, ..monthly("key", BudgetSubject::Key, 10) });
    harness.spend(&lease, 10, 0);
    assert!(matches!(harness.check(&lease), BudgetCheck::Waits(_)));
    harness.pass_days(40);
    harness.write(|writer| writer.purge_keys());
    assert!(harness.store.take_budget_recheck());
    harness.write(|writer| writer.recheck_budgets(0));
    let claimed = harness.claim(2).expect("nothing bounds it any more");
    assert_eq!(claimed.turn.session_id, session);
}

//! Sessions that are kept for long enough.

use evonic_tests::{
    pair::{Options, Pair},
    poll,
};
use serde_json::{Value, json};

use crate::{CONFIG, PASS, change_database, evonic, pass_days};

fn ids(pair: &Pair) -> Vec<String> {
    let list = pair.expect(200, "GET", "/api/v1/sessions", None);
    let ids = list["data"].as_array().expect("a list").iter();
    ids.map(|session| session["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn sessions_go_by_age_and_by_count_and_leave_a_record_for_each_agent() {
    let options = Options::config(&format!("{CONFIG}[retention]\nsessions = \"30days\"\n"));
    let mut pair = Pair::start(&options);
    evonic(&pair, &["agent", "add", "few", "--retention", "forever"]);
    evonic(&pair, &["agent", "set", "few", "--retention", "2"]);
    evonic(&pair, &["agent", "add", "all", "--retention", "forever"]);
    let shown = evonic(&pair, &["agent", "show", "few"]);
    assert!(shown.contains("2 at the most"), "{shown}");
    let refused = pair.evonic(&["agent", "set", "few", "--retention", "1h"]);
    assert_eq!(refused.status.code(), Some(64));
    let body = json!({"retention": {"sessions": "1h"}});
    let refused = pair.request("PATCH", "/api/v1/agents/few", Some(&body)).unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("kept for a day or longer"), "{}", refused.text());

    let old = pair.session("runbook");
    let turn = pair.post(&old, "$ echo hi");
    let _ = pair.wait_for_turn(&turn);
    let kept = pair.session("all");
    let few: Vec<_> = (0..5).map(|_| pair.session("few")).collect();
    let busy = pair.session("runbook");
    let turn = pair.post(&busy, "$ sleep 45");
    change_database(&mut pair, &options, |connection| pass_days(connection, 40));
    let young = pair.session("runbook");
    poll::until("the old ones are gone", PASS, || ids(&pair), |ids| (ids.len() == 5).then_some(()));
    let left = ids(&pair);
    for session in [&kept, &busy, &young] {
        assert!(left.contains(session), "{session} of {left:?}");
    }
    assert!(!left.contains(&old));
    assert_eq!(left.iter().filter(|id| few.contains(id)).count(), 2);
    let _ = pair.expect(404, "GET", &format!("/api/v1/sessions/{old}/messages"), None);
    let _ = pair.expect(202, "POST", &format!("/api/v1/turns/{turn}/cancel"), None);
    let audit = pair.expect(200, "GET", "/api/v1/audit?action=agent.expire", None);
    let records: Vec<_> = audit["data"].as_array().unwrap().iter().map(record).collect();
    assert_eq!(records.len(), 2, "{audit}");
    assert!(records.contains(&("runbook", "sessions=1", "inside")), "{records:?}");
    assert!(records.contains(&("few", "sessions=3", "inside")), "{records:?}");
    let log = pair.log();
    assert!(log.contains("retention: sessions removed"), "{log}");
}

fn record(record: &Value) -> (&str, &str, &str) {
    let text = |value: &'_ Value| value.as_str().map(str::to_owned);
    assert!(text(&record["target"]["id"]).is_some_and(|id| id.starts_with("agt_")));
    let name = record["target"]["name"].as_str().unwrap_or_default();
    (
        name,
        record["fields"][0].as_str().unwrap_or_default(),
        record["actor"].as_str().unwrap_or_default(),
    )
}

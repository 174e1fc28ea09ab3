//! Turns that spend at once, and workers that are killed meanwhile.

use evonic_tests::{
    pair::Pair,
    poll,
    scripted::{Scripted, Server},
    size, troubleshooting,
};
use serde_json::json;

use super::{SOON, TOKENS, budget, events, pair, usage};

/// Turns that run at once.
const TURNS: u64 = 16;

const CONFIG: &str = "[supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n\
                      [agents]\nworkers = 16\nreserved_workers = 0\nmax_takeovers = 1000\nmax_repeats = 0\n\
                      max_steps = 1000\n\
                      [budget]\nmodel = 32\nchild = 32\n";

/// An endpoint whose every reply calls a tool, so that a turn asks again and again.
fn endless() -> Server {
    Server::start(vec![Scripted::Call("list_files".to_owned(), json!({"path": "."}))])
}

/// Runs the turns until a budget of so many calls has ended each of them, with so many kills in
/// between.
fn spend(pair: &Pair, server: &Server, allowed: u64, kills: u64) {
    let limit = json!({"tokens": allowed * TOKENS});
    let new = json!({"name": "all", "subject": "all", "period": "month", "limit": limit,
        "on_reached": "end"});
    let made = budget(pair, &new);
    assert_eq!(made["state"]["spent"][0]["spent"], 0, "{made}");
    let sessions: Vec<_> = (0..TURNS).map(|_| pair.session("spender")).collect();
    let turns: Vec<_> = sessions.iter().map(|session| pair.post(session, "spend")).collect();
    for kill in 1..=kills {
        let part = usize::try_from(allowed * kill / (kills + 1)).expect("a few");
        poll::until(
            "a part is spent",
            SOON,
            || server.requests().len(),
            |made| (*made >= part).then_some(()),
        );
        let _ = pair.kill_worker();
    }
    for turn in &turns {
        let ended = pair.wait_for_turn(turn);
        assert_eq!(ended["error"]["code"], "budget_reached", "{ended}");
        let seen = ended["error"]["message"].as_str().expect("a message");
        troubleshooting::assert_documented("budget … is reached: … of … tokens", seen);
    }
    let of = |name| -> Vec<_> {
        let each = sessions.iter().zip(&turns);
        each.flat_map(|(session, turn)| events(pair, session, turn, name)).collect()
    };
    let steps = of("step.completed");
    let calls = u64::try_from(steps.len()).expect("few");
    assert!((allowed..allowed + TURNS).contains(&calls), "one call each at the most: {calls}");
    assert!(steps.iter().all(|step| step["model"] == "scripted"), "{steps:?}");
    for by in ["day", "agent", "key", "session", "model"] {
        assert_eq!(usage(pair, by), (calls, calls * TOKENS), "{by}");
    }
    let asked = u64::try_from(server.requests().len()).expect("few");
    assert!((calls..=calls + kills * TURNS).contains(&asked), "{asked} requests, {calls} calls");
    if kills == 0 {
        assert_eq!(asked, calls, "what the endpoint said is what is counted");
    }
    let mut marks: Vec<_> =
        of("budget.reached").iter().filter_map(|told| told["percent"].as_u64()).collect();
    marks.sort_unstable();
    assert_eq!(marks, [50, 80, 100], "each mark is told once");
    let shown = pair.expect(200, "GET", "/api/v1/budgets/all", None);
    assert_eq!(shown["state"]["spent"][0]["spent"], calls * TOKENS, "{shown}");
}

#[test]
fn turns_at_once_pass_a_budget_by_one_call_each() {
    let server = endless();
    let pair = pair(&server, CONFIG);
    spend(&pair, &server, 40, 0);
    let metrics = pair.request("GET", "/metrics", None).expect("metrics").text();
    let input = format!("evonic_model_tokens_total{{model=\"scripted\",kind=\"input\"}} {}", {
        let (calls, _) = usage(&pair, "day");
        calls * 7
    });
    assert!(metrics.contains(&input), "{input}: {metrics}");
    assert!(metrics.contains("evonic_budget_spent_percent{budget=\"all\"} 1"), "{metrics}");
}

#[test]
fn a_kill_counts_a_call_once_or_not_at_all() {
    let kills = size::of("budget_kills", 2, 20);
    let server = endless();
    let pair = pair(&server, CONFIG);
    spend(&pair, &server, 120 * kills, kills);
    assert_eq!(pair.history().len() as u64, kills, "the workers were killed in the middle of it");
}

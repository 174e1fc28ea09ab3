//! What a price in the configuration makes of tokens: of turns, of sums, of a budget.

use evonic_tests::{
    pair::Pair,
    scripted::{Scripted, Server},
};
use serde_json::{Value, json};

use super::{budget, events, pair, text};

/// Tokens of the input and of the output of a reply.
const INPUT: u64 = 7;
const OUTPUT: u64 = 5;

/// Micro-units for a million tokens, which are pico-units for one.
const PRICE: (u64, u64) = (2_500_000, 10_000_000);

/// What a call costs, in pico-units.
const COST: u64 = INPUT * PRICE.0 + OUTPUT * PRICE.1;

fn priced(server: &Server, name: &str, (input, output): (u64, u64)) -> String {
    format!("{}price_input = {input}\nprice_output = {output}\n", server.config(name))
}

/// `evonic usage` by model: of each its name, its calls and its cost.
fn by_model(pair: &Pair) -> Vec<(String, u64, u64)> {
    let output = pair.evonic(&["usage", "--by", "model", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let usage: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let number = |sum: &Value, name: &str| sum[name].as_u64().expect("a number");
    let sums = usage["data"].as_array().expect("sums").iter();
    sums.map(|sum| {
        let of = sum["of"].as_str().expect("a model").to_owned();
        (of, number(sum, "calls"), number(sum, "cost"))
    })
    .collect()
}

#[test]
fn a_price_makes_a_cost_of_turns_and_sums_and_ends_a_turn_by_a_budget() {
    let listing = Scripted::Call("list_files".to_owned(), json!({"path": "."}));
    let server = Server::start(vec![text(), listing]);
    let pair = pair_with(&priced(&server, "priced", PRICE), "priced");
    let session = pair.session("payer");
    let first = pair.wait_for_turn(&pair.post(&session, "go"));
    assert_eq!((&first["state"], &first["cost"]), (&json!("completed"), &json!(COST)));
    assert_eq!(by_model(&pair), [("priced".to_owned(), 1, COST)]);
    let shown = pair.evonic(&["usage", "--by", "model"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("0.000068"), "rounded for people: {shown}");

    // Two calls and a half: the third passes the limit, and is the last.
    let limit = json!({"cost": (2 * COST + COST / 2).div_ceil(1_000_000)});
    let new = json!({"name": "each-turn", "subject": "all", "period": "turn", "limit": limit,
        "on_reached": "end"});
    let _made = budget(&pair, &new);
    let id = pair.post(&session, "spend");
    let ended = pair.wait_for_turn(&id);
    assert_eq!(ended["error"]["code"], "budget_reached", "{ended}");
    let message = ended["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("budget each-turn (all, turn) is reached: cost 0.000202 of 0.000169"),
        "{message}"
    );
    assert_eq!((&ended["steps"], &ended["cost"]), (&json!(3), &json!(3 * COST)), "{message}");
    let steps = events(&pair, &session, &id, "step.completed");
    assert!(steps.iter().all(|step| step["cost"] == COST), "{steps:?}");
    assert_eq!(by_model(&pair), [("priced".to_owned(), 4, 4 * COST)]);
    let path = format!("/api/v1/sessions/{session}");
    assert_eq!(pair.expect(200, "GET", &path, None)["cost"], 4 * COST);
}

/// A pair whose agent `payer` asks the model of this name.
fn pair_with(config: &str, model: &str) -> Pair {
    let spare = Server::start(vec![text()]);
    let pair = pair(&spare, config);
    let agent = json!({"name": "payer", "model": model});
    let _made = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    pair
}

#[test]
fn a_reply_of_a_fallback_is_counted_under_its_model_at_its_price() {
    let spent = json!({"error": {"message": "You exceeded your current quota.",
        "type": "insufficient_quota", "code": "insufficient_quota"}});
    let first = Server::start(vec![Scripted::Status(429, spent.to_string())]);
    let other = Server::start(vec![text()]);
    let config = format!(
        "{}fallback = [\"other\"]\n{}",
        priced(&first, "first", (900_000_000, 900_000_000)),
        priced(&other, "other", PRICE)
    );
    let pair = pair_with(&config, "first");
    let session = pair.session("payer");
    let id = pair.post(&session, "go");
    let turn = pair.wait_for_turn(&id);
    assert_eq!((&turn["state"], &turn["cost"]), (&json!("completed"), &json!(COST)), "{turn}");
    let steps = events(&pair, &session, &id, "step.completed");
    assert_eq!((steps.len(), &steps[0]["model"]), (1, &json!("other")), "{steps:?}");
    assert_eq!(by_model(&pair), [("other".to_owned(), 1, COST)]);
    assert_eq!(first.requests().len(), 1, "spent quota is not asked for again");
}

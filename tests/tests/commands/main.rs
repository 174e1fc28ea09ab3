//! What a model sees of commands, wherever they run; commands that want a terminal; calls that run
//! side by side, and calls that are made again and again.

mod loops;
mod reads;
mod screens;
mod unattended;

use evonic_tests::{
    pair::Pair,
    testbed::{Ran, Testbed},
};
use serde_json::json;

/// Runs a runbook and returns the contents of its results.
fn contents(testbed: &Testbed, agent: &str, runbook: &str) -> (Vec<String>, Ran) {
    let ran = testbed.run(agent, runbook);
    let contents = ran.results().into_iter().map(|(_, content)| content).collect();
    (contents, ran)
}

/// Makes an agent of this model at a workplace, named after it.
fn agent(pair: &Pair, model: &str, workplace: &str) {
    let new = json!({"name": model, "model": model, "workplace": workplace});
    let _made = pair.expect(201, "POST", "/api/v1/agents", Some(&new));
}

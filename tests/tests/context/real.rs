//! A real model with a small window.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use evonic_parts::Llama;
use evonic_tests::{
    pair::{Options, Pair},
    recorder::{Exchange, Recorder},
    size,
};
use serde_json::{Value, json};

use super::{agent, all, assert_sound};

/// Tokens of a request and its reply together.
const WINDOW: u64 = 2048;
/// Of a reply.
const REPLY: u64 = 16;

/// What the third message says, and every later one buries.
const FACT: &str = "The vault's code is 4711-Zebra.";

fn message(number: u64) -> String {
    if number == 3 {
        return FACT.to_owned();
    }
    let words = "The warehouse reported that the shipment was counted, labelled and stored. ";
    format!("Note {number}. {}", words.repeat(7))
}

/// The turn once it has ended: a model on one busy core takes its time.
fn end_of(pair: &Pair, turn: &str) -> Value {
    let began = Instant::now();
    loop {
        let turn = pair.expect(200, "GET", &format!("/api/v1/turns/{turn}?wait=30"), None);
        if !matches!(turn["state"].as_str(), Some("queued" | "running")) {
            return turn;
        }
        assert!(began.elapsed() < Duration::from_secs(600), "no end: {turn}\n{}", pair.log());
    }
}

/// What the server's own tokenizer makes of a request, and the reply that it asks for.
fn tokens(recorder: &Recorder, body: &Value) -> u64 {
    let prompt = recorder.ask("/apply-template", &json!({"messages": body["messages"]}));
    let text = json!({"content": prompt["prompt"], "add_special": true, "parse_special": true});
    let counted = recorder.ask("/tokenize", &text)["tokens"].as_array().map_or(0, Vec::len);
    counted as u64 + body["max_tokens"].as_u64().unwrap_or(REPLY)
}

/// Whether a request is a summary's: it has no tools.
fn is_summary(body: &Value) -> bool {
    body.get("tools").is_none()
}

fn cached(exchange: &Exchange) -> u64 {
    let usage = exchange.usage().unwrap_or_default();
    usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0)
}

/// How long the same beginning of two requests' messages is.
fn common(one: &Value, other: &Value) -> usize {
    let messages = |body: &Value| body["messages"].as_array().cloned().unwrap_or_default();
    let (one, other) = (messages(one), messages(other));
    one.iter().zip(&other).take_while(|(one, other)| one == other).count()
}

#[test]
fn a_session_outlives_its_window() {
    let turns = size::of("turns", 20, 200);
    let llama = Llama::start(u32::try_from(WINDOW).unwrap());
    let recorder = Recorder::start(llama.address());
    let config = format!(
        "[models.small]\nbase_url = \"http://{}/v1\"\nmodel = \"smollm2\"\nmax_tokens = {REPLY}\n\
         temperature = 0.0\n",
        recorder.address
    );
    let pair = Pair::start(&Options::config(&config));
    agent(&pair, "clerk", "small", &["read_file"]);
    let session = pair.session("clerk");
    for number in 1..=turns {
        let ended = end_of(&pair, &pair.post(&session, &message(number)));
        assert_eq!(ended["state"], "completed", "turn {number}: {ended}");
    }
    let compactions = all(&pair, &session, "compactions");
    assert_sound(&compactions);
    let summaries = compactions.iter().filter(|compaction| compaction["kind"] == "summarised");
    let summaries = summaries.count();
    size::report("turns of a session in a window of 2048", turns, "turns");
    size::report("compactions", compactions.len(), "");
    assert!(summaries >= if turns >= 200 { 5 } else { 1 }, "{compactions:#?}");

    let exchanges = recorder.exchanges();
    let completions: Vec<_> =
        exchanges.iter().filter(|exchange| !exchange.body.is_empty()).collect();
    let bodies: Vec<Value> = completions.iter().map(|exchange| exchange.json()).collect();
    let asked: Vec<_> = bodies.iter().filter(|body| !is_summary(body)).collect();
    let fixed: HashSet<String> =
        asked.iter().map(|body| format!("{}{}", body["messages"][0], body["tools"])).collect();
    assert_eq!(fixed.len(), 1, "instructions and tools are the same in every request");
    let largest = bodies.iter().map(|body| tokens(&recorder, body)).max().unwrap_or(0);
    size::report("the largest request with its reply", largest, "tokens");
    assert!(largest <= WINDOW, "a request of {largest} tokens");
    let refused = completions.iter().filter(|exchange| exchange.status != 200).count();
    assert_eq!(refused, 0, "nothing was refused");

    // What is sent goes on as it began, until a compaction; so the cache holds more and more.
    let (mut breaks, mut grew, mut rounds) = (0, 0, 0);
    let questions: Vec<_> =
        completions.iter().zip(&bodies).filter(|(_, body)| !is_summary(body)).collect();
    for pair in questions.windows(2) {
        let [(before, one), (after, other)] = pair else { continue };
        if common(one, other) < one["messages"].as_array().map_or(0, Vec::len) {
            breaks += 1;
            continue;
        }
        rounds += 1;
        grew += usize::from(cached(after) > cached(before));
    }
    size::report("requests that go on as the one before began", rounds, "");
    size::report("of them, with more tokens from the cache", grew, "");
    assert!(breaks <= compactions.len(), "{breaks} other beginnings");
    // The first request after a summary finds the summary's own in the only slot.
    assert!(grew + summaries + 1 >= rounds, "{grew} of {rounds} found more in the cache");

    let told = bodies.iter().filter(|body| is_summary(body));
    assert!(told.map(Value::to_string).any(|body| body.contains(FACT)), "the fact is summarised");
    let items = all(&pair, &session, "items");
    assert!(items.iter().any(|item| item["item"]["text"] == FACT), "the original is stored");
}

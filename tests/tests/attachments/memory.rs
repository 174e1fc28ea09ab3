//! An attachment costs the worker a few pieces of memory, however large it is.

use base64::{Engine, prelude::BASE64_STANDARD};
use evonic_tests::{process, scripted::Scripted, size};
use serde_json::{Value, json};

use crate::client::{png, post, says, upload, with_model};

/// What an attachment may add to the worker's peak.
const MOST_KIB: u64 = 16 * 1024;

#[test]
fn an_attachment_of_20_mb_adds_little_to_the_workers_peak() {
    let (_server, pair) = with_model(vec![says("I see.")], "");
    let session = pair.session("seer");
    // What the first request of each kind costs once is no matter of size.
    let small = upload(&pair, &session, "image/png", &png(1_000)).json();
    let read = |hash: &serde_json::Value| {
        let hash = hash.as_str().expect("a hash");
        let path = format!("/api/v1/sessions/{session}/blobs/{hash}");
        pair.request("GET", &path, None).expect("an answer")
    };
    assert_eq!(read(&small["sha256"]).status, 200);
    let worker = pair.worker().0;
    let idle = process::peak_memory_kib(worker).expect("it lives");
    let content = png(20_000_000);
    let answer = upload(&pair, &session, "image/png", &content);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(read(&answer.json()["sha256"]).body == content, "it is the same");
    let peak = process::peak_memory_kib(worker).expect("it lives");
    assert_eq!(pair.worker().0, worker, "it was replaced");
    size::report("worker's peak above idle: 20 MB attached and read", peak - idle, "KiB");
    assert!(peak - idle < MOST_KIB, "the worker took {} KiB more", peak - idle);
}

#[test]
fn an_attachment_of_20_mb_that_a_model_is_shown_three_times_adds_little_to_the_workers_peak() {
    let broken = || Scripted::Status(500, "{\"error\": {\"message\": \"broken\"}}".to_owned());
    let script = vec![says("Yes."), broken(), broken(), says("I see."), says("Yes.")];
    let (server, pair) = with_model(script, "");
    let session = pair.session("seer");
    let show = |content: &[u8]| {
        let hash = upload(&pair, &session, "image/png", content).json()["sha256"].clone();
        let message = json!({"content": [{"type": "image", "sha256": hash}]});
        let posted = post(&pair, &session, &message);
        assert_eq!(posted.status, 202, "{}", posted.text());
        let turn = pair.wait_for_turn(posted.json()["turn"]["id"].as_str().expect("an id"));
        assert_eq!(turn["state"], "completed", "{turn}");
    };
    // What the first turn costs once is no matter of size.
    show(&png(1_000));
    let worker = pair.worker().0;
    let idle = process::peak_memory_kib(worker).expect("it lives");
    let content = png(20_000_000);
    show(&content);
    // It is sent in later turns too.
    assert_eq!(pair.wait_for_turn(&pair.post(&session, "And now?"))["state"], "completed");
    let peak = process::peak_memory_kib(worker).expect("it lives");
    assert_eq!(pair.worker().0, worker, "it was replaced");
    size::report("worker's peak above idle: 20 MB shown to a model four times", peak - idle, "KiB");
    assert!(peak - idle < MOST_KIB, "the worker took {} KiB more", peak - idle);
    let shown = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(&content));
    let has_it = |request: &Value| {
        request["messages"].as_array().is_some_and(|messages| {
            let parts = messages.iter().filter_map(|message| message["content"].as_array());
            parts.flatten().any(|part| part["image_url"]["url"] == shown.as_str())
        })
    };
    assert_eq!(server.requests().iter().filter(|request| has_it(request)).count(), 4);
}

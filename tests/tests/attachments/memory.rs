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
    let read = |hash: &Value| {
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
fn attachments_of_35_mb_that_a_model_is_shown_four_times_add_little_to_the_workers_peak() {
    let broken = || Scripted::Status(500, "{\"error\": {\"message\": \"broken\"}}".to_owned());
    let script = vec![says("Yes."), broken(), broken(), says("I see."), says("Yes.")];
    let room = "[agents]\nmax_transcript_bytes = 67108864\n";
    let (server, pair) = with_model(script, room);
    let session = pair.session("seer");
    let part = |kind: &str, media_type: &str, content: &[u8]| {
        let hash = upload(&pair, &session, media_type, content).json()["sha256"].clone();
        json!({"type": kind, "sha256": hash, "name": "it"})
    };
    let show = |parts: Vec<Value>| {
        let posted = post(&pair, &session, &json!({"content": parts}));
        assert_eq!(posted.status, 202, "{}", posted.text());
        let turn = pair.wait_for_turn(posted.json()["turn"]["id"].as_str().expect("an id"));
        assert_eq!(turn["state"], "completed", "{turn}");
    };
    // What the first turn costs once is no matter of size.
    show(vec![part("image", "image/png", &png(1_000)), part("file", "text/plain", b"x")]);
    let worker = pair.worker().0;
    let idle = process::peak_memory_kib(worker).expect("it lives");
    let image = png(20_000_000);
    let text = |number: usize| format!("{number} \"gr\u{fc}n\"\n").repeat(1_000_000 / 12);
    let mut parts = vec![part("image", "image/png", &image)];
    parts.extend((10..25).map(|number| part("file", "text/plain", text(number).as_bytes())));
    show(parts);
    // It is sent in later turns too.
    assert_eq!(pair.wait_for_turn(&pair.post(&session, "And now?"))["state"], "completed");
    let peak = process::peak_memory_kib(worker).expect("it lives");
    assert_eq!(pair.worker().0, worker, "it was replaced");
    size::report("worker's peak above idle: 35 MB shown to a model", peak - idle, "KiB");
    assert!(peak - idle < MOST_KIB, "the worker took {} KiB more", peak - idle);
    let image = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(&image));
    let last = format!("[File it]\n{}", text(24));
    let shows_all = |request: &Value| {
        let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parts: Vec<_> =
            messages.iter().filter_map(|message| message["content"].as_array()).flatten().collect();
        parts.iter().any(|part| part["image_url"]["url"] == image.as_str())
            && parts.iter().any(|part| part["text"] == last.as_str())
    };
    assert_eq!(server.requests().iter().filter(|request| shows_all(request)).count(), 4);
}

//! An attachment costs the worker a few pieces of memory, however large it is.

use evonic_tests::{process, size};

use crate::client::{png, says, upload, with_model};

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

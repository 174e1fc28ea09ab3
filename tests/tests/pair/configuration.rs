//! An invalid configuration file affects no process before it is accepted.

use evonic_tests::pair::{Options, Pair};
use serde_json::json;

#[test]
fn a_file_edited_badly_and_not_reloaded_keeps_no_worker_from_starting() {
    let pair = Pair::start(&Options::config("[agents]\nmax_queued = 7\n"));
    let sound = std::fs::read_to_string(pair.config_file()).unwrap();
    std::fs::write(pair.config_file(), "[agents]\nmax_queud = 8\n").unwrap();
    let before = pair.worker().1;
    pair.kill_worker();
    pair.wait_for_successor(before);
    let _ready = pair.expect(200, "GET", "/readyz", None);

    // The supervisor refuses it by name; the old one stays in force, also for who comes next.
    let refused = pair.ask(&json!({ "op": "reload" })).unwrap();
    assert!(format!("{refused:?}").contains("max_queud"), "{refused:?}");
    let before = pair.worker().1;
    pair.kill_worker();
    pair.wait_for_successor(before);
    let _ready = pair.expect(200, "GET", "/readyz", None);

    // What is accepted is handed to the next worker.
    let changed = sound.replace("max_queued = 7", "max_queued = 1");
    std::fs::write(pair.config_file(), changed).unwrap();
    let before = pair.worker().1;
    pair.ask(&json!({ "op": "reload" })).unwrap();
    pair.wait_for_successor(before);
    let session = pair.session("runbook");
    let path = format!("/api/v1/sessions/{session}/messages");
    let message = json!({ "content": "$ sleep 1" });
    let busy = (0..8).map(|_| pair.request("POST", &path, Some(&message)).unwrap().status);
    assert!(busy.into_iter().any(|status| status == 429), "at most one waits");
}

//! Attachments that a model cannot be shown: they end their own turn at the most, and no session.

use std::time::Duration;

use evonic_tests::{
    pair::{Options, Pair},
    scripted::{Scripted, Server},
    troubleshooting::assert_documented,
};
use serde_json::{Value, json};

use crate::client::{png, post, refused, says, upload, with_model};

const NOTE: &str = "[The image shot.png (image/png, 1000 bytes) cannot be shown to this model.]";

/// A message with an image of this session.
fn showing(pair: &Pair, session: &str) -> Value {
    let hash = upload(pair, session, "image/png", &png(1_000)).json()["sha256"].clone();
    json!({"content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "sha256": hash, "name": "shot.png"},
    ]})
}

/// The turn of a message that is accepted.
fn turn(pair: &Pair, session: &str, message: &Value) -> Value {
    let posted = post(pair, session, message);
    assert_eq!(posted.status, 202, "{}", posted.text());
    pair.wait_for_turn(posted.json()["turn"]["id"].as_str().expect("an id"))
}

fn shows_image(request: &Value) -> bool {
    request.to_string().contains("image_url")
}

/// The code and the words of a failed turn.
fn error(turn: &Value) -> (String, String) {
    let text = |name: &str| turn["error"][name].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"))
}

#[test]
fn a_model_without_eyes_gets_a_note_for_old_images_and_refuses_new_ones() {
    let (sighted, blind) = (Server::start(vec![says("A cat.")]), Server::start(vec![says("Yes.")]));
    let config =
        format!("{}{}images = false\n", sighted.config("sighted"), blind.config("sightless"));
    let pair = Pair::start(&Options::config(&config));
    let agent = json!({"name": "seer", "model": "sighted", "tools": []});
    let made = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let session = pair.session("seer");
    let message = showing(&pair, &session);
    assert_eq!(turn(&pair, &session, &message)["state"], "completed");
    assert!(sighted.requests().iter().any(shows_image));
    let path = format!("/api/v1/agents/{}", made["id"].as_str().expect("an id"));
    let _changed = pair.expect(200, "PATCH", &path, Some(&json!({"model": "sightless"})));

    let (field, detail) = refused(&pair, &session, &message, 422);
    assert_eq!(field, "content[1]");
    assert_documented("model … has no eyes: it cannot be shown an image", &detail);
    assert!(detail.contains("attachment shot.png: model sightless has"), "{detail}");
    let ended = turn(&pair, &session, &json!({"content": "Is it asleep?"}));
    assert_eq!(ended["state"], "completed", "{ended}");
    let requests = blind.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].to_string().contains(NOTE), "{}", requests[0]);
    assert!(!shows_image(&requests[0]));
}

#[test]
fn an_endpoint_that_takes_no_images_ends_the_turn_that_has_one_and_is_remembered() {
    let words = "Invalid content type. image_url is only supported by certain models.";
    let body = json!({"error": {"message": words, "type": "invalid_request_error"}}).to_string();
    let (server, pair) = with_model(vec![Scripted::Status(400, body), says("Yes.")], "");
    let session = pair.session("seer");
    let message = showing(&pair, &session);
    let (code, told) = error(&turn(&pair, &session, &message));
    assert_eq!(code, "attachment_refused", "{told}");
    assert_documented("model … cannot be shown an attachment: status 400: …", &told);
    assert!(told.contains(words), "{told}");
    // It was learnt: the next one is refused when it is posted, and the session goes on.
    let (field, _) = refused(&pair, &session, &message, 422);
    assert_eq!(field, "content[1]");
    assert_eq!(turn(&pair, &session, &json!({"content": "Hello?"}))["state"], "completed");
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "nothing is asked twice");
    assert!(requests[1].to_string().contains(NOTE), "{}", requests[1]);
}

#[test]
fn an_image_that_an_endpoint_cannot_read_costs_its_own_turn_alone() {
    let body = json!({"error": {"message": "Could not process image"}}).to_string();
    let refusal = || Scripted::Status(400, body.clone());
    let script = vec![refusal(), refusal(), says("Yes.")];
    let (server, pair) = with_model(script, "");
    let session = pair.session("seer");
    let message = showing(&pair, &session);
    assert_eq!(error(&turn(&pair, &session, &message)).0, "attachment_refused");
    // The next turn is refused for the same image, and goes on without it.
    let ended = turn(&pair, &session, &json!({"content": "Never mind."}));
    assert_eq!(ended["state"], "completed", "{ended}");
    let requests = server.requests();
    assert_eq!(requests.iter().map(shows_image).collect::<Vec<_>>(), [true, true, false]);
    // Other images may do.
    assert_eq!(turn(&pair, &session, &message)["state"], "completed");
}

#[test]
fn a_content_that_is_gone_ends_its_turn_with_its_name_and_later_ones_go_on() {
    for (sql, words) in [
        ("DELETE FROM blob_pieces", "not all of its 1000 bytes are stored"),
        ("DELETE FROM session_blobs", "cannot be read: no attachment"),
    ] {
        let slow = Scripted::Text(vec!["So.".to_owned()], Duration::from_secs(2));
        let (server, pair) = with_model(vec![slow, says("Yes.")], "");
        let session = pair.session("seer");
        let message = showing(&pair, &session);
        // The turn waits for the one before, while what it shows is deleted.
        let first = pair.post(&session, "Hold on.");
        let posted = post(&pair, &session, &message);
        assert_eq!(posted.status, 202, "{}", posted.text());
        delete(&pair, sql);
        assert_eq!(pair.wait_for_turn(&first)["state"], "completed");
        let turn_id = posted.json()["turn"]["id"].as_str().expect("an id").to_owned();
        let (code, told) = error(&pair.wait_for_turn(&turn_id));
        assert_eq!(code, "attachment_refused", "{told}");
        assert_documented("model … cannot be shown an attachment: … cannot be read: …", &told);
        assert!(told.contains("shot.png") && told.contains(words), "{told}");
        assert_eq!(server.requests().len(), 1, "nothing is sent");

        let ended = turn(&pair, &session, &json!({"content": "And now?"}));
        assert_eq!(ended["state"], "completed", "{ended}");
        let last = server.requests().pop().expect("a request");
        assert!(last.to_string().contains(NOTE), "{last}");
    }
}

fn delete(pair: &Pair, sql: &str) {
    let database = rusqlite::Connection::open(pair.state_dir().join("evonic.db"));
    let database = database.expect("the database");
    database.busy_timeout(Duration::from_secs(10)).expect("a timeout");
    let deleted = database.execute(sql, []).expect("it is deleted");
    assert!(deleted > 0, "{sql}");
}

//! `/api/v1/sessions`, and the messages of one.

use std::time::Duration;

use serde_json::json;

use super::{test_server::until, worker::Worker};

#[test]
fn a_session_is_made_read_changed_and_deleted() {
    let worker = Worker::plain();
    let agent = worker.agent("ops");
    let session =
        worker.post("/api/v1/sessions", &json!({ "agent": "ops", "title": "one" })).created();
    assert_eq!(session["agent_id"], agent["id"]);
    let path = format!("/api/v1/sessions/{}", session["id"].as_str().unwrap());
    assert_eq!(worker.fetch(&path).json(), session);
    let changed = worker.send("PATCH", &path, &json!({ "title": "two" }));
    assert_eq!((changed.status, &changed.json()["title"]), (200, &json!("two")));
    worker.send("PATCH", &path, &json!({ "title": "x".repeat(201) })).problem(422);

    worker.agent("dev");
    worker.post("/api/v1/sessions", &json!({ "agent": "dev" })).created();
    let count = |query: &str| {
        let page = worker.fetch(&format!("/api/v1/sessions{query}")).json();
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(count(""), 2);
    assert_eq!(count("?agent=ops"), 1);
    assert_eq!(count(&format!("?agent={}", agent["id"].as_str().unwrap())), 1);
    worker.fetch("/api/v1/sessions?agent=nobody").problem(404);
    worker.post("/api/v1/sessions", &json!({ "agent": "nobody" })).problem(404);

    assert_eq!(worker.delete(&path).status, 204);
    worker.fetch(&path).problem(404);
}

#[test]
fn a_message_is_answered_and_both_are_listed() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let path = format!("/api/v1/sessions/{session}/messages");
    let reply = worker.post(&path, &json!({ "content": "$ echo hello\nshow" }));
    assert_eq!(reply.status, 202);
    let posted = reply.json();
    let turn = posted["turn"]["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("/api/v1/turns/{turn}").as_str()));
    assert_eq!(posted["message"]["content"], "$ echo hello\nshow");
    assert_eq!(worker.ended(turn)["state"], "completed");

    let messages = worker.fetch(&path).json();
    let messages = messages["data"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant"]);
    assert!(messages[1]["content"].as_str().unwrap().contains("hello"), "{messages:?}");
    let turns = worker.fetch(&format!("/api/v1/sessions/{session}/turns")).json();
    assert_eq!(turns["data"].as_array().unwrap().len(), 1);
    assert_eq!(turns["data"][0]["id"], turn);
}

#[test]
fn empty_and_oversized_messages_are_refused() {
    let worker = Worker::new(|config| config.http.max_body_bytes = 2000);
    let session = worker.session("ops");
    let path = format!("/api/v1/sessions/{session}/messages");
    for content in ["", " \n\t"] {
        let problem = worker.post(&path, &json!({ "content": content })).problem(422);
        assert_eq!(problem["field"], "content");
    }
    worker.post(&path, &json!({ "content": "x".repeat(2001) })).problem(413);
    worker.post(&path, &json!({ "content": "x", "role": "user" })).problem(400);
    assert_eq!(worker.fetch(&path).json()["data"], json!([]));
}

#[test]
fn an_idempotency_key_stores_one_message() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let path = format!("/api/v1/sessions/{session}/messages");
    let say = |key: &str, content: &str| {
        let body = json!({ "content": content }).to_string();
        worker.connect().ask(worker.request("POST", &path, key, &body))
    };
    let first = say("idempotency-key: \"k-1\"\r\n", "$ true");
    let again = say("idempotency-key: k-1\r\n", "$ true");
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.json()["message"], again.json()["message"]);
    assert_eq!(first.json()["turn"]["id"], again.json()["turn"]["id"]);
    let problem = say("idempotency-key: \"k-1\"\r\n", "$ false").problem(422);
    assert_eq!(problem["type"], "urn:evonic:problem:key_reused");
    for bad in ["\"\"", "a b", &"k".repeat(256), "\"open"] {
        let problem = say(&format!("idempotency-key: {bad}\r\n"), "$ true").problem(400);
        assert_eq!(problem["field"], "idempotency-key", "{bad}");
    }
    let twice = "idempotency-key: a\r\nidempotency-key: b\r\n";
    say(twice, "$ true").problem(400);
    assert_eq!(worker.fetch(&path.replace("messages", "turns")).json()["data"][1], json!(null));
}

#[test]
fn a_full_queue_is_answered_429() {
    let worker = Worker::new(|config| config.agents.max_queued = 2);
    let session = worker.session("ops");
    let path = format!("/api/v1/sessions/{session}/messages");
    let turn = worker.say(&session, "$ sleep 60");
    let mut queued = 0;
    let reply = loop {
        let reply = worker.post(&path, &json!({ "content": "$ true" }));
        if reply.status != 202 {
            break reply;
        }
        queued += 1;
        assert!(queued < 5);
    };
    assert_eq!(reply.problem(429)["type"], "urn:evonic:problem:queue_full");
    assert!(reply.header("retry-after").is_some());
    worker.delete(&format!("/api/v1/sessions/{session}")).problem(409);
    worker.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}));
    assert_eq!(worker.ended(&turn)["state"], "cancelled");
}

#[test]
fn unknown_and_malformed_identifiers_are_answered_404() {
    let worker = Worker::plain();
    let zeros = "0".repeat(32);
    for id in ["nothing", &format!("ses_{zeros}"), &format!("agt_{zeros}"), "ses_%00"] {
        worker.fetch(&format!("/api/v1/sessions/{id}")).problem(404);
        worker.fetch(&format!("/api/v1/sessions/{id}/messages")).problem(404);
        worker.fetch(&format!("/api/v1/sessions/{id}/turns")).problem(404);
        worker.fetch(&format!("/api/v1/sessions/{id}/events")).problem(404);
        let say = json!({ "content": "$ true" });
        worker.post(&format!("/api/v1/sessions/{id}/messages"), &say).problem(404);
        worker.delete(&format!("/api/v1/sessions/{id}")).problem(404);
    }
    for id in ["nothing", &format!("trn_{zeros}")] {
        worker.fetch(&format!("/api/v1/turns/{id}?wait=10")).problem(404);
        worker.post(&format!("/api/v1/turns/{id}/cancel"), &json!({})).problem(404);
    }
}

#[test]
fn a_message_whose_client_leaves_at_once_is_answered_all_the_same() {
    let worker = Worker::plain();
    worker.agent("ops");
    let mut accepted = 0;
    for pause in 0..60 {
        let session = worker.post("/api/v1/sessions", &json!({ "agent": "ops" })).created();
        let path = format!("/api/v1/sessions/{}", session["id"].as_str().unwrap());
        let say = json!({ "content": "$ true" }).to_string();
        let mut client = worker.connect();
        client.send(worker.request("POST", &format!("{path}/messages"), "", &say));
        // Closing resets the connection, at a different moment of the request's life each time.
        rustix::net::sockopt::set_socket_linger(client.stream(), Some(Duration::ZERO)).unwrap();
        let read = Duration::from_micros(1 + pause * 50);
        client.stream().set_read_timeout(Some(read)).unwrap();
        let _ = client.reply();
        drop(client);
        // What was accepted ends without another message that would wake the queue.
        until(|| worker.owned(), |&owned| owned == 0);
        let turns = worker.fetch(&format!("{path}/turns")).json();
        for turn in turns["data"].as_array().unwrap() {
            accepted += 1;
            assert_eq!(worker.ended(turn["id"].as_str().unwrap())["state"], "completed");
        }
    }
    assert!(accepted > 0);
}

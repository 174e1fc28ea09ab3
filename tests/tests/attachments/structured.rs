//! Answers of a form: passed on, held against their schema, asked for again, over takeovers.

use evonic_tests::troubleshooting::assert_documented;
use serde_json::{Value, json};

use crate::client::{post, refused, says, with_model};

fn number() -> Value {
    json!({"type": "json_schema", "name": "number", "schema": {
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}})
}

fn ask() -> Value {
    json!({"content": "how many?", "response_format": number()})
}

#[test]
fn a_wrong_answer_is_asked_for_again_and_the_right_one_is_the_message() {
    let script = vec![says("It is 7."), says("{\"n\": \"7\"}"), says("```json\n{\"n\": 7}\n```")];
    let (server, pair) = with_model(script, "");
    let session = pair.session("seer");
    let posted = post(&pair, &session, &ask());
    assert_eq!(posted.status, 202, "{}", posted.text());
    let turn = pair.wait_for_turn(posted.json()["turn"]["id"].as_str().expect("an id"));
    assert_eq!((&turn["state"], &turn["steps"]), (&json!("completed"), &json!(3)));
    let path = format!("/api/v1/sessions/{session}/messages");
    let messages = pair.expect(200, "GET", &path, None);
    assert_eq!(messages["data"][1]["content"], "{\"n\": 7}");
    // Each question begins as the one before it did, and ends with what was wrong.
    let requests = server.requests();
    let said = |at: usize| requests[at]["messages"].as_array().expect("messages").clone();
    for at in 1..3 {
        let (before, now) = (said(at - 1), said(at));
        assert_eq!(now[..before.len()], before[..]);
        assert_eq!(now.last().expect("a note")["role"], "user");
    }
    assert!(said(1).last().expect("a note")["content"].to_string().contains("not JSON alone"));
    assert!(said(2).last().expect("a note")["content"].to_string().contains("at /n"));
}

#[test]
fn a_model_that_never_fits_fails_with_the_path_of_the_fault() {
    let (server, pair) = with_model(vec![says("{\"n\": \"seven\"}")], "");
    let session = pair.session("seer");
    let posted = post(&pair, &session, &ask());
    let turn = pair.wait_for_turn(posted.json()["turn"]["id"].as_str().expect("an id"));
    assert_eq!(turn["error"]["code"], "invalid_output");
    let message = turn["error"]["message"].as_str().expect("words");
    assert_documented(
        "the answer does not fit response_format, also not after it was asked for again 2 times: …",
        message,
    );
    assert!(message.contains("at /n"), "{message}");
    assert_eq!(server.requests().len(), 3);
    // The session goes on, without a form.
    let turn = pair.wait_for_turn(&pair.post(&session, "and in words?"));
    assert_eq!(turn["state"], "completed");
}

#[test]
fn a_killed_worker_loses_no_try_and_adds_none() {
    let slow = evonic_tests::scripted::Scripted::Text(
        vec!["It ".to_owned(), "is 7.".to_owned()],
        std::time::Duration::from_millis(300),
    );
    let (_server, pair) = with_model(vec![slow], "");
    let session = pair.session("seer");
    let posted = post(&pair, &session, &ask());
    let turn = posted.json()["turn"]["id"].as_str().expect("an id").to_owned();
    for step in 1..3 {
        let path = format!("/api/v1/turns/{turn}");
        evonic_tests::poll::until(
            "a step",
            std::time::Duration::from_secs(60),
            || pair.request("GET", &path, None).ok().map(|answer| answer.json()["steps"].as_u64()),
            |steps| (*steps >= Some(Some(step))).then_some(()),
        );
        pair.kill_worker();
    }
    let ended = pair.wait_for_turn(&turn);
    assert_eq!(ended["error"]["code"], "invalid_output");
    assert_eq!(ended["steps"], 3, "three replies, whoever asked");
}

#[test]
fn a_schema_that_cannot_be_used_is_refused_by_its_path() {
    let (server, pair) = with_model(vec![says("{}")], "");
    let session = pair.session("seer");
    let format = |schema: Value| json!({"content": "x", "response_format": {"type": "json_schema", "schema": schema}});
    for (schema, field, words) in [
        (json!({"type": "text"}), "response_format.schema.type", ""),
        (
            json!({"items": {"$ref": "https://example.org/s"}}),
            "response_format.schema.items.$ref",
            "leads out of the schema",
        ),
        (json!({"$ref": "#"}), "response_format.schema.$ref.$ref", "leads back to itself"),
    ] {
        let (at, detail) = refused(&pair, &session, &format(schema), 422);
        assert_eq!(at, field, "{detail}");
        assert!(detail.contains(words), "{detail}");
        if words.starts_with("leads out") {
            assert_documented(
                "field 'response_format.schema…': … leads out of the schema",
                &detail,
            );
        }
    }
    let runbook = pair.session("runbook");
    let (field, detail) = refused(&pair, &runbook, &ask(), 422);
    assert_eq!(field, "response_format");
    assert_documented(
        "model … answers in a form of its own: response_format needs another one",
        &detail,
    );
    assert!(server.requests().is_empty());
}

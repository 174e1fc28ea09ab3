//! Every change is recorded: who, what, when.

mod operator;

use std::collections::BTreeSet;

use evonic_tests::http::Connection;
use serde_json::{Value, json};

use self::operator::{Operator, expected};

/// What stands in bodies and must stand in no record.
const MARKER: &str = "planted-9b1f6c";

/// Operations that change nothing that is recorded, and why.
const EXCEPTIONS: [(&str, &str); 2] = [
    ("POST /api/v1/workplaces/{id}/check", "it looks, and leaves everything as it is"),
    ("POST /api/v1/models/{id}/check", "it asks the model, and leaves everything as it is"),
];

fn agents_and_sessions(operator: &mut Operator) {
    let agents = "POST /api/v1/agents";
    let body = json!({"name": "ops", "model": "runbook", "instructions": MARKER});
    let agent = operator.change(agents, "", body, &expected("agent.create", Some("ops"), &[]));
    let one = "PATCH /api/v1/agents/{id}";
    let body = json!({"instructions": format!("{MARKER} too"), "tools": ["bash"]});
    let fields = ["instructions", "tools"];
    operator.change(one, &agent, body, &expected("agent.update", Some("ops"), &fields));
    let body = json!({"agent": "ops", "title": MARKER});
    let made = expected("session.create", None, &[]);
    let session = operator.change("POST /api/v1/sessions", "", body, &made);
    let body = json!({"title": format!("{MARKER} too")});
    let changed = expected("session.update", None, &["title"]);
    operator.change("PATCH /api/v1/sessions/{id}", &session, body, &changed);
    let body = json!({"content": format!("$ sleep 60 # {MARKER}")});
    let posted = expected("message.create", Some(&session), &[]);
    let turn = operator.change("POST /api/v1/sessions/{id}/messages", &session, body, &posted);
    let cancelled = expected("turn.cancel", Some(&session), &[]);
    operator.change("POST /api/v1/turns/{id}/cancel", &turn, Value::Null, &cancelled);
    let ended = operator.pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "cancelled");
    let deleted = expected("session.delete", None, &[]);
    operator.change("DELETE /api/v1/sessions/{id}", &session, Value::Null, &deleted);
    let deleted = expected("agent.delete", Some("ops"), &[]);
    operator.change("DELETE /api/v1/agents/{id}", &agent, Value::Null, &deleted);
}

/// What a session has beside messages, and sessions that come from elsewhere.
fn contents(operator: &mut Operator) {
    let body = json!({"agent": "runbook"});
    let made = expected("session.create", None, &[]);
    let session = operator.change("POST /api/v1/sessions", "", body, &made);
    let uploaded = expected("blob.create", Some(&session), &[]);
    let body = json!({"secret": MARKER});
    operator.change("POST /api/v1/sessions/{id}/blobs", &session, body, &uploaded);
    let asked = expected("session.compact", None, &[]);
    let compact = "POST /api/v1/sessions/{id}/compact";
    let turn = operator.change(compact, &session, Value::Null, &asked);
    let _ended = operator.pair.wait_for_turn(&turn);
    let path = format!("/api/v1/sessions/{session}/export");
    let (_, lines) = operator.ask("export", "GET", &path, None);
    let imported = expected("session.import", Some("runbook"), &[]);
    let lines_type = [("Content-Type", "application/x-ndjson")];
    let import = "POST /api/v1/import?existing=new_ids";
    let record = operator.send(import, &lines_type, &lines, &imported);
    let copy = record["target"]["id"].as_str().expect("an id");
    assert_ne!(copy, session);
    operator.get(&format!("/api/v1/sessions/{copy}"));
}

fn budgets(operator: &mut Operator) {
    let body =
        json!({"name": "month", "subject": "all", "period": "month", "limit": {"tokens": 7}});
    let made = expected("budget.create", Some("month"), &[]);
    let budget = operator.change("POST /api/v1/budgets", "", body, &made);
    let one = "/api/v1/budgets/{id}";
    let body = json!({"limit": {"tokens": 8}, "on_reached": "end"});
    let changed = expected("budget.update", Some("month"), &["limit", "on_reached"]);
    operator.change(&format!("PATCH {one}"), &budget, body, &changed);
    let deleted = expected("budget.delete", Some("month"), &[]);
    operator.change(&format!("DELETE {one}"), &budget, Value::Null, &deleted);
}

fn workplaces(operator: &mut Operator) {
    let settings = json!({"environment": {"TOKEN": MARKER}});
    let body = json!({"name": "pen", "kind": "docker", "settings": settings});
    let made = expected("workplace.create", Some("pen"), &[]);
    let pen = operator.change("POST /api/v1/workplaces", "", body, &made);
    let settings = json!({"environment": {"TOKEN": format!("{MARKER} too")}, "image": "debian"});
    let body = json!({"name": "box", "settings": settings});
    let fields = ["name", "settings.environment", "settings.image"];
    let changed = expected("workplace.update", Some("pen"), &fields);
    operator.change("PATCH /api/v1/workplaces/{id}", &pen, body, &changed);
    let built = expected("sandbox.build", Some("box"), &[]);
    let build = "POST /api/v1/sandbox/build?workplace=box";
    operator.change(build, "", Value::Null, &built);
    let end = |path: &str| json!({"workplace": "local", "path": format!("{MARKER}/{path}")});
    let body = json!({"from": end("a"), "to": end("b")});
    let begun = expected("copy.create", Some("local -> local"), &[]);
    operator.change("POST /api/v1/copies", "", body, &begun);
    let deleted = expected("workplace.delete", Some("box"), &[]);
    operator.change("DELETE /api/v1/workplaces/{id}", &pen, Value::Null, &deleted);
}

/// A key is made, used from a TCP connection, and revoked.
fn keys(operator: &mut Operator) {
    let body = json!({"name": "ci", "scope": "run"});
    let (status, text) = operator.ask("audit-key", "POST", "/api/v1/keys", Some(&body));
    assert_eq!(status, 201, "{text}");
    operator.done.insert("POST /api/v1/keys".to_owned());
    let made: Value = serde_json::from_str(&text).expect("JSON");
    let (id, secret) = (made["id"].as_str().expect("an id"), made["secret"].as_str());
    let secret = secret.expect("it is shown once");
    let headers = [("X-Request-Id", "by-key")];
    let body = json!({"agent": "runbook"});
    let answer = Connection::tcp(operator.pair.address())
        .map(|link| link.showing(secret))
        .and_then(|mut link| link.request("POST", "/api/v1/sessions", &headers, Some(&body)))
        .expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let log = operator.log();
    let of = |request: &str| log.iter().find(|line| line["request_id"] == request);
    let creation = of("audit-key").expect("a record");
    assert_eq!(
        (&creation["action"], &creation["target"]["id"]),
        (&json!("key.create"), &json!(id))
    );
    let used = of("by-key").expect("a record");
    assert_eq!((&used["actor"], &used["address"]), (&json!(id), &json!("127.0.0.1")));
    let revoked = expected("key.revoke", Some("ci"), &[]);
    operator.change("DELETE /api/v1/keys/{id}", id, Value::Null, &revoked);
    let log = Value::from(operator.log()).to_string();
    let proof = &secret[secret.len() - 64..];
    assert!(!log.contains(proof), "the key is in no record");
    let first = &operator.log()[0];
    assert_eq!((&first["action"], &first["actor"]), (&json!("key.create"), &json!("inside")));
}

/// What looks, and what is refused, is in no record.
fn reads_and_refusals(operator: &Operator) {
    let before = operator.log();
    let nobody = "/api/v1/agents/agt_00000000000070008000000000000000";
    let body = json!({"model": "runbook"});
    for (status, method, path, body) in [
        (404, "PATCH", nobody, Some(&body)),
        (404, "DELETE", nobody, None),
        (400, "POST", "/api/v1/agents", Some(&body)),
        (409, "DELETE", "/api/v1/workplaces/local", None),
        (405, "DELETE", "/api/v1/audit", None),
        (200, "GET", "/api/v1/agents", None),
        (200, "POST", "/api/v1/workplaces/local/check", None),
        (200, "POST", "/api/v1/models/runbook/check", None),
    ] {
        let (found, text) = operator.ask("refused", method, path, body);
        assert_eq!(found, status, "{method} {path}: {text}");
    }
    assert_eq!(operator.log(), before);
}

/// Every operation of the document that is not a read.
fn changing(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().expect("methods").keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    operations.filter(|operation| !operation.starts_with("GET ")).collect()
}

#[test]
fn every_change_is_recorded_with_who_and_when() {
    let mut operator = Operator::start();
    agents_and_sessions(&mut operator);
    contents(&mut operator);
    budgets(&mut operator);
    workplaces(&mut operator);
    keys(&mut operator);
    reads_and_refusals(&operator);
    let document = operator.get("/api/openapi.json");
    let excepted = EXCEPTIONS.map(|(operation, _)| operation.to_owned());
    let known: BTreeSet<_> = operator.done.iter().cloned().chain(excepted).collect();
    assert_eq!(changing(&document), known, "each is recorded, or has a reason not to be");
    let log = Value::from(operator.log()).to_string();
    assert!(!log.contains(MARKER), "{log}");

    let records = operator.pair.evonic(&["audit", "-n", "3", "--json"]);
    let records: Value = serde_json::from_slice(&records.stdout).expect("JSON");
    assert_eq!(records.as_array().map(Vec::len), Some(3), "{records}");
    assert_eq!(records[0]["action"], "key.revoke", "the newest first: {records}");
    let records = operator.pair.evonic(&["audit", "--action", "agent.create"]);
    let records = String::from_utf8_lossy(&records.stdout).into_owned();
    assert_eq!(records.lines().count(), 2, "{records}");
    assert!(records.contains("audit-1 ") && records.contains(" ops"), "{records}");

    // The log outlives the worker, and continues.
    let before = operator.log();
    operator.pair.kill_worker();
    assert_eq!(operator.log(), before);
    operator.count += 1000;
    let body = json!({"agent": "runbook"});
    operator.change("POST /api/v1/sessions", "", body, &expected("session.create", None, &[]));
}

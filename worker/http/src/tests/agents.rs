//! `/api/v1/agents`.

use serde_json::{Value, json};

use super::worker::Worker;

#[test]
fn an_agent_is_made_read_changed_and_deleted() {
    let worker = Worker::plain();
    let new = json!({
        "name": "ops", "model": "runbook", "instructions": "be brief", "tools": ["bash"]
    });
    let agent = worker.post("/api/v1/agents", &new).created();
    let path = format!("/api/v1/agents/{}", agent["id"].as_str().unwrap());
    assert_eq!(worker.fetch(&path).json(), agent);
    assert_eq!(worker.fetch("/api/v1/agents/ops").json(), agent);

    let changed = worker.send("PATCH", "/api/v1/agents/ops", &json!({ "name": "dev" }));
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["name"], "dev");
    assert_eq!(changed.json()["instructions"], "be brief");
    worker.fetch("/api/v1/agents/ops").problem(404);

    let deleted = worker.delete("/api/v1/agents/dev");
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    worker.fetch(&path).problem(404);
    worker.delete(&path).problem(404);
}

#[test]
fn an_idempotency_key_makes_one_of_each() {
    let worker = Worker::plain();
    let make = |path: &str, key: &str, body: &Value| {
        let header = format!("idempotency-key: {key}\r\n");
        worker.connect().ask(worker.request("POST", path, &header, &body.to_string()))
    };
    let agent = json!({ "name": "ops", "model": "runbook" });
    let session = json!({ "agent": "ops" });
    let workplace = json!({ "name": "far", "kind": "local" });
    for (path, body) in [
        ("/api/v1/agents", &agent),
        ("/api/v1/sessions", &session),
        ("/api/v1/workplaces", &workplace),
    ] {
        let key = format!("\"{path}\"");
        let first = make(path, &key, body).created();
        assert_eq!(make(path, &key, body).created(), first, "{path}");
    }
    let problem = make("/api/v1/sessions", "\"/api/v1/agents\"", &session).problem(422);
    assert_eq!(problem["type"], "urn:evonic:problem:key_reused");
    let renamed = json!({ "name": "dev", "model": "runbook" });
    make("/api/v1/agents", "\"/api/v1/agents\"", &renamed).problem(422);
    make("/api/v1/agents", "a b", &renamed).problem(400);
    let sessions = worker.fetch("/api/v1/sessions").json();
    assert_eq!(sessions["data"].as_array().unwrap().len(), 1);
    // A refusal is not kept: the same request may be right later.
    make("/api/v1/agents", "later", &agent).problem(409);
    assert_eq!(worker.delete("/api/v1/agents/ops").status, 204);
    make("/api/v1/agents", "later", &agent).created();
}

#[test]
fn agents_are_listed_by_pages() {
    let worker = Worker::plain();
    for index in 0..7 {
        worker.agent(&format!("agent-{index}"));
    }
    let mut names = Vec::new();
    let mut path = "/api/v1/agents?limit=3".to_owned();
    for pages in 1.. {
        let page = worker.fetch(&path).json();
        let data = page["data"].as_array().unwrap();
        names.extend(data.iter().map(|agent| agent["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(pages, 3);
            break;
        };
        path = format!("/api/v1/agents?limit=3&after={next}");
    }
    // The store comes with an agent of its own.
    assert_eq!(names[0], "runbook");
    assert_eq!(names[1..], (0..7).map(|index| format!("agent-{index}")).collect::<Vec<_>>());
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let worker = Worker::plain();
    worker.agent("taken");
    let cases = [
        (json!({ "name": "Not A Name", "model": "runbook" }), 400, Some("name")),
        (json!({ "name": "a", "model": "runbook", "colour": 1 }), 400, Some("colour")),
        (json!({ "name": "a", "model": "gpt-0" }), 422, Some("model")),
        (json!({ "name": "a", "model": "runbook", "tools": ["bash", "x"] }), 422, Some("tools[1]")),
        (json!({ "name": "taken", "model": "runbook" }), 409, None),
    ];
    for (body, status, field) in cases {
        let problem = worker.post("/api/v1/agents", &body).problem(status);
        assert_eq!(problem["field"].as_str(), field, "{body}: {problem}");
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("colour=red", "colour"),
    ] {
        let problem = worker.fetch(&format!("/api/v1/agents?{query}")).problem(400);
        assert_eq!(problem["field"], field, "{query}");
    }
    let conflict =
        worker.post("/api/v1/agents", &json!({ "name": "taken", "model": "runbook" })).problem(409);
    assert_eq!(conflict["type"], "urn:evonic:problem:name_taken");
    let change = json!({ "model": "gpt-0" });
    worker.send("PATCH", "/api/v1/agents/taken", &change).problem(422);
}

#[test]
fn other_methods_are_told_which_are_right() {
    let worker = Worker::plain();
    for (path, allow) in [
        ("/api/v1/agents", "GET, HEAD, POST"),
        ("/api/v1/agents/x", "GET, HEAD, PATCH, DELETE"),
        ("/api/v1/sessions", "GET, HEAD, POST"),
        ("/api/v1/sessions/x", "GET, HEAD, PATCH, DELETE"),
        ("/api/v1/sessions/x/messages", "GET, HEAD, POST"),
        ("/api/v1/sessions/x/turns", "GET, HEAD"),
        ("/api/v1/sessions/x/events", "GET, HEAD"),
        ("/api/v1/turns/x", "GET, HEAD"),
        ("/api/v1/turns/x/cancel", "POST"),
        ("/api/v1/models", "GET, HEAD"),
        ("/api/v1/handles", "GET, HEAD"),
        ("/api/v1/hosts", "GET, HEAD"),
        ("/api/v1/workplaces", "GET, HEAD, POST"),
        ("/api/v1/workplaces/x", "GET, HEAD, PATCH, DELETE"),
        ("/api/v1/workplaces/x/check", "POST"),
        ("/api/v1/sandbox/build", "POST"),
        ("/livez", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ] {
        let reply = worker.send("PUT", path, &json!({}));
        reply.problem(405);
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
    }
    for path in ["/", "/api", "/api/v2/agents", "/api/v1/agents/x/y", "/api/v1/sessions/x/y"] {
        worker.fetch(path).problem(404);
    }
}

#[test]
fn an_agent_at_work_is_not_deleted() {
    let worker = Worker::plain();
    let session = worker.session("busy");
    let turn = worker.say(&session, "$ sleep 60");
    worker.delete("/api/v1/agents/busy").problem(409);
    worker.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}));
    assert_eq!(worker.ended(&turn)["state"], "cancelled");
    assert_eq!(worker.delete("/api/v1/agents/busy").status, 204);
    worker.fetch(&format!("/api/v1/sessions/{session}")).problem(404);
}

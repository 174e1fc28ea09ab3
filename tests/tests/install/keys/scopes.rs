//! Who may do what.

use std::{fs, path::Path};

use evonic_tests::{
    http::{Answer, Connection},
    pair::Pair,
};
use serde_json::{Value, json};

use super::{key_of, make, pair};

/// Scopes, the least one first.
const SCOPES: [&str; 4] = ["read", "run", "operate", "admin"];

/// A line of the documented table, which a unit test holds against the one in force.
struct Line {
    path: String,
    method: String,
    /// The scope; nothing where no key is needed.
    needs: Option<String>,
    /// What a key that is restricted to agents may: `no`, `theirs`.
    restricted: String,
}

fn lines() -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
    let text = fs::read_to_string(path).expect("docs/security.md");
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| `/"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            Line {
                path: cells[0].trim_matches('`').replace("{id}", "nothing"),
                method: cells[1].split(',').next().expect("a method").to_owned(),
                needs: cells[2].strip_prefix('`').map(|scope| scope.trim_matches('`').to_owned()),
                restricted: cells[3].to_owned(),
            }
        })
        .collect();
    assert!(lines.len() > 30, "{}", lines.len());
    lines
}

fn ask(connection: &mut Connection, method: &str, path: &str) -> Answer {
    // Every route refuses a parameter that it does not know before it does anything.
    let path = format!("{path}?nobody-knows=this");
    connection.request(method, &path, &[], None).expect("an answer")
}

fn problem(answer: &Answer) -> String {
    answer.json()["type"].as_str().unwrap_or_default().replace("urn:evonic:problem:", "")
}

fn showing(pair: &Pair, key: &str) -> Connection {
    Connection::tcp_without_key(pair.address()).expect("a connection").showing(key)
}

#[test]
fn every_scope_against_every_route() {
    let pair = pair();
    let mut nobody = Connection::tcp_without_key(pair.address()).expect("a connection");
    let mut of_scope: Vec<_> =
        SCOPES.iter().map(|scope| (*scope, showing(&pair, &key_of(&pair, scope)))).collect();
    let rank = |scope: &str| SCOPES.iter().position(|known| *known == scope).expect("a scope");
    for Line { path, method, needs, .. } in lines() {
        let answer = ask(&mut nobody, &method, &path);
        let wanted = if needs.is_some() { 401 } else { 400 };
        assert_eq!(answer.status, wanted, "{method} {path} without a key: {}", answer.text());
        for (scope, connection) in &mut of_scope {
            let answer = ask(connection, &method, &path);
            let message = format!("{method} {path} with {scope}: {}", answer.text());
            match needs.as_deref().filter(|needed| rank(needed) > rank(scope)) {
                Some(needed) => {
                    assert_eq!((answer.status, problem(&answer).as_str()), (403, "scope_missing"));
                    assert_eq!(answer.json()["needed_scope"], needed, "{message}");
                    assert_eq!(answer.json()["scope"], *scope, "{message}");
                }
                // It reached the route, which knows no such parameter.
                None => assert_eq!(
                    (answer.status, problem(&answer).as_str()),
                    (400, "malformed"),
                    "{message}"
                ),
            }
        }
        // A method that is not in the table is hidden from clients without a key, and does nothing.
        let odd = ask(&mut nobody, "PUT", &path);
        assert_eq!(odd.status, if needs.is_some() { 401 } else { 405 }, "PUT {path}");
        let odd = ask(&mut of_scope[3].1, "PUT", &path);
        assert_eq!(odd.status, 405, "PUT {path}");
        assert!(odd.header("allow").is_some_and(|allow| allow.contains(&method)), "{path}");
    }
    // Only who has a key learns what is missing.
    for path in ["/", "/api/v1/nothing", "/api/v1/agents//", "/livez/x", "/api/v1/../../livez"] {
        assert_eq!(ask(&mut nobody, "GET", path).status, 401, "{path}");
        assert_eq!(ask(&mut of_scope[0].1, "GET", path).status, 404, "{path}");
    }
}

#[test]
fn a_restricted_key_sees_its_agents_only() {
    let pair = pair();
    let other = json!({"name": "other", "model": "runbook"});
    let other = pair.expect(201, "POST", "/api/v1/agents", Some(&other));
    let (mine, theirs) = (pair.session("runbook"), pair.session("other"));
    let their_turn = pair.post(&theirs, "$ echo theirs");
    let _ = pair.wait_for_turn(&their_turn);
    let body = json!({"name": "some", "scope": "run", "agents": ["runbook"]});
    let mut some = showing(&pair, &make(&pair, &body).0);

    for Line { path, method, needs, restricted } in lines() {
        let answer = ask(&mut some, &method, &path);
        let is_admins = needs.as_deref().is_some_and(|scope| !["read", "run"].contains(&scope));
        let wanted = match restricted.as_str() {
            "no" if is_admins => (403, "scope_missing"),
            "no" => (403, "key_restricted"),
            _ => (400, "malformed"),
        };
        assert_eq!((answer.status, problem(&answer).as_str()), wanted, "{method} {path}");
    }

    let mut get = |path: &str| some.request("GET", path, &[], None).expect("an answer");
    let ids = |answer: Answer| -> Vec<Value> {
        let list = answer.json();
        list["data"].as_array().expect("a list").iter().map(|entry| entry["id"].clone()).collect()
    };
    let agents = get("/api/v1/agents").json();
    assert_eq!(agents["data"].as_array().expect("a list").len(), 1);
    assert_eq!(agents["data"][0]["name"], "runbook");
    assert_eq!(ids(get("/api/v1/sessions")), [json!(mine)]);
    assert_eq!(ids(get("/api/v1/sessions?agent=runbook")), [json!(mine)]);
    let id = other["id"].as_str().expect("an id");
    for path in [
        "/api/v1/sessions?agent=other".to_owned(),
        "/api/v1/agents/other".to_owned(),
        format!("/api/v1/agents/{id}"),
        format!("/api/v1/sessions/{theirs}"),
        format!("/api/v1/sessions/{theirs}/messages"),
        format!("/api/v1/sessions/{theirs}/turns"),
        format!("/api/v1/sessions/{theirs}/events"),
        format!("/api/v1/turns/{their_turn}"),
    ] {
        assert_eq!(get(&path).status, 404, "{path}");
    }
    let mut send = |method: &str, path: &str, body: Option<Value>| {
        some.request(method, path, &[], body.as_ref()).expect("an answer").status
    };
    assert_eq!(send("POST", "/api/v1/sessions", Some(json!({"agent": "other"}))), 404);
    let at = |rest: &str| format!("/api/v1/sessions/{theirs}{rest}");
    assert_eq!(send("POST", &at("/messages"), Some(json!({"content": "$ echo no"}))), 404);
    assert_eq!(send("PATCH", &at(""), Some(json!({"title": "no"}))), 404);
    assert_eq!(send("DELETE", &at(""), None), 404);
    assert_eq!(send("POST", &format!("/api/v1/turns/{their_turn}/cancel"), None), 404);

    assert_eq!(send("POST", "/api/v1/sessions", Some(json!({"agent": "runbook"}))), 201);
    let path = format!("/api/v1/sessions/{mine}/messages");
    let posted = some.request("POST", &path, &[], Some(&json!({"content": "$ echo mine"})));
    let turn = posted.expect("an answer").json()["turn"]["id"].clone();
    let path = format!("/api/v1/turns/{}?wait=30", turn.as_str().expect("an id"));
    let ended = some.request("GET", &path, &[], None).expect("an answer").json();
    assert_eq!(ended["state"], "completed", "{ended}");
    // A key that may change agents could widen its own bounds.
    let body = json!({"name": "wide", "scope": "operate", "agents": ["runbook"]});
    let refused = pair.expect(422, "POST", "/api/v1/keys", Some(&body));
    assert_eq!(refused["field"], "agents");
}

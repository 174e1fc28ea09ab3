//! What a client sends and sees.

use evonic_tests::{
    http::{Answer, Connection},
    pair::{Options, Pair},
    scripted::{Scripted, Server},
    testbed::read_database,
};
use serde_json::{Value, json};

/// The first bytes of a PNG, and some more.
pub(crate) fn png(length: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.resize(length.max(bytes.len()), 0x5a);
    bytes
}

/// A server that always says this, and a pair whose agent `seer` asks it.
pub(crate) fn with_model(script: Vec<Scripted>, more: &str) -> (Server, Pair) {
    let server = Server::start(script);
    let pair = Pair::start(&Options::config(&format!("{more}{}", server.config("remote"))));
    let agent = json!({"name": "seer", "model": "remote", "tools": []});
    let _made = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    (server, pair)
}

pub(crate) fn says(text: &str) -> Scripted {
    Scripted::Text(vec![text.to_owned()], std::time::Duration::ZERO)
}

/// Uploads a content to a session, on a connection of its own.
pub(crate) fn upload(pair: &Pair, session: &str, media_type: &str, content: &[u8]) -> Answer {
    let mut connection = Connection::tcp(pair.address()).expect("a connection");
    let path = format!("/api/v1/sessions/{session}/blobs");
    let length = content.len().to_string();
    let mut headers = vec![("Content-Length", length.as_str())];
    if !media_type.is_empty() {
        headers.push(("Content-Type", media_type));
    }
    connection.ask("POST", &path, &headers, None).expect("it is sent");
    // A server that refuses early may close before all of it is sent: its answer counts.
    let _ = connection.send(content);
    connection.answer().expect("an answer")
}

/// Posts a message; the answer.
pub(crate) fn post(pair: &Pair, session: &str, body: &Value) -> Answer {
    let path = format!("/api/v1/sessions/{session}/messages");
    pair.request("POST", &path, Some(body)).expect("an answer")
}

/// A refused message: its field and its detail.
pub(crate) fn refused(pair: &Pair, session: &str, body: &Value, status: u16) -> (String, String) {
    let answer = post(pair, session, body);
    assert_eq!(answer.status, status, "{}", answer.text());
    let problem = answer.json();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    (text("field"), text("detail"))
}

/// A number from the database.
pub(crate) fn count(pair: &Pair, sql: &str) -> i64 {
    read_database(pair).query_row(sql, [], |row| row.get(0)).expect("a number")
}

//! Who makes changes, and looks for their records.

use std::collections::BTreeSet;

use evonic_tests::pair::{Options, Pair};
use serde_json::{Value, json};

/// Makes changes over the Unix socket, and remembers which operations it used.
pub(super) struct Operator {
    pub(super) pair: Pair,
    pub(super) done: BTreeSet<String>,
    pub(super) count: usize,
}

impl Operator {
    pub(super) fn start() -> Self {
        // No engine of this machine is touched.
        let config = "[docker]\nengine = \"unix:///nowhere/docker.sock\"\n";
        let pair = Pair::start(&Options::config(config));
        Self { pair, done: BTreeSet::new(), count: 0 }
    }

    pub(super) fn ask(
        &self,
        id: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, String) {
        let answer = self
            .pair
            .operator()
            .and_then(|mut link| link.request(method, path, &[("X-Request-Id", id)], body))
            .unwrap_or_else(|failure| panic!("{method} {path}: {failure:?}"));
        (answer.status, answer.text())
    }

    pub(super) fn get(&self, path: &str) -> Value {
        let (status, text) = self.ask("look", "GET", path, None);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The whole log.
    pub(super) fn log(&self) -> Vec<Value> {
        let (mut log, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/audit?limit=7{after}"));
            log.extend(page["data"].as_array().expect("a list").clone());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return log,
            }
        }
    }

    /// Makes a change, and finds its one record; the identifier of what was made.
    pub(super) fn change(
        &mut self,
        operation: &str,
        id: &str,
        body: Value,
        expected: &Expected<'_>,
    ) -> String {
        let request = self.next(operation);
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let path = path.replace("{id}", id);
        let body = (!body.is_null()).then_some(body);
        let (status, text) = self.ask(&request, method, &path, body.as_ref());
        assert!((200..300).contains(&status), "{operation}: {status} {text}");
        let record = self.record(operation, &request, expected);
        let made: Value = serde_json::from_str(&text).unwrap_or_default();
        // What is made by compacting is a turn: a thing of the session that it is asked of.
        if expected.action != "session.compact" {
            for place in [&made["id"], &made["message"]["id"], &made["sha256"]] {
                if let Some(id) = place.as_str() {
                    assert_eq!(record["target"]["id"], id, "{record}");
                }
            }
        }
        let turn = made["turn"]["id"].as_str();
        turn.or(made["id"].as_str()).unwrap_or_default().to_owned()
    }

    /// Sends a body that is no JSON value; its one record.
    pub(super) fn send(
        &mut self,
        operation: &str,
        headers: &[(&str, &str)],
        body: &str,
        expected: &Expected<'_>,
    ) -> Value {
        let request = self.next(operation);
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let length = body.len().to_string();
        let headers =
            [headers, &[("X-Request-Id", &request), ("Content-Length", &length)]].concat();
        let answer = self.pair.operator().and_then(|mut link| {
            link.ask(method, path, &headers, None)?;
            link.send(body.as_bytes())?;
            link.answer()
        });
        let answer = answer.unwrap_or_else(|failure| panic!("{operation}: {failure:?}"));
        assert!((200..300).contains(&answer.status), "{operation}: {}", answer.text());
        self.record(operation, &request, expected)
    }

    /// The request id of the next change.
    fn next(&mut self, operation: &str) -> String {
        self.count += 1;
        let operation = operation.split('?').next().unwrap_or(operation);
        self.done.insert(operation.to_owned());
        format!("audit-{}", self.count)
    }

    /// The one record of a request, which is the last of the log.
    fn record(&self, operation: &str, request: &str, expected: &Expected<'_>) -> Value {
        let log = self.log();
        let found: Vec<_> = log.iter().filter(|line| line["request_id"] == *request).collect();
        let [record] = found[..] else { panic!("{operation}: {found:?} of {log:#?}") };
        let is_root = rustix::process::geteuid().is_root();
        let key = format!("key_{}", &self.pair.admin_key()[4..36]);
        let actor = if is_root { "uid:0" } else { &key };
        assert_eq!(record["actor"], actor, "{record}");
        assert_eq!(record["address"], Value::Null, "{record}");
        assert_eq!(record["action"], expected.action, "{record}");
        assert_eq!(record["target"]["name"], json!(expected.name), "{record}");
        assert_eq!(record["fields"], json!(expected.fields), "{record}");
        assert_eq!(record["position"], log.last().expect("a record")["position"], "{record}");
        record.clone()
    }
}

/// The content of a change's audit record.
pub(super) struct Expected<'a> {
    action: &'a str,
    name: Option<&'a str>,
    fields: &'a [&'a str],
}

pub(super) const fn expected<'a>(
    action: &'a str,
    name: Option<&'a str>,
    fields: &'a [&'a str],
) -> Expected<'a> {
    Expected { action, name, fields }
}

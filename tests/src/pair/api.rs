//! Requests to the HTTP API of a pair.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Pair;
use crate::http::{Answer, Connection, Failure, register_key};

impl Pair {
    /// Where HTTP is served. Connections to it show the admin key from then on.
    ///
    /// # Panics
    /// When there is no such listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let status = self.status();
        let http = status.listeners.iter().find(|listener| listener.name == "http");
        let address = http.expect("an http listener").address.parse().expect("an address");
        register_key(address, self.state_dir().join("admin.key"));
        address
    }

    /// The admin key of the first start.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn admin_key(&self) -> String {
        let text = fs::read_to_string(self.state_dir().join("admin.key")).expect("a first key");
        text.trim_end().to_owned()
    }

    /// A connection of an operator to the Unix socket: root needs no key.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn operator(&self) -> Result<Connection, Failure> {
        let connection = Connection::unix(&self.runtime_dir().join("api.sock"))?;
        let is_root = rustix::process::geteuid().is_root();
        Ok(if is_root { connection } else { connection.showing(&self.admin_key()) })
    }

    /// One request over TCP on a connection of its own.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        Connection::tcp(self.address())?.request(method, path, &[], body)
    }

    /// A request that must be answered with this status; its JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn expect(&self, status: u16, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.request(method, path, body).expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// A new session of an agent; its identifier.
    #[must_use]
    pub fn session(&self, agent: &str) -> String {
        let session = self.expect(201, "POST", "/api/v1/sessions", Some(&json!({"agent": agent})));
        session["id"].as_str().expect("an id").to_owned()
    }

    /// Posts a message; its turn's identifier.
    #[must_use]
    pub fn post(&self, session: &str, content: &str) -> String {
        let path = format!("/api/v1/sessions/{session}/messages");
        let posted = self.expect(202, "POST", &path, Some(&json!({"content": content})));
        posted["turn"]["id"].as_str().expect("an id").to_owned()
    }

    /// Posts a message once, however often its worker dies meanwhile: `key` is of this message
    /// alone. Its turn's identifier.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn post_under_kills(&self, session: &str, key: &str, content: &str) -> String {
        let path = format!("/api/v1/sessions/{session}/messages");
        let body = json!({"content": content});
        loop {
            let answer = Connection::tcp(self.address()).and_then(|mut connection| {
                connection.request("POST", &path, &[("Idempotency-Key", key)], Some(&body))
            });
            match answer {
                Ok(answer) if answer.status == 202 => {
                    return answer.json()["turn"]["id"].as_str().expect("an id").to_owned();
                }
                Ok(answer) if answer.status != 503 => panic!("{}", answer.text()),
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Waits until a turn ended; the turn.
    ///
    /// # Panics
    /// When it does not within two minutes.
    #[must_use]
    pub fn wait_for_turn(&self, turn: &str) -> Value {
        let path = format!("/api/v1/turns/{turn}?wait=10");
        let began = Instant::now();
        loop {
            if let Ok(answer) = self.request("GET", &path, None)
                && answer.status == 200
            {
                let turn = answer.json();
                if matches!(turn["state"].as_str(), Some("completed" | "failed" | "cancelled")) {
                    return turn;
                }
            }
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "turn {turn} does not end; log:\n{}",
                self.log()
            );
        }
    }
}

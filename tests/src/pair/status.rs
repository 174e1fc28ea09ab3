//! What the supervisor of a pair answers on its status socket.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use evonic_shared::status::{Replacement, Reply, State, Status, TOKEN_FILE};
use serde_json::{Value, json};

use super::{Pair, TIMEOUT};

impl Pair {
    /// Sends one request to the status socket, as an operator: with the token.
    ///
    /// # Errors
    /// When it does not answer with a reply.
    pub fn ask(&self, request: &Value) -> anyhow::Result<Reply> {
        let mut stream = UnixStream::connect(self.runtime_dir().join("supervisor.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let token = std::fs::read_to_string(self.runtime_dir().join(TOKEN_FILE))?;
        let mut request = request.clone();
        request["token"] = token.trim().into();
        writeln!(stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The status of now.
    ///
    /// # Panics
    /// When the supervisor does not answer.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.ask(&json!({"op": "status"})) {
            Ok(Reply::Status(status)) => status,
            other => panic!("no status: {other:?}; log:\n{}", self.log()),
        }
    }

    /// Waits for a status.
    ///
    /// # Panics
    /// When it does not come within [`TIMEOUT`].
    pub fn wait(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        self.wait_within(what, TIMEOUT, wanted)
    }

    /// Waits for a status.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn wait_within(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Status {
        let began = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(
                began.elapsed() < deadline,
                "not within {deadline:?}: {what}; last: {status:#?}\nlog:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a worker above this generation serves alone.
    pub fn wait_for_successor(&self, of: u64) -> Status {
        self.wait("a successor serves alone", |status| {
            status.state == State::Running
                && status.worker.as_ref().is_some_and(|worker| worker.generation > of)
                && status.predecessor.is_none()
        })
    }

    /// The history, newest first.
    ///
    /// # Panics
    /// When the supervisor does not answer.
    #[must_use]
    pub fn history(&self) -> Vec<Replacement> {
        match self.ask(&json!({"op": "history"})) {
            Ok(Reply::History { entries, .. }) => entries,
            other => panic!("no history: {other:?}"),
        }
    }

    /// The worker's pid and generation.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn worker(&self) -> (u32, u64) {
        let worker = self.status().worker.expect("a worker");
        (worker.pid, worker.generation)
    }
}

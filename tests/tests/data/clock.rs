//! A wall's clock that steps: libfaketime under both programs, which leaves the monotonic ones alone.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use evonic_parts::Folder;
use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    poll,
};
use serde_json::{Value, json};

/// Where Debian has it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A pair whose clock a file sets.
struct Stepped {
    pair: Pair,
    offset: PathBuf,
}

impl Stepped {
    fn start(config: &str) -> Self {
        let folder = Folder::with_prefix("evonic-").unwrap();
        let offset = folder.path().join("clock");
        set(&offset, "+0");
        assert!(Path::new(LIBRARY).exists(), "tests/parts.sh installs faketime");
        let variables = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = Options { environment: environment.to_vec(), ..Options::config(config) };
        let pair = Pair::spawn_in(folder, &options).answering();
        pair.wait("the first worker serves", |status| {
            status.state == evonic_shared::status::State::Running
        });
        Self { pair, offset }
    }

    /// Steps the clock; waits until the worker's has.
    fn step(&self, offset: &str) {
        let before = self.now();
        set(&self.offset, offset);
        poll::until(
            "the worker's clock has stepped",
            Duration::from_secs(10),
            || self.now(),
            |now| (now.get(..13) != before.get(..13)).then_some(()),
        );
    }

    /// What the worker has for now, to the hour.
    fn now(&self) -> String {
        let session = self.session_with(None);
        session["created_at"].as_str().unwrap().to_owned()
    }

    fn session_with(&self, key: Option<&str>) -> Value {
        let headers: Vec<_> = key.into_iter().map(|key| ("Idempotency-Key", key)).collect();
        let body = json!({"agent": "runbook"});
        let answer = Connection::tcp(self.pair.address()).and_then(|mut connection| {
            connection.request("POST", "/api/v1/sessions", &headers, Some(&body))
        });
        let answer = answer.expect("an answer");
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
        answer.json()
    }

    fn audit(&self) -> usize {
        let log = self.pair.expect(200, "GET", "/api/v1/audit?limit=200", None);
        log["data"].as_array().unwrap().len()
    }
}

fn set(file: &Path, offset: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, format!("{offset}\n")).unwrap();
    fs::rename(beside, file).unwrap();
}

#[test]
fn a_clock_that_steps_forgets_nothing_and_ends_no_turn() {
    let stepped = Stepped::start("");
    let pair = &stepped.pair;
    let before: Vec<_> = (0..3).map(|_| stepped.session_with(None)).collect();
    let named = stepped.session_with(Some("once"));
    let session = before[0]["id"].as_str().unwrap();
    let turn = pair.post(session, "$ sleep 3; echo done");
    let path = format!("/api/v1/turns/{turn}");
    poll::until(
        "it runs",
        Duration::from_secs(20),
        || pair.expect(200, "GET", &path, None)["state"].as_str().map(str::to_owned),
        |state| (state.as_deref() == Some("running")).then_some(()),
    );
    let mut kept = stepped.audit();
    for offset in ["+3y", "+40y", "-2d", "+0"] {
        stepped.step(offset);
        for _ in 0..5 {
            let _ = stepped.session_with(None);
        }
        let now = stepped.audit();
        assert!(now >= kept + 5, "{offset}: {kept} records, then {now}");
        kept = now;
        let again = stepped.session_with(Some("once"));
        assert_eq!(again["id"], named["id"], "{offset}: the same request is done twice");
        if offset == "+3y" {
            // Its next owner counts what it ran by the machine's uptime.
            let _ = pair.kill_worker();
        }
    }
    let turn = pair.wait_for_turn(&turn);
    assert_eq!(turn["state"], "completed", "{turn}");
    assert_eq!(pair.history().len(), 1, "{:?}", pair.history());
}

#[test]
fn a_clock_that_steps_back_shuts_nobody_out() {
    let limits = "[limits]\naddress = [\"20/1s\", \"400/1m\"]\nkey = [\"1000/1s\"]\n\
                  failed = [\"20/1m\", \"200/1h\"]\n";
    let stepped = Stepped::start(limits);
    let mut connection = Connection::tcp(stepped.pair.address()).unwrap();
    let mut ask = || connection.request("GET", "/api/v1/agents", &[], None).unwrap().status;
    for offset in ["-5h", "-10h", "+0", "-3h"] {
        for _ in 0..5 {
            assert_eq!(ask(), 200);
        }
        set(&stepped.offset, offset);
        let began = Instant::now();
        // Within a window of a second, however far it stepped.
        poll::until("it is let in", Duration::from_secs(5), &mut ask, |status| {
            (*status == 200).then_some(())
        });
        assert!(began.elapsed() < Duration::from_secs(3), "{offset}: {:?}", began.elapsed());
        assert_eq!(ask(), 200, "{offset}");
    }
}

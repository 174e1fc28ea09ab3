//! Secrets are in no file and in no output.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use evonic_parts::Sshd;
use evonic_tests::{
    fault::{Fault, Leaked},
    http::Connection,
    pair::Options,
    poll,
    scripted::{Scripted, Server},
    testbed::{Testbed, ssh_settings},
};
use serde_json::json;

/// What is planted, by where.
const MARKERS: [(&str, &str); 7] = [
    ("model key in a variable", "sk-marker-variable-4f1e90c2"),
    ("model key in a file", "sk-marker-file-77ab03d1"),
    ("password of an SSH user", "marker-password-c0ffee55"),
    ("passphrase of an SSH key", "marker-passphrase-51d3e8aa"),
    ("key of a client", "evk_marker-client-9b2d44e0"),
    ("other header of a client", "marker-cookie-38f7a6c9"),
    ("variable of the service", "marker-environment-e21bb077"),
];

fn marker(place: &str) -> &'static str {
    MARKERS.iter().find(|(known, _)| *known == place).expect("a known place").1
}

#[test]
fn secrets_are_in_no_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let key_file = folder.path().join("key");
    fs::write(&key_file, marker("model key in a file")).expect("a file");
    let passphrase_file = folder.path().join("passphrase");
    fs::write(&passphrase_file, marker("passphrase of an SSH key")).expect("a file");

    // Each endpoint quotes the key that it refuses.
    let endpoint = |place| {
        let refusal = format!("{{\"error\":{{\"message\":\"wrong key {}\"}}}}", marker(place));
        Server::start(vec![Scripted::Status(401, refusal)])
    };
    let endpoints = ["model key in a variable", "model key in a file"].map(endpoint);
    let config = format!(
        "{}key_env = \"MARKED_KEY\"\n{}key_file = {:?}\n[fd]\nunexplained = 64\n",
        endpoints[0].config("variable"),
        endpoints[1].config("file"),
        key_file.display().to_string(),
    );
    let leak = Fault::Leak { leaked: Leaked::Files, per_second: 200, after_ms: 1_000 };
    let mut options = Options::config(&config).fault(1, leak);
    options.environment = [
        ("MARKED_KEY", marker("model key in a variable")),
        ("MARKED_PASSWORD", marker("password of an SSH user")),
        ("MARKED_VARIABLE", marker("variable of the service")),
        ("EVONIC_LOG", "trace"),
        ("EVONIC_LOG_FORMAT", "json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let leaked = folder.path().join("leaked");
    fs::create_dir(&leaked).expect("a folder");
    options.environment.push(("EVONIC_TEST_LEAK_FOLDER".to_owned(), leaked.display().to_string()));
    let sshd = Sshd::start();
    let account = sshd.account("/bin/bash", "home");
    let testbed = Testbed::local(&options);
    // The first worker leaks until its post-mortem is written.
    let replaced = testbed.pair.wait_for_successor(1);
    let post_mortem = replaced.last_restart.and_then(|last| last.post_mortem);
    assert!(post_mortem.is_some(), "no post-mortem: {:#?}", testbed.pair.history());

    for (name, authenticate) in [("by-password", "password"), ("by-key", "key")] {
        let mut settings = ssh_settings(&sshd, &account);
        settings["authenticate"] = json!([authenticate]);
        settings["password"] = json!({"env": "MARKED_PASSWORD"});
        settings["passphrase"] = json!({"file": passphrase_file});
        testbed.workplace(name, "ssh", &settings);
        let _ran = testbed.run(name, "$ env");
    }
    for name in ["variable", "file"] {
        let agent = json!({"name": name, "model": name});
        let _made = testbed.pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
        let ran = testbed.run(name, "hello");
        assert_eq!(ran.ended["state"], "failed", "{:?}", ran.ended);
    }
    for (endpoint, place) in
        endpoints.iter().zip(["model key in a variable", "model key in a file"])
    {
        assert_eq!(endpoint.keys(), [format!("Bearer {}", marker(place))]);
    }
    let _ran = testbed.run("runbook", "$ env");

    let mut outputs = BTreeMap::new();
    let forged = [
        ("authorization", format!("Bearer {}", marker("key of a client"))),
        ("cookie", marker("other header of a client").to_owned()),
    ];
    let forged: Vec<_> = forged.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let get = |path: &str| {
        let connection = Connection::tcp(testbed.pair.address()).expect("a connection");
        let answer = { connection }.request("GET", path, &forged, None).expect("an answer");
        format!("{path}: {} {}", answer.status, answer.text())
    };
    for path in ["/api/v1/sessions", "/metrics", "/readyz", "/nothing"] {
        outputs.insert(format!("answer to a forged key: {path}"), get(path));
    }
    for path in ["agents", "workplaces", "models", "hosts", "sessions", "handles"] {
        let answer = testbed.pair.expect(200, "GET", &format!("/api/v1/{path}"), None);
        if path == "sessions" {
            for session in answer["data"].as_array().expect("a list") {
                let id = session["id"].as_str().expect("an identifier");
                for part in ["messages", "turns"] {
                    let path = format!("/api/v1/sessions/{id}/{part}");
                    let answer = testbed.pair.expect(200, "GET", &path, None);
                    outputs.insert(path, answer.to_string());
                }
            }
        }
        outputs.insert(path.to_owned(), answer.to_string());
    }
    let metrics = testbed.pair.request("GET", "/metrics", None).expect("an answer");
    outputs.insert("metrics".to_owned(), metrics.text());
    for op in ["status", "history", "census"] {
        let reply = testbed.pair.ask(&json!({ "op": op })).expect("a reply");
        outputs.insert(op.to_owned(), format!("{reply:?}"));
    }
    let log = poll::until(
        "the log tells of the turns",
        evonic_tests::pair::TIMEOUT,
        || testbed.pair.log(),
        |log| log.contains("invoke_agent").then(|| log.clone()),
    );
    for line in log.lines().filter(|line| line.starts_with('{')) {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON: {line}");
    }
    outputs.insert("log".to_owned(), log);

    let state = testbed.pair.state_dir();
    let mut markers: Vec<(String, String)> =
        MARKERS.map(|(place, marker)| (place.to_owned(), marker.to_owned())).into();
    let own_key = state.join("admin.key");
    if let Ok(key) = fs::read_to_string(&own_key) {
        markers.push(("first key of the installation".to_owned(), key.trim().to_owned()));
    }
    let files = files(&state).into_iter().filter(|path| *path != own_key);
    let files: Vec<_> = files.map(|path| (fs::read(&path).unwrap_or_default(), path)).collect();
    for wanted in ["evonic.db", "history.jsonl", "post-mortems"] {
        let found = files.iter().any(|(_, path)| path.to_string_lossy().contains(wanted));
        assert!(found, "{wanted} was searched");
    }
    for (place, marker) in &markers {
        for (source, text) in &outputs {
            assert!(!text.contains(marker.as_str()), "{place} is in {source}:\n{text}");
        }
        for (bytes, path) in &files {
            let found = bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
            assert!(!found, "{place} is in {}", path.display());
        }
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

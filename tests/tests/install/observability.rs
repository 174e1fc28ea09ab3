//! What the log and the metrics show: a request through to its turn, and the supervisor.

use base64::Engine;
use evonic_tests::{
    pair::{Options, Pair, TIMEOUT},
    poll,
};
use serde_json::{Value, json};

#[test]
fn a_request_id_is_in_every_log_line_of_its_turn() {
    let mut options = Options::default();
    for (name, value) in [("EVONIC_LOG", "debug"), ("EVONIC_LOG_FORMAT", "json")] {
        options.environment.push((name.to_owned(), value.to_owned()));
    }
    let pair = Pair::start(&options);
    let session = pair.session("runbook");
    let path = format!("/api/v1/sessions/{session}/messages");
    let post = |headers: &[(&str, &str)]| {
        let mut connection = pair.operator().expect("a connection");
        let body = json!({"content": "$ true"});
        let answer = connection.request("POST", &path, headers, Some(&body)).expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.text());
        let request_id = answer.header("x-request-id").expect("an identifier").to_owned();
        (request_id, answer.json()["turn"].clone())
    };
    let (request_id, turn) = post(&[("x-request-id", "follow-me")]);
    assert_eq!((request_id.as_str(), &turn["request_id"]), ("follow-me", &json!("follow-me")));
    let id = turn["id"].as_str().expect("an identifier").to_owned();
    assert_eq!(pair.wait_for_turn(&id)["request_id"], "follow-me");
    let (request_id, turn) = post(&[]);
    assert_eq!(
        turn["request_id"],
        json!(request_id),
        "the worker's own identifier is kept as well"
    );
    let _ended = pair.wait_for_turn(turn["id"].as_str().expect("an identifier"));

    let lines = poll::until(
        "the log tells of the turn",
        TIMEOUT,
        || {
            let log = pair.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.filter(|line| line["turn_id"] == id.as_str()).collect::<Vec<_>>()
        },
        |lines| {
            let inside = |line: &&Value| line["span"].is_string();
            let inside: Vec<_> = lines.iter().filter(inside).cloned().collect();
            (!inside.is_empty()).then_some(inside)
        },
    );
    for line in lines {
        assert_eq!(line["request_id"], "follow-me", "{line}");
    }
}

#[test]
fn the_worker_shows_the_supervisors_metrics() {
    // Often, and on a slow machine late without harm.
    let pair = Pair::start(&Options::config(
        "[supervisor]\nheartbeat_interval = \"200ms\"\nheartbeat_timeout = \"1m\"\n",
    ));
    let (_, generation) = pair.worker();
    pair.ask(&json!({"op": "restart"})).expect("a reply");
    pair.wait_for_successor(generation);
    let text = poll::until(
        "the supervisor's figures",
        TIMEOUT,
        || pair.request("GET", "/metrics", None).map(|answer| answer.text()).unwrap_or_default(),
        |text| {
            let counted = "evonic_supervisor_restarts_total{reason=\"requested\"} 1\n";
            text.contains(counted).then(|| text.clone())
        },
    );
    let metric = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in:\n{text}"))
    };
    assert_eq!(metric("evonic_supervisor_restarts_total{reason=\"crash\"}"), 0.0);
    let worker = pair.status().worker.expect("a worker");
    assert_eq!(metric("evonic_supervisor_fds_threshold"), f64::from(worker.fd.threshold));
    assert_eq!(metric("evonic_supervisor_fds_ceiling"), f64::from(worker.fd.ceiling));
    assert!(metric("evonic_supervisor_fds") >= 10.0);
    let started = metric("evonic_supervisor_start_time_seconds");
    let restarted = metric("evonic_supervisor_last_restart_time_seconds");
    let beat = metric("evonic_supervisor_heartbeat_time_seconds");
    assert!(started <= restarted && restarted < beat + 1.0, "{started} {restarted} {beat}");
}

#[test]
fn an_unusable_certificate_is_reported_with_its_key() {
    let pair = Pair::launch(&Options::config(
        "[http.tls]\ncertificate = \"no-such.pem\"\nkey = \"no-such.key\"\n",
    ));
    let status = pair.wait("the worker ended", |status| {
        status
            .last_error
            .as_ref()
            .is_some_and(|error| error.contains("http.tls.certificate: cannot read "))
    });
    assert!(status.last_error.is_some());
    let log = pair.log();
    assert!(log.contains("http.tls.certificate: cannot read "), "{log}");
}

#[test]
fn the_command_line_speaks_https() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
    let write = |name: &str, label: &str, content: &[u8]| {
        let content = base64::engine::general_purpose::STANDARD.encode(content);
        let path = folder.path().join(name);
        let text = format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let certificate = write("certificate.pem", "CERTIFICATE", own.cert.der());
    let key = write("key.pem", "PRIVATE KEY", &own.signing_key.serialize_der());
    let tls = format!("[http.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let pair = Pair::start(&Options::config(&tls));
    let server = format!("https://localhost:{}", pair.address().port());
    let run = |arguments: &[&str]| pair.evonic_command(arguments).output().expect("it runs");

    let output = run(&["--server", &server, "--ca", &certificate, "agent", "list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("runbook"), "{output:?}");
    let output = run(&["--server", &server, "agent", "list"]);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && why.contains("no secure connection to"), "{output:?}");
    // By the sockets of this machine nothing changes.
    assert!(run(&["agent", "list"]).status.success());
    assert!(run(&["status"]).status.success());
}

//! Health, metrics, handles, models.

use std::time::Duration;

use serde_json::json;

use super::{client::Client, test_server::until, worker::Worker};

#[test]
fn a_healthy_worker_says_so_part_by_part() {
    let worker = Worker::plain();
    assert_eq!(worker.fetch("/livez").json(), json!({ "live": true }));
    for path in ["/readyz", "/healthz"] {
        let reply = worker.fetch(path);
        assert_eq!(reply.status, 200, "{reply:?}");
        let health = reply.json();
        assert_eq!(health["ready"], true);
        for part in ["store", "agents", "descriptors"] {
            assert_eq!(health["parts"][part]["ok"], true, "{part}");
        }
    }
    worker.fetch("/readyz?verbose").problem(400);
    worker.runtime.block_on(worker.server.ping()).unwrap();
}

#[test]
fn a_draining_worker_is_alive_and_not_ready() {
    let worker = Worker::plain();
    let mut probe = Client::over(worker.probe.try_clone().unwrap());
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(probe.ask(ask("/readyz")).status, 200);
    let idle = worker.connect();
    until(|| worker.owned(), |&owned| owned == 1);
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| worker.drain(Duration::from_secs(5)));
        until(|| worker.server.acceptor.is_empty(), |&stopped| stopped);
        let problem = probe.ask(ask("/readyz")).problem(503);
        assert_eq!(problem["draining"], true);
        assert_eq!(problem["parts"]["store"]["ok"], true);
        assert_eq!(probe.ask(ask("/livez")).status, 200);
        drop(idle);
        drained.join().unwrap();
    });
}

#[test]
fn metrics_count_by_template_and_hold_no_identifier() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    worker.fetch(&format!("/api/v1/sessions/{session}"));
    worker.fetch("/nothing/here");
    let reply = worker.fetch("/metrics");
    assert_eq!(reply.status, 200);
    let text = String::from_utf8(reply.body.clone()).unwrap();
    for line in [
        r#"evonic_http_requests_total{method="GET",route="/api/v1/sessions/{id}",status="200"} 1"#,
        r#"evonic_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"evonic_handles_limit{kind="http"} 128"#,
        r#"evonic_turns{state="queued"} 0"#,
        "evonic_generation 1",
        concat!("evonic_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        r#"evonic_handles_refused_total{kind="file"} 0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    for name in [
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "evonic_http_request_duration_seconds_bucket{le=\"0.001\",route=\"/api/v1/agents\"}",
    ] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("no {name} in\n{text}"));
        assert!(value.parse::<f64>().unwrap() >= 0.0, "{name} {value}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains(&session));
    // Those before have been closed, and the probe is no client.
    let connections = || {
        let text = String::from_utf8(worker.fetch("/metrics").body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("evonic_http_connections "));
        line.map(str::to_owned)
    };
    until(connections, |now| now.as_deref() == Some("1"));
}

#[test]
fn metrics_are_in_the_format_that_is_wanted() {
    let worker = Worker::plain();
    let ask = |accept: &str| {
        let head = worker.head("GET", "/metrics");
        worker.connect().ask(format!("{head}{accept}\r\n"))
    };
    let prometheus = "accept: application/openmetrics-text;version=1.0.0;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n";
    for accept in ["", "accept: */*\r\n", "accept: application/json\r\n", prometheus] {
        let reply = ask(accept);
        let kind = reply.header("content-type").unwrap();
        assert!(
            kind.starts_with("application/openmetrics-text; version=1.0.0"),
            "{accept}: {kind}"
        );
    }
    for accept in ["text/plain", "text/*;q=0.9, application/openmetrics-text;q=0.1"] {
        let reply = ask(&format!("accept: {accept}\r\n"));
        assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let text = String::from_utf8(reply.body).unwrap();
        assert!(text.contains("# TYPE evonic_http_requests_total counter\n"), "{text}");
        assert!(!text.contains("# EOF"));
    }
}

#[test]
fn handles_hosts_and_models_are_listed() {
    let worker = Worker::plain();
    let handles = worker.fetch("/api/v1/handles").json();
    let kinds: Vec<_> =
        handles["data"].as_array().unwrap().iter().map(|usage| usage["kind"].clone()).collect();
    assert_eq!(kinds, ["http", "sqlite", "model", "file", "child", "ssh", "docker"]);
    assert_eq!(handles["data"][0]["descriptors"], 1, "the one that asks: {handles}");
    assert_eq!(worker.fetch("/api/v1/hosts").json(), json!({ "data": [] }));
    assert_eq!(
        worker.fetch("/api/v1/models").json(),
        json!({ "data": [{
            "name": "runbook", "kind": "runbook", "model": null, "usable": true, "window": null,
            "fallback": [],
        }] })
    );
}

#[test]
fn descriptors_are_flat_over_a_thousand_reads() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let path = format!("/api/v1/sessions/{session}");
    let owned = || {
        let handles = worker.fetch("/api/v1/handles").json();
        let kinds = handles["data"].as_array().unwrap();
        kinds.iter().map(|usage| usage["descriptors"].as_u64().unwrap()).sum::<u64>()
    };
    for _ in 0..50 {
        assert_eq!(worker.fetch(&path).status, 200);
    }
    let warm = owned();
    for _ in 0..1000 {
        assert_eq!(worker.fetch(&path).status, 200);
    }
    until(owned, |&now| now <= warm);
}

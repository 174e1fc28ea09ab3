//! Bad input is refused clearly and does not affect other clients.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use evonic_tests::{
    http::{Connection, Failure},
    pair::{Options, Pair},
    poll, process,
};
use serde_json::{Value, json};

#[test]
fn configuration_errors_are_reported_all_at_once() {
    let broken = "nonsense = 1\n\
                  [fd]\n\
                  treshold = 500\n\
                  unexplained = \"many\"\n\
                  [supervisor]\n\
                  grace = \"soon\"\n";
    let mut pair = Pair::spawn(&Options::config(broken));
    assert_eq!(pair.wait_for_exit(), Some(78), "{}", pair.log());
    let checked = pair.evonic(&["config", "--check"]);
    assert_eq!(checked.status.code(), Some(78));
    for report in [pair.log(), String::from_utf8_lossy(&checked.stdout).into_owned()] {
        for wanted in [
            "nonsense",
            "fd.treshold",
            "fd.threshold",
            "fd.unexplained",
            "supervisor.grace",
            "evonic.toml:",
        ] {
            assert!(report.contains(wanted), "{wanted:?} is missing in:\n{report}");
        }
    }
}

#[test]
fn other_addresses_than_loopback_are_refused() {
    let pair = Pair::start(&Options::default());
    let output = pair
        .evonic_command(&["config", "--check"])
        .env("EVONIC_LISTEN", "0.0.0.0:8420")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stdout).contains("EVONIC_LISTEN"), "{output:?}");
}

fn raw_status(pair: &Pair, send: impl FnOnce(&mut UnixStream)) -> Vec<Value> {
    let mut stream = UnixStream::connect(pair.runtime_dir().join("supervisor.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    send(&mut stream);
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

#[test]
fn bad_clients_of_the_status_socket_disturb_nobody() {
    let pair = Pair::start(&Options::default());
    let supervisor = process::descriptors(pair.pid()).expect("a supervisor");
    let garbage = raw_status(&pair, |stream| {
        stream
            .write_all(b"\xff\xfe{{{\nnot json\n{\"op\":\"fly\"}\n{\"op\":\"status\"}\n")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let kinds: Vec<_> = garbage.iter().map(|reply| reply["reply"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["error", "error", "error", "status"], "{garbage:#?}");
    assert!(garbage[2]["message"].as_str().unwrap().contains("fly"), "{}", garbage[2]);

    let nothing = raw_status(&pair, |stream| stream.shutdown(Shutdown::Write).unwrap());
    assert_eq!(nothing[0]["reply"], "status");

    let endless = raw_status(&pair, |stream| {
        let piece = vec![b'x'; 1 << 16];
        for _ in 0..160 {
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
    });
    assert!(endless.is_empty() || endless[0]["code"] == "too_long", "{endless:?}");

    // Clients that never read and never write do not delay a replacement.
    let silent: Vec<_> = (0..64)
        .filter_map(|_| UnixStream::connect(pair.runtime_dir().join("supervisor.sock")).ok())
        .collect();
    let (_, generation) = pair.worker();
    drop(silent);
    pair.kill_worker();
    assert!(pair.worker().1 > generation);
    // The last status client's connection may be about to close.
    poll::until(
        "the supervisor's descriptors are what they were",
        Duration::from_secs(5),
        || process::links(pair.pid()),
        |links| (links.len() <= supervisor).then_some(()),
    );
}

fn raw_http(pair: &Pair, bytes: &str) -> (u16, Duration) {
    let began = Instant::now();
    let mut connection = Connection::tcp(pair.address()).unwrap();
    let shown = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", pair.admin_key());
    let bytes = bytes.replace("Host: localhost\r\n", &shown);
    let _ = connection.send(bytes.as_bytes());
    match connection.answer() {
        Ok(answer) => (answer.status, began.elapsed()),
        Err(Failure::CutShort) => (0, began.elapsed()),
        Err(failure) => panic!("{failure:?} to {bytes:.60?}"),
    }
}

#[test]
fn malformed_http_is_refused_and_the_worker_stays() {
    let pair =
        Pair::start(&Options::config("[http]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"\n"));
    let (worker, generation) = pair.worker();
    let _ = pair.session("runbook");
    let large = "x".repeat(3 << 20);
    let post = |length: usize, body: &str| {
        format!(
            "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let chunked = format!(
        "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    let cases: Vec<(&str, String, u16)> = vec![
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("no host", "GET /api/v1/agents HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("foreign host", "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(), 403),
        (
            "foreign origin",
            "GET /api/v1/agents HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n"
                .to_owned(),
            403,
        ),
        (
            "oversized header",
            format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000)),
            431,
        ),
        ("oversized body", post(large.len(), &large), 413),
        ("oversized chunked body", chunked, 413),
        ("invalid JSON", post(5, "{nope"), 400),
        ("unknown field", post(35, "{\"agent\": \"runbook\", \"colour\": \"\"} "), 400),
        ("half a body", post(100, "{"), 408),
        ("unknown path", "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 404),
        (
            "wrong method",
            "DELETE /api/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            405,
        ),
    ];
    for (what, bytes, wanted) in &cases {
        let (status, took) = raw_http(&pair, bytes);
        assert_eq!(status, *wanted, "{what}");
        assert!(took < Duration::from_secs(5), "{what} took {took:?}");
    }
    let slow_headers = {
        let began = Instant::now();
        let mut stream = TcpStream::connect(pair.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: loc").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        began.elapsed()
    };
    assert!(slow_headers < Duration::from_secs(4), "slow headers kept it for {slow_headers:?}");
    assert_eq!(pair.worker(), (worker, generation));
}

#[test]
fn refusals_name_the_field() {
    let pair = Pair::start(&Options::default());
    let unknown = "ses_00000000000070008000000000000000";
    for (method, path, body, status, named) in [
        ("GET", "/api/v1/sessions/nonsense".to_owned(), None, 404, "session"),
        ("GET", format!("/api/v1/sessions/{unknown}"), None, 404, unknown),
        ("GET", "/api/v1/agents?limit=0".to_owned(), None, 400, "limit"),
        ("GET", "/api/v1/agents?colour=red".to_owned(), None, 400, "colour"),
        ("POST", "/api/v1/sessions".to_owned(), Some(json!({"agent": "nobody"})), 404, "nobody"),
        ("POST", "/api/v1/sessions".to_owned(), Some(json!({"agent": 7})), 400, "agent"),
        (
            "POST",
            "/api/v1/agents".to_owned(),
            Some(json!({"name": "a b", "model": "runbook"})),
            400,
            "name",
        ),
        (
            "POST",
            "/api/v1/agents".to_owned(),
            Some(json!({"name": "ab", "model": "gone"})),
            422,
            "model",
        ),
        (
            "POST",
            "/api/v1/agents".to_owned(),
            Some(json!({"name": "ab", "model": "runbook", "tools": ["fly"]})),
            422,
            "tools",
        ),
    ] {
        let answer = pair.request(method, &path, body.as_ref()).unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        assert!(answer.text().contains(named), "{named:?} is missing in {}", answer.text());
    }
    let session = pair.session("runbook");
    let path = format!("/api/v1/sessions/{session}/messages");
    let empty = pair.request("POST", &path, Some(&json!({"content": ""}))).unwrap();
    assert_eq!(empty.status, 422, "{}", empty.text());
    assert!(empty.text().contains("content"), "{}", empty.text());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let pair = Pair::start(&Options::default());
    let file = pair.state_dir().join("a-file");
    fs::write(&file, "").unwrap();
    let toml = format!("state_dir = {file:?}\n");
    let config = pair.state_dir().join("other.toml");
    fs::write(&config, toml).unwrap();
    let output = std::process::Command::new(evonic_tests::pair::program("evonic-supervisor"))
        .arg("--config")
        .arg(&config)
        .env("EVONIC_RUNTIME_DIR", pair.state_dir().join("other-run"))
        .env("EVONIC_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("a-file"), "{output:?}");
}

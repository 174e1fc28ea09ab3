//! What operators ask for, over the status socket and by signals.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use evonic_shared::{
    reason::Reason,
    status::{ErrorCode, PostMortem, Reply, State, Status},
};
use rustix::process::Signal;

use crate::{
    harness::{Harness, is_ready},
    stand_in::Behaviour,
};

fn refusal(reply: Reply) -> (ErrorCode, String) {
    match reply {
        Reply::Error { code, message, .. } => (code, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_operation_answers() {
    let harness = Harness::ready(&Behaviour::default());
    let Reply::Census(census) = harness.ask(r#"{"op":"census"}"#) else { panic!("a census") };
    assert_eq!(census.generation, 1);
    assert!(census.kinds.iter().any(|line| line.name == "unix" && line.count >= 3), "{census:?}");
    assert!(census.top.iter().any(|line| line.name.starts_with("tcp listening on 127.0.0.1:")));
    let accepted = harness.ask(r#"{"op":"restart"}"#);
    assert!(matches!(accepted, Reply::Accepted { op, .. } if op == "restart"));
    harness.wait("the next one", |status| is_ready(status, 2));
    let Reply::History { entries, .. } = harness.ask(r#"{"op":"history","limit":1}"#) else {
        panic!("a history")
    };
    assert_eq!(entries.len(), 1);
    let accepted = harness.ask(r#"{"op":"reload"}"#);
    assert!(matches!(accepted, Reply::Accepted { op, .. } if op == "reload"));
    harness.wait("the one after", |status| is_ready(status, 3));
    assert_eq!(refusal(harness.ask("nonsense")).0, ErrorCode::Malformed);
    let mut stream = harness.connect();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut line = String::new();
    stream.read_to_string(&mut line).unwrap();
    assert!(matches!(serde_json::from_str(&line).unwrap(), Reply::Status(_)));
}

#[test]
fn the_sockets_are_for_the_group_and_nothing_else_is() {
    let harness = Harness::ready(&Behaviour::default());
    let mode = |name| harness.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("run"), mode("state")), (0o750, 0o700));
    assert_eq!((mode("run/supervisor.sock"), mode("run/api.sock")), (0o660, 0o660));
    let written = || harness.path("state/history.jsonl").exists().then_some(());
    harness.until("the history to be written", written);
    for file in ["run/command.token", "state/history.jsonl", "state/supervisor.lock"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn a_watcher_sees_a_replacement_from_beginning_to_end() {
    let harness = Harness::ready(&Behaviour::default());
    let mut stream = harness.connect();
    stream.write_all(b"{\"op\":\"watch\"}\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(|line| {
        match serde_json::from_str(&line.unwrap()).unwrap() {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    });
    let first = lines.next().unwrap();
    assert!(is_ready(&first, 1));
    harness.ask(r#"{"op":"restart"}"#);
    let seen: Vec<Status> = {
        let mut seen = Vec::new();
        for status in lines {
            let done = is_ready(&status, 2);
            seen.push(status);
            if done {
                break;
            }
        }
        seen
    };
    assert!(seen.iter().any(|status| status.state == State::Recycling));
    assert!(seen.iter().any(|status| status.predecessor.is_some()));
}

#[test]
fn hostile_clients_delay_nothing() {
    let harness = Harness::ready(&Behaviour::default());
    let mut flood = harness.connect();
    let flooder = std::thread::spawn(move || {
        let _ = flood.write_all(&vec![b'x'; 10 * 1024 * 1024]);
        let mut line = String::new();
        let _ = BufReader::new(flood).read_line(&mut line);
        line
    });
    let silent: Vec<_> = (0..20).map(|_| harness.connect()).collect();
    let mut busy = harness.connect();
    busy.set_nonblocking(true).unwrap();
    let requests = b"{\"op\":\"census\"}\n".repeat(200);
    while busy.write(&requests).is_ok() {}
    let begun = Instant::now();
    harness.ask(r#"{"op":"restart"}"#);
    harness.wait("the next one", |status| is_ready(status, 2));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(flooder.join().unwrap().contains("too_long"));
    drop(silent);
}

#[test]
fn a_reload_takes_over_what_is_good_and_refuses_what_is_not() {
    let harness = Harness::ready(&Behaviour::default());
    harness.reconfigure("unexplained = 30", "unexplained = 25");
    harness.signal(Signal::HUP);
    let status = harness.wait("a worker with the new lines", |status| is_ready(status, 2));
    assert_eq!(status.worker.unwrap().fd.unexplained_limit, 25);
    assert_eq!(status.last_restart.unwrap().reason, Reason::Requested);

    harness.reconfigure("unexplained = 25", "unexplained = \"many\"");
    let (code, message) = refusal(harness.ask(r#"{"op":"reload"}"#));
    assert_eq!(code, ErrorCode::Invalid);
    assert!(message.contains("fd.unexplained"), "{message}");
    harness.reconfigure("unexplained = \"many\"", "unexplained = 20");
    harness.reconfigure("127.0.0.1:0", "127.0.0.1:1");
    let (code, message) = refusal(harness.ask(r#"{"op":"reload"}"#));
    assert_eq!(code, ErrorCode::Invalid);
    assert!(message.contains("listen changed"), "{message}");
    let status = harness.status();
    assert!(is_ready(&status, 2));
    assert_eq!(status.worker.unwrap().fd.unexplained_limit, 25);
}

#[test]
fn a_worker_that_reads_a_bad_configuration_does_not_end_the_one_that_serves() {
    let mut harness = Harness::ready(&Behaviour::default());
    harness.behave(&Behaviour { exit_at_once: Some(78), ..Behaviour::default() });
    harness.ask(r#"{"op":"restart"}"#);
    let status = harness.wait("a failed start", |status| status.restarts.crash >= 1);
    assert_eq!(status.worker.unwrap().generation, 1);
    assert!(status.last_error.unwrap().contains("78"));
}

/// The names of all members, at any depth.
fn members(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                members(value, names);
            }
        }
        serde_json::Value::Array(array) => array.iter().for_each(|value| members(value, names)),
        _ => {}
    }
}

#[test]
fn the_documentation_names_every_field_and_its_examples_are_of_this_format() {
    let text = include_str!("../../../docs/status-protocol.md");
    let leaked = tempfile::NamedTempFile::new().unwrap();
    let path = leaked.path().display().to_string();
    let mut harness = Harness::ready(&Behaviour { leak: Some((path, 10)), ..Behaviour::default() });
    harness.behave(&Behaviour::default());
    harness.wait("a successor", |status| is_ready(status, 2));
    let mut names = BTreeSet::new();
    for request in [
        "",
        r#"{"op":"history"}"#,
        r#"{"op":"census"}"#,
        "x",
        r#"{"op":"restart","wait":true}"#,
        r#"{"op":"restart"}"#,
    ] {
        let mut stream = harness.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        members(&serde_json::from_reader(stream).unwrap(), &mut names);
    }
    let post_mortem = harness.until("the post-mortem", || {
        let file = harness.path("state/post-mortems").read_dir().ok()?.next()?.ok()?;
        serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()
    });
    members(&post_mortem, &mut names);
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| {
            !text.contains(&format!("{name}`")) && !text.contains(&format!("\"{name}\""))
        })
        .collect();
    assert!(names.len() > 50 && missing.is_empty(), "not documented: {missing:?}");

    let mut examples = 0;
    for block in text.split("```json\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let reply = serde_json::from_str::<Reply>(block).map(drop);
        reply.or_else(|_| serde_json::from_str::<PostMortem>(block).map(drop)).unwrap();
        examples += 1;
    }
    assert_eq!(examples, 7);
}

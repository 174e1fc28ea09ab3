//! Strangers' answers and files, of whatever length, cost the worker next to no memory.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use evonic_parts::Sshd;
use evonic_tests::{
    pair::{Options, Pair},
    poll, process, size,
    testbed::{Testbed, ssh_settings},
};
use serde_json::json;

/// The most that the worker ever has resident.
const MOST_KIB: u64 = 64 * 1024;

/// That it is still this worker, and what it had at most.
fn assert_small(pair: &Pair, worker: (u32, u64), what: &str) {
    assert_eq!(pair.worker(), worker, "it was replaced: {}", pair.log());
    let peak = process::peak_memory_kib(worker.0).expect("it lives");
    size::report(&format!("worker's peak: {what}"), peak, "KiB");
    assert!(peak < MOST_KIB, "{what}: the worker had {peak} KiB");
}

/// Answers with a JSON text that has no end.
fn pour(mut stream: UnixStream) -> std::io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"ApiVersion\": \"",
    )?;
    let piece = [b'x'; 1 << 16];
    loop {
        stream.write_all(&piece)?;
    }
}

/// A Docker engine of which every answer is endless.
fn engine(folder: &Path) -> PathBuf {
    let socket = folder.join("engine.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // It ends when the worker closes its end.
            thread::spawn(|| pour(stream));
        }
    });
    socket
}

#[test]
fn an_engine_whose_version_has_no_end_costs_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let testbed = Testbed::local(&Options::default());
    let worker = testbed.pair.worker();
    let engine = format!("unix://{}", engine(folder.path()).display());
    let settings = json!({"engine": engine, "image": "any"});
    testbed.workplace("endless", "docker", &settings);
    let checked = testbed.pair.evonic(&["workplace", "check", "endless"]);
    assert!(!checked.status.success(), "{checked:?}");
    let ran = testbed.run("endless", "$ true");
    assert!(ran.ended["state"] != "running" && !ran.output().contains("ok"), "{ran:#?}");
    assert_small(&testbed.pair, worker, "an engine with an endless version");
}

/// What runs in the login shell's place: as that, until a file is there.
const SHELL: &str = "#!/bin/sh\n[ ! -e FOLDER/flood ] || exec yes \
                     xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\
                     exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n";

#[test]
fn a_host_that_floods_the_answer_to_a_kill_costs_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    mode(folder.path(), 0o755).expect("ours");
    let shell = folder.path().join("shell");
    let text = SHELL.replace("FOLDER", folder.path().to_str().expect("it is UTF-8"));
    fs::write(&shell, text).expect("a file");
    mode(&shell, 0o755).expect("ours");
    let server = Sshd::with(&format!("ForceCommand {}", shell.display()));
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::default());
    testbed.workplace("ssh", "ssh", &ssh_settings(&server, &account));
    let worker = testbed.pair.worker();
    let session = testbed.pair.session("ssh");
    // The second time it is known what the host is like.
    for round in 0..2 {
        let _calm = fs::remove_file(folder.path().join("flood"));
        let turn = testbed.pair.post(&session, &format!("$ touch began-{round}; sleep 600"));
        let began = account.home.join(format!("began-{round}"));
        poll::until(
            "it runs",
            Duration::from_secs(60),
            || began.exists(),
            |began| began.then_some(()),
        );
        fs::write(folder.path().join("flood"), "").expect("a file");
        let _cancelled =
            testbed.pair.expect(202, "POST", &format!("/api/v1/turns/{turn}/cancel"), None);
        let ended = testbed.pair.wait_for_turn(&turn);
        assert_eq!(ended["state"], "cancelled", "{ended}");
    }
    assert_small(&testbed.pair, worker, "a host that floods the answers to two kills");
}

/// Rules that would be long regular expressions with many states.
fn rules(bytes: usize) -> String {
    let rule = |n: usize| format!("*a{n}*[a-z]*b?*[!x]*{n}*c/**/d*{n}\n");
    let mut text = "/passed\n".to_owned();
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&rule(number));
    }
    text
}

#[test]
fn a_gitignore_of_a_mebibyte_costs_no_memory() {
    let testbed = Testbed::local(&Options::default());
    let worker = testbed.pair.worker();
    let root = testbed.pair.state_dir().join("workplace");
    fs::create_dir_all(root.join("passed")).expect("a folder");
    for file in ["found", "passed/over"] {
        fs::write(root.join(file), "needle\n").expect("a file");
    }
    for text in [rules(1 << 20), "/passed\n".to_owned() + &"*a?".repeat(350_000)] {
        assert!(text.len() >= 1 << 20);
        fs::write(root.join(".gitignore"), text).expect("a file");
        let ran = testbed.run("runbook", "search needle");
        assert!(ran.is_completed(), "{ran:#?}");
        let (outcome, said) = &ran.results()[0];
        assert!(outcome == "ok" && said.contains("found") && !said.contains("over"), "{said}");
    }
    assert_small(&testbed.pair, worker, "searches below a .gitignore of 1 MiB");
}

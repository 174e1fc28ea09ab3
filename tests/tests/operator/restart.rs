//! `evonic restart`: its answer, and the cause of what failed.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use evonic_shared::status::Reply;
use evonic_tests::{
    pair::{Options, Pair, program},
    poll,
    troubleshooting::assert_documented,
};
use serde_json::json;

use crate::said;

/// Many times what a failed start takes, and far less than its timeout.
const AT_ONCE: Duration = Duration::from_secs(10);

fn watch(pair: &Pair) -> UnixStream {
    let stream = UnixStream::connect(pair.runtime_dir().join("supervisor.sock")).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    (&stream).write_all(b"{\"op\":\"watch\"}\n").expect("a request");
    stream
}

fn is_shown(stream: &UnixStream) -> bool {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("a reply");
    matches!(serde_json::from_str(&line), Ok(Reply::Status(_)))
}

#[test]
fn restarts_are_answered_whoever_watches_and_however_many_ask() {
    let pair = Pair::start(&Options::config("[supervisor]\nheartbeat_interval = \"200ms\"\n"));
    let deaf: Vec<_> = (0..16).map(|_| watch(&pair)).collect();
    poll::until(
        "all places of watchers are taken",
        AT_ONCE,
        || is_shown(&watch(&pair)),
        |is_shown| (!is_shown).then_some(()),
    );
    let start = || {
        let mut command = pair.evonic_command(&["restart"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let restarts: Vec<_> = (0..64).map(|_| start()).collect();
    for restart in restarts {
        let output = restart.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(said(&output).contains("serves after"), "{output:?}");
    }
    let status = pair.wait_for_successor(1);
    let requested = status.restarts.requested;
    assert!((1..64).contains(&requested), "{requested} replacements answer all of them");
    // Nobody reads what the watchers are sent: their places are free again.
    poll::until(
        "a watcher has a place",
        Duration::from_secs(30),
        || is_shown(&watch(&pair)),
        |is_shown| is_shown.then_some(()),
    );
    drop(deaf);
}

/// Runs `evonic restart`, which fails at once and changes nothing; what it says.
fn refused(pair: &Pair, arguments: &[&str]) -> String {
    let before = pair.worker();
    let began = Instant::now();
    let output = pair.evonic(arguments);
    assert!(began.elapsed() < AT_ONCE, "{:?}: {output:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(pair.worker(), before, "the worker from before serves on");
    said(&output)
}

#[test]
fn a_replacement_that_failed_for_good_is_told_at_once_with_its_cause() {
    let folder = tempfile::tempdir().expect("a folder");
    let worker = folder.path().join("worker");
    let link = || std::os::unix::fs::symlink(program("evonic"), &worker).expect("a link");
    link();
    let pair = Pair::start(&Options::config(&format!("[supervisor]\nworker = {worker:?}\n")));

    fs::remove_file(&worker).expect("the link");
    assert_documented(
        "no new worker serves: cannot start …: No such file or directory",
        &refused(&pair, &["restart"]),
    );
    fs::write(&worker, "").expect("a file");
    fs::set_permissions(&worker, PermissionsExt::from_mode(0o644)).expect("a mode");
    assert!(refused(&pair, &["restart"]).contains("Permission denied"));
    // A worker whose own environment contradicts what the supervisor accepted.
    let script = format!("#!/bin/sh\nEVONIC_LISTEN=nowhere exec {:?} \"$@\"\n", program("evonic"));
    fs::write(&worker, script).expect("a file");
    fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).expect("a mode");
    let words = refused(&pair, &["restart"]);
    assert_documented("(its configuration is refused) before it was ready: …: listen: ", &words);
    fs::remove_file(&worker).expect("the file");
    link();

    // A program of an earlier version was installed over a later one.
    let database =
        rusqlite::Connection::open(pair.state_dir().join("evonic.db")).expect("it opens");
    let version: u32 =
        database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    database.pragma_update(None, "user_version", version + 1).expect("it is written");
    let words = refused(&pair, &["restart"]);
    assert_documented(
        "(its database is of a later version) before it was ready: database … has schema version",
        &words,
    );
    database.pragma_update(None, "user_version", version).expect("it is written");
    drop(database);

    let config = fs::read_to_string(pair.config_file()).expect("the file");
    let tls = "\n[http.tls]\ncertificate = \"/nowhere/cert.pem\"\nkey = \"/nowhere/key.pem\"\n";
    fs::write(pair.config_file(), config.clone() + tls).expect("the file");
    let row = "(a certificate, key or secret cannot be used) before it was ready: …: No such file or directory";
    let words = refused(&pair, &["restart", "--reload"]);
    assert_documented(row, &words);
    assert!(words.contains("exited with code 80") && words.contains("/nowhere/"), "{words}");
    // The same sentence everywhere.
    for command in ["status", "history"] {
        assert_documented(row, &said(&pair.evonic(&[command])));
    }
    let last_error = pair.status().last_error.expect("it is there");
    assert_eq!(pair.history()[0].detail, last_error);

    fs::write(pair.config_file(), config).expect("the file");
    let output = pair.evonic(&["restart", "--reload"]);
    assert_eq!(output.status.code(), Some(0), "mended, it is replaced: {output:?}");
    assert_eq!(pair.status().last_error, None);
}

#[test]
fn a_limit_of_threads_is_told_as_one() {
    const USER: u32 = 54_321;
    let mut options = Options { user: Some((USER, USER)), ..Options::default() };
    options.config = "[workplace]\nsandbox = \"auto\"\n".to_owned();
    let pair = Pair::start(&options);
    let own = |name: &str| -> Vec<u32> {
        let of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let texts = all.filter_map(|entry| Some(of(entry.file_name().to_str()?)));
        let field = |text: &str, name: &str| -> Option<u32> {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        };
        texts
            .filter(|text| field(text, "Uid:") == Some(USER))
            .filter_map(|text| field(&text, name))
            .collect()
    };
    // What tries the sandbox goes again.
    poll::until(
        "only the two processes are there",
        Duration::from_secs(30),
        || (pair.log().contains("are contained"), own("NSpid:").len()),
        |&(tried, processes)| (tried && processes == 2).then_some(()),
    );
    let threads: u32 = own("Threads:").iter().sum();
    let limit = format!("--nproc={}", threads + 4);
    let pid = pair.pid().to_string();
    let mut prlimit = Command::new("prlimit");
    let limited = prlimit.args(["--pid", &pid, &limit]).uid(USER).gid(USER).status();
    assert!(limited.expect("prlimit").success());
    let words = refused(&pair, &["restart"]);
    assert_documented(
        "(a limit of threads, memory or descriptors is reached) before it was ready",
        &words,
    );
    assert!(pair.ask(&json!({"op": "status"})).is_ok());
}

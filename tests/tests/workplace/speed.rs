//! What a command costs: round trip and throughput, beside what everybody has.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    size,
    testbed::Testbed,
};
use serde_json::json;

/// How long each run of `work` takes.
fn times(rounds: u64, mut work: impl FnMut()) -> Vec<Duration> {
    work();
    (0..rounds)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect()
}

/// Prints the median and the 99th of a hundred; returns the median.
fn print(what: &str, mut samples: Vec<Duration>) -> Duration {
    let (p50, p99) = (size::quantile(&mut samples, 0.5), size::quantile(&mut samples, 0.99));
    size::report(what, format!("{} / {}", size::ms(p50), size::ms(p99)), "ms p50 / p99");
    p50
}

fn quiet(command: &mut Command) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("it is installed").success(), "{command:?}");
}

/// Namespaces as commands have them, and next to nothing in them.
fn bwrap() -> Command {
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--die-with-parent", "--new-session", "--as-pid-1"]);
    bwrap.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
    if !rustix::process::geteuid().is_root() {
        bwrap.arg("--unshare-user");
    }
    bwrap.args(["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    bwrap.args(["--", "true"]);
    bwrap
}

/// A turn with one command, as a client sees it that keeps its connection: from the message to the end
/// of its turn.
fn turn(pair: &Pair, connection: &mut Connection, session: &str) {
    let body = json!({"content": "$ true"});
    let path = format!("/api/v1/sessions/{session}/messages");
    let posted = connection.request("POST", &path, &[], Some(&body)).expect("an answer");
    assert_eq!(posted.status, 202, "{}", posted.text());
    let turn = posted.json()["turn"]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/turns/{turn}?wait=10");
    let ended = connection.request("GET", &path, &[], None).expect("an answer").json();
    assert_eq!(ended["state"], "completed", "{ended}; log:\n{}", pair.log());
}

/// A sole `true` where every part of a command is ours.
#[test]
fn a_local_command_costs_little_more_than_its_namespaces() {
    let rounds = size::of("round_trips", 20, 200);
    let pair = Pair::start(&Options::default());
    let session = pair.session("runbook");
    let mut connection = Connection::tcp(pair.address()).expect("a connection");
    println!("round trip of `true`:");
    print("bash -c true", times(rounds, || quiet(Command::new("bash").args(["-c", "true"]))));
    let control =
        print("bwrap, with these namespaces, true", times(rounds, || quiet(&mut bwrap())));
    let whole = times(rounds, || turn(&pair, &mut connection, &session));
    let whole = print("evonic, local: a whole turn with one command", whole);
    // 10 ms are aimed at, of what is installed; programs of tests and busy machines take longer.
    let most = Duration::from_millis(50) + 5 * control;
    assert!(whole < most, "{whole:?}, and {control:?} for the namespaces alone");
}

#[test]
fn round_trips_and_throughput_of_commands() {
    let rounds = size::of("round_trips", 10, 200);
    let mib = size::of("output_mib", 8, 128);
    let (testbed, account) = Testbed::whole(&Options::config(&format!(
        "[spool]\nmax_output_bytes = {}\n",
        (mib + 1) << 20
    )));
    let (server, engine) =
        (testbed.server.as_ref().expect("a server"), testbed.engine.as_ref().expect("an engine"));

    println!("round trip of a command:");
    print("bash -c true", times(rounds, || quiet(Command::new("bash").args(["-c", "true"]))));
    let control = server.folder().join("control");
    let ssh = || {
        let mut ssh = Command::new("ssh");
        ssh.args(["-q", "-o", "BatchMode=yes", "-F", "none", "-p", &server.port().to_string()])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", server.known_hosts().display()))
            .arg("-o")
            .arg(format!("ControlPath={}", control.display()))
            .args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-i"])
            .arg(&account.key)
            .arg(format!("{}@127.0.0.1", account.name));
        ssh
    };
    print("ssh host true (multiplexed)", times(rounds, || quiet(ssh().arg("true"))));
    let name =
        engine.docker(&["run", "-d", "--network=none", "evonic-test:latest", "sleep", "3600"]);
    let exec = || {
        let mut docker = Command::new("docker");
        docker.args(["-H", &engine.address(), "exec", name.trim(), "true"]);
        docker
    };
    print("docker exec true", times(rounds, || quiet(&mut exec())));
    for agent in ["runbook", "ssh", "docker"] {
        let session = testbed.pair.session(agent);
        let samples = times(rounds, || {
            let ran = testbed.run_in(&session, "$ true");
            assert!(ran.is_completed(), "{agent}: {ran:#?}");
        });
        print(&format!("evonic, {agent}: a whole turn with one command"), samples);
    }

    println!("{mib} MiB of output:");
    let flood = format!("head -c {} /dev/zero | tr '\\0' x", mib << 20);
    #[allow(clippy::cast_precision_loss, reason = "figures for a person")]
    let speed = |time: Duration| format!("{:.0}", mib as f64 / time.as_secs_f64());
    let began = Instant::now();
    quiet(Command::new("bash").args(["-c", &flood]));
    size::report("bash -c", speed(began.elapsed()), "MiB/s");
    let began = Instant::now();
    quiet(ssh().arg(&flood));
    size::report("ssh (multiplexed)", speed(began.elapsed()), "MiB/s");
    for agent in ["runbook", "ssh", "docker"] {
        let began = Instant::now();
        let ran = testbed.run(agent, &format!("$ {flood}"));
        assert!(ran.is_completed(), "{agent}: {ran:#?}");
        size::report(&format!("evonic, {agent}"), speed(began.elapsed()), "MiB/s");
    }
    quiet(ssh().args(["-O", "exit"]));
}

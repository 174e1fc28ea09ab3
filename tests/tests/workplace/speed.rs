//! What a command costs: round trip and throughput, beside what everybody has.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use evonic_tests::{pair::Options, size, testbed::Testbed};

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

fn print(what: &str, mut samples: Vec<Duration>) {
    let (p50, p99) = (size::quantile(&mut samples, 0.5), size::quantile(&mut samples, 0.99));
    size::report(what, format!("{} / {}", size::ms(p50), size::ms(p99)), "ms p50 / p99");
}

fn quiet(command: &mut Command) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().expect("it is installed").success(), "{command:?}");
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

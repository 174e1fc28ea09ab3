//! 5. From a crash to the next worker, beside `runsv` in the same run.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    poll, size,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn pair_5_crash_to_the_next_worker() {
    let kills = size::of("kills", 10, 200);
    // Each worker is ready before it is killed: no backoff is wanted between two of them.
    let pair = Pair::start(&Options::config(
        "[supervisor]\nbackoff_base = \"1ms\"\nbackoff_cap = \"1ms\"\n",
    ));
    let address = pair.address();
    let (mut to_start, mut to_answer) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        let (pid, generation) = pair.worker();
        let killed = Instant::now();
        Pair::signal(pid, Signal::SIGKILL);
        // The listener is never gone: this request waits in its queue for the next worker.
        let mut connection = Connection::tcp(address).expect("never refused");
        let answer = connection.request("GET", "/livez", &[("Connection", "close")], None);
        to_answer.push(killed.elapsed());
        assert_eq!(answer.expect("an answer").status, 200);
        let status = pair.wait_for_successor(generation);
        let lived = status.worker.expect("a worker").uptime_seconds;
        to_start.push(killed.elapsed().saturating_sub(Duration::from_secs_f64(lived)));
    }
    let runsv = runsv(kills);
    println!("crash to the next worker, {kills} kills:      median ms    p99 ms");
    for (what, mut samples) in [
        ("evonic: kill to the next process", to_start),
        ("evonic: kill to the first answered request", to_answer),
        ("runsv: kill to the next main()", runsv),
    ] {
        let median = size::ms(size::quantile(&mut samples, 0.5));
        println!("  {what:<46} {median:>9} {:>9}", size::ms(size::quantile(&mut samples, 0.99)));
    }
}

/// `runsv` with a service whose first act is to say when it began.
fn runsv(kills: u64) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let began = folder.path().join("began");
    fs::write(
        &run,
        format!("#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000\n", began.display()),
    )
    .expect("a script");
    fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let mut runsv = Command::new("runsv")
        .arg(folder.path())
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("runsv is installed by `make test`");
    let samples = (0..kills).map(|_| one_kill(&began)).collect();
    end(&mut runsv, &began);
    samples
}

fn one_kill(began: &Path) -> Duration {
    let pid = wait_for_pid(began);
    fs::remove_file(began).expect("a file");
    // runsv waits a second before it starts a service that did not live for one.
    std::thread::sleep(Duration::from_millis(1100));
    let killed = Instant::now();
    Pair::signal(pid, Signal::SIGKILL);
    wait_for_pid(began);
    killed.elapsed()
}

fn wait_for_pid(began: &Path) -> u32 {
    let read = || fs::read_to_string(began).ok();
    poll::until("the service began", PATIENCE, read, |text| {
        text.as_ref().and_then(|text| text.trim().parse().ok())
    })
}

fn end(runsv: &mut Child, began: &Path) {
    let _ = killpg(Pid::from_raw(i32::try_from(runsv.id()).unwrap_or(0)), Signal::SIGKILL);
    let _ = runsv.wait();
    Pair::signal(wait_for_pid(began), Signal::SIGKILL);
}

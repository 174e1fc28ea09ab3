//! From a crash to the next worker, beside `runsv` in the same run.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use evonic_tests::{
    fault::{Fault, Plan, STAMP, VARIABLE},
    http::Connection,
    pair::{Options, Pair, program},
    poll, size,
};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

const TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn a_killed_worker_is_followed_by_the_next_one() {
    let kills = size::of("kills", 10, 200);
    let folder = tempfile::tempdir().expect("a folder");
    let stamp = folder.path().join("stamp");
    // Nobody misbehaves: the test-only program runs the real worker and writes the stamp. Each
    // worker is ready before it is killed, so no backoff is wanted between two of them.
    let mut options =
        Options::config("[supervisor]\nbackoff_base = \"1ms\"\nbackoff_cap = \"1ms\"\n")
            .fault(0, Fault::Sleep);
    options.environment.push((STAMP.to_owned(), stamp.display().to_string()));
    let pair = Pair::start(&options);
    let address = pair.address();
    let (mut to_main, mut to_answer) = (Vec::new(), Vec::new());
    for _ in 0..kills {
        let (pid, generation) = pair.worker();
        let (killed, began) = (SystemTime::now(), Instant::now());
        Pair::signal(pid, Signal::SIGKILL);
        // The listener is never gone: this request waits in its queue for the next worker.
        let mut connection = Connection::tcp(address).expect("never refused");
        let answer = connection.request("GET", "/livez", &[("Connection", "close")], None);
        to_answer.push(began.elapsed());
        assert_eq!(answer.expect("an answer").status, 200);
        pair.wait_for_successor(generation);
        to_main.push(next_stamp(&stamp, pid).1.duration_since(killed).unwrap_or_default());
    }
    let runsv = runsv(kills);
    println!("crash to the next worker, {kills} kills:      median ms    p99 ms");
    for (what, mut samples) in [
        ("evonic: kill to the next main()", to_main),
        ("evonic: kill to the first answered request", to_answer),
        ("runsv: kill to the next main()", runsv),
    ] {
        let median = size::ms(size::quantile(&mut samples, 0.5));
        println!("  {what:<46} {median:>9} {:>9}", size::ms(size::quantile(&mut samples, 0.99)));
    }
}

/// The pid and the time in a stamp of another process than `before`.
fn next_stamp(stamp: &Path, before: u32) -> (u32, SystemTime) {
    let read = || fs::read_to_string(stamp).unwrap_or_default();
    poll::until("the next main() began", TIMEOUT, read, |text| {
        let (pid, nanos) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok().filter(|&pid| pid != before)?;
        Some((pid, SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos.parse().ok()?)))
    })
}

/// The same program under `runsv`, which only writes its stamp and sleeps.
fn runsv(kills: u64) -> Vec<Duration> {
    let folder = tempfile::tempdir().expect("a folder");
    let stamp = folder.path().join("stamp");
    let service = folder.path().join("service");
    fs::create_dir(&service).expect("a folder");
    std::os::unix::fs::symlink(program("evonic-faulty"), service.join("run")).expect("a link");
    let plan = Plan { until_generation: u64::MAX, fault: Fault::Sleep };
    let mut runsv = Command::new("runsv")
        .arg(&service)
        .env(STAMP, &stamp)
        .env(VARIABLE, serde_json::to_string(&plan).expect("a plan is JSON"))
        .env(evonic_shared::hand_over::GENERATION, "1")
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("runsv is installed by `make test`");
    let mut pid = next_stamp(&stamp, 0).0;
    let samples = (0..kills)
        .map(|_| {
            // runsv waits before it starts a service again that did not live for a second.
            std::thread::sleep(Duration::from_millis(1100));
            let killed = SystemTime::now();
            Pair::signal(pid, Signal::SIGKILL);
            let (next, began) = next_stamp(&stamp, pid);
            pid = next;
            began.duration_since(killed).unwrap_or_default()
        })
        .collect();
    end(&mut runsv, pid);
    samples
}

fn end(runsv: &mut Child, service: u32) {
    let group = Pid::from_raw(i32::try_from(runsv.id()).expect("a pid"));
    let _ = killpg(group, Signal::SIGKILL);
    let _ = runsv.wait();
    if evonic_tests::process::is_alive(service) {
        Pair::signal(service, Signal::SIGKILL);
    }
}

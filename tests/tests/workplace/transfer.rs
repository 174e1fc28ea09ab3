//! Transfers: as fast as `scp`, in constant memory, resumed after a cut, and no
//! stream waits for another's.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use evonic_parts::{Account, Sshd};
use evonic_tests::{pair::Options, process, size, testbed::Testbed};
use serde_json::Value;

const MIB: u64 = 1 << 20;

/// A file of noise in the local workplace.
fn noise(testbed: &Testbed, name: &str, mib: u64) -> PathBuf {
    let folder = testbed.pair.state_dir().join("workplace");
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(name);
    let mut file = File::create(&path).expect("a file");
    let mut random = fastrand::Rng::with_seed(7);
    let mut piece = vec![0; 1 << 20];
    for _ in 0..mib {
        random.fill(&mut piece);
        file.write_all(&piece).expect("it is written");
    }
    path
}

fn cp(testbed: &Testbed, from: &str, to: &str) -> Output {
    let output = testbed.pair.evonic(&["cp", "--json", from, to]);
    assert!(output.status.success(), "{output:?}\n{}", testbed.pair.log());
    output
}

/// The event of a type in what `evonic cp --json` printed.
fn event(output: &Output, kind: &str) -> Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .into_iter()
        .find(|event| event["type"] == kind)
        .unwrap_or_else(|| panic!("no {kind} in {text}"))
}

fn scp(server: &Sshd, account: &Account, from: &str, to: &str) -> Duration {
    let began = Instant::now();
    let status = Command::new("scp")
        .args(["-q", "-o", "BatchMode=yes", "-F", "none", "-P", &server.port().to_string()])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", server.known_hosts().display()))
        .arg("-i")
        .arg(&account.key)
        .args([from, to])
        .status();
    assert!(status.expect("scp is installed").success());
    began.elapsed()
}

fn same(one: &Path, other: &Path) -> bool {
    Command::new("cmp").arg("-s").args([one, other]).status().expect("cmp").success()
}

#[test]
fn transfers_are_as_fast_as_scp_in_constant_memory() {
    let mib = size::of("transfer_mib", 48, 256);
    let (testbed, account) = Testbed::ssh(&Options::default());
    let server = testbed.server.as_ref().expect("a server");
    let big = noise(&testbed, "big", mib);
    let home = account.home.to_str().expect("text").to_owned();
    let remote = format!("{}@127.0.0.1:", account.name);
    let worker = testbed.pair.worker().0;
    // The first connection and the first pages are not what is measured.
    let _warm = cp(&testbed, "local:big", "ssh:warm");

    let memory = || process::memory_kib(worker).expect("it lives").1;
    let before = memory();
    let (done, highest) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    let (mut ours, mut theirs) = ([Duration::MAX; 2], [Duration::MAX; 2]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let now = process::memory_kib(worker).map_or(0, |(_, resident)| resident);
                highest.fetch_max(now, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // Side by side, the better of three each.
        for round in 0..3 {
            let began = Instant::now();
            let _up = cp(&testbed, "local:big", &format!("ssh:up{round}"));
            ours[0] = ours[0].min(began.elapsed());
            let up = scp(server, &account, big.to_str().expect("text"), &format!("{remote}scp-up"));
            theirs[0] = theirs[0].min(up);
            let began = Instant::now();
            let _down = cp(&testbed, &format!("ssh:up{round}"), &format!("local:down{round}"));
            ours[1] = ours[1].min(began.elapsed());
            let down = testbed.pair.state_dir().join("scp-down");
            let down = down.to_str().expect("text");
            theirs[1] = theirs[1].min(scp(server, &account, &format!("{remote}up{round}"), down));
        }
        done.store(true, Ordering::Relaxed);
    });
    let grown = highest.load(Ordering::Relaxed).saturating_sub(before) / 1024;
    #[allow(clippy::cast_precision_loss, reason = "figures for a person")]
    let speed = |time: Duration| format!("{:.0}", mib as f64 / time.as_secs_f64());
    for (way, index) in [("up", 0), ("down", 1)] {
        let ratio = theirs[index].as_secs_f64() / ours[index].as_secs_f64();
        let figures = format!("{} / {} ({ratio:.2})", speed(ours[index]), speed(theirs[index]));
        size::report(&format!("{mib} MiB {way}: evonic cp / scp"), figures, "MiB/s");
    }
    size::report("worker's memory grew at the most", grown, "MiB");
    assert!(same(&big, Path::new(&format!("{home}/up0"))), "it is the same file");
    assert!(same(&big, &big.with_file_name("down0")), "it is the same file");
    assert!(grown < 32, "memory grew by {grown} MiB");
}

#[test]
fn a_transfer_resumes_after_every_cut() {
    let mib = size::of("cut_mib", 64, 256);
    let cuts = size::of("cuts", 5, 20);
    let (testbed, account) = Testbed::ssh(&Options::config(
        "[ssh]\nbackoff_base = \"20ms\"\nbackoff_cap = \"100ms\"\nbreaker_failures = 1000\n",
    ));
    let big = noise(&testbed, "big", mib);
    let server = testbed.server.as_ref().expect("a server");
    let part = || -> u64 {
        let folder = fs::read_dir(&account.home).expect("the home");
        let parts =
            folder.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(".part"));
        parts.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    };
    let output = std::thread::scope(|scope| {
        let copy = scope.spawn(|| cp(&testbed, "local:big", "ssh:copy"));
        for cut in 1..=cuts {
            let wanted = mib * MIB * cut / (cuts + 1);
            while part() < wanted && !copy.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if copy.is_finished() {
                break;
            }
            let _processes = server.cut();
        }
        copy.join().expect("no panic")
    });
    assert!(same(&big, &account.home.join("copy")), "it is the same file");
    let done = event(&output, "done");
    let sent = done["sent"].as_u64().expect("a number");
    #[allow(clippy::cast_precision_loss, reason = "a figure for a person")]
    let ratio = sent as f64 / (mib * MIB) as f64;
    size::report(&format!("{mib} MiB, {cuts} cuts: bytes sent"), format!("{ratio:.3}"), "times");
    assert!(ratio <= 1.05, "{ratio}");
}

#[test]
fn a_transfer_outlives_its_worker() {
    let mib = size::of("cut_mib", 64, 256);
    let (testbed, account) = Testbed::ssh(&Options::default());
    let big = noise(&testbed, "big", mib);
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| cp(&testbed, "local:big", "ssh:copy"));
        std::thread::sleep(Duration::from_millis(150));
        if !copy.is_finished() {
            let _successor = testbed.pair.kill_worker();
        }
        copy.join().expect("no panic")
    });
    assert!(same(&big, &account.home.join("copy")), "it is the same file");
}

#[test]
fn two_agents_on_one_host_do_not_wait_for_each_other() {
    let mib = size::of("busy_mib", 128, 1024);
    let (testbed, _account) = Testbed::ssh(&Options::default());
    let _big = noise(&testbed, "big", mib);
    let session = testbed.pair.session("ssh");
    let echo = || {
        let began = Instant::now();
        assert!(testbed.run_in(&session, "$ echo hi").is_completed());
        began.elapsed()
    };
    let _warm = echo();
    let mut alone: Vec<Duration> = (0..20).map(|_| echo()).collect();
    let mut beside = Vec::new();
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| cp(&testbed, "local:big", "ssh:copy"));
        while !copy.is_finished() {
            beside.push(echo());
        }
    });
    let (alone, beside) = (size::quantile(&mut alone, 0.5), size::quantile(&mut beside, 0.5));
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    let figures = format!("{} / {} ({ratio:.2})", size::ms(alone), size::ms(beside));
    size::report("echo alone / while another uploads", figures, "ms");
    // Processors that are busy with ciphers slow everything on a small machine; a stream that
    // waits for another takes as long as the upload.
    assert!(beside < alone * 10, "{alone:?} alone, {beside:?} beside");
}

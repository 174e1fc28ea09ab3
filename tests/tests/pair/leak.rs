//! Leaks are found, named, and end with their worker.

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use evonic_shared::{
    reason::Reason,
    status::{PostMortem, Replacement, State},
};
use evonic_tests::{
    fault::{Fault, Leaked},
    pair::{Options, Pair},
    poll, process, size,
};

/// How a leak ended.
struct Found {
    entry: Replacement,
    post_mortem: PostMortem,
    /// From the count's crossing of the line, as seen from outside, to the decision.
    late: Duration,
    /// The greatest error of the predicted time to the threshold, as a share of the true one:
    /// what is left to the threshold at the leak's own rate. Counted from a second after the
    /// growth was first reported, and from ten descriptors on.
    worst_prediction: Option<f64>,
}

struct Leak {
    leaked: Leaked,
    per_second: u32,
    config: &'static str,
    /// Descriptors at which the trigger is due, beside those open when it began.
    line: Line,
}

enum Line {
    Threshold(usize),
    Unexplained(usize),
}

const BY_THRESHOLD: &str = "[fd]\nthreshold = 400\nceiling = 14000\nunexplained = 100000\n";
const BY_UNEXPLAINED: &str = "[fd]\nthreshold = 4000\nceiling = 14000\nunexplained = 256\n";

/// What goes again within such a time was no leak: a worker opens files, too.
const MOMENT: Duration = Duration::from_millis(50);

fn find(leak: &Leak) -> Found {
    let flat = Duration::from_secs(size::of("flat_seconds", 4, 60).max(4));
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = Options::config(leak.config).fault(
        1,
        Fault::Leak {
            leaked: leak.leaked,
            per_second: leak.per_second,
            after_ms: u64::try_from(flat.as_millis()).expect("a minute"),
        },
    );
    let leak_folder = folder.path().display().to_string();
    options.environment.push(("EVONIC_TEST_LEAK_FOLDER".to_owned(), leak_folder));
    let pair = Pair::start(&options);
    let (pid, generation) = pair.worker();
    let began = Instant::now();
    let base = process::descriptors(pid).expect("a worker");
    let line = match leak.line {
        Line::Threshold(line) => line,
        Line::Unexplained(line) => base + line + 1,
    };

    let mut crossed = None;
    let mut errors = Vec::new();
    let mut growing_since = None;
    let mut looked = Instant::now();
    let timeout =
        flat + Duration::from_secs(u64::from(500 / leak.per_second)) + Duration::from_secs(60);
    while pair.history().is_empty() {
        assert!(began.elapsed() < timeout, "nothing was done; log:\n{}", pair.log());
        match process::descriptors(pid) {
            Some(open) if open >= line => _ = crossed.get_or_insert_with(SystemTime::now),
            Some(_) => _ = crossed.take_if(|at| at.elapsed().is_ok_and(|since| since < MOMENT)),
            None => {}
        }
        if crossed.is_none() && looked.elapsed() > Duration::from_millis(200) {
            looked = Instant::now();
            let fd = pair.status().worker.map(|worker| worker.fd);
            if let Some((fd, predicted)) =
                fd.and_then(|fd| Some((fd.clone(), fd.seconds_to_threshold?)))
            {
                let since = *growing_since.get_or_insert_with(Instant::now);
                let left = f64::from(fd.threshold.saturating_sub(fd.open));
                let truth = left / f64::from(leak.per_second);
                let visible = since.elapsed() >= Duration::from_secs(1)
                    && fd.unexplained.is_some_and(|unexplained| unexplained >= 10);
                if visible && truth > 0.5 {
                    errors.push((predicted - truth).abs() / truth);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let entry = pair.history().remove(0);
    assert_eq!(entry.generation, generation);
    let at = entry.at.parse::<jiff::Timestamp>().expect("RFC 3339");
    let at = SystemTime::try_from(at).expect("a time of this age");
    let crossed = crossed.unwrap_or(at);
    let name = entry.post_mortem.clone().expect("a post-mortem");
    let file = pair.state_dir().join("post-mortems").join(name);
    let post_mortem = poll::until(
        "the post-mortem is written",
        Duration::from_secs(10),
        || fs::read(&file),
        |written| serde_json::from_slice(written.as_ref().ok()?).ok(),
    );

    pair.wait_for_successor(generation);
    assert!(!process::is_alive(pid), "the leaking worker is gone");
    let log = pair.log();
    assert!(!log.contains("EMFILE") && !log.contains("Too many open files"), "{log}");
    Found {
        entry,
        post_mortem,
        late: at.duration_since(crossed).unwrap_or(Duration::ZERO),
        worst_prediction: errors.into_iter().reduce(f64::max),
    }
}

fn check(leak: &Leak, reason: Reason, kind: &str, latest: Duration) {
    let found = find(leak);
    let fd = &found.post_mortem.fd;
    println!(
        "{:?} at {}/s: {} at {} descriptors, {:.0} ms after the line; prediction off by {}; {}",
        leak.leaked,
        leak.per_second,
        found.entry.reason,
        found.entry.fd_open,
        found.late.as_secs_f64() * 1e3,
        found.worst_prediction.map_or("-".to_owned(), |share| format!("{:.0} %", share * 1e2)),
        found.post_mortem.culprit,
    );
    assert_eq!(found.entry.reason, reason, "{:#?}", found.entry);
    assert_eq!(found.post_mortem.reason, reason);
    let first = found.post_mortem.census.kinds.first().expect("a kind");
    assert_eq!(first.name, kind, "the leaked kind comes first: {:#?}", found.post_mortem.census);
    assert!(found.late <= latest, "{:?} after the line: {fd:#?}", found.late);
    if let Some(share) = found.worst_prediction {
        assert!(share <= 0.2, "prediction off by {share:.2}");
    }
}

/// From flat: the next count is at most `fd.max_interval` away.
const FROM_FLAT: Duration = Duration::from_millis(2050);
/// While growth is visible: two counts at `fd.min_interval`, and what a busy machine adds.
const WHILE_GROWING: Duration = Duration::from_millis(100);

#[test]
fn a_slow_leak_of_sockets_is_found() {
    let line = Line::Unexplained(16);
    let config = "[fd]\nthreshold = 4000\nceiling = 14000\nunexplained = 16\n";
    let leak = Leak { leaked: Leaked::Sockets, per_second: 1, config, line };
    check(&leak, Reason::FdUnexplained, "udp", FROM_FLAT);
}

#[test]
fn a_leak_of_files_is_found() {
    let line = Line::Threshold(400);
    let leak = Leak { leaked: Leaked::Files, per_second: 50, config: BY_THRESHOLD, line };
    check(&leak, Reason::FdThreshold, "file", WHILE_GROWING);
}

#[test]
fn a_leak_of_sqlite_handles_is_found() {
    let line = Line::Unexplained(256);
    let leak = Leak { leaked: Leaked::Sqlite, per_second: 50, config: BY_UNEXPLAINED, line };
    check(&leak, Reason::FdUnexplained, "file", WHILE_GROWING);
}

#[test]
fn a_leak_of_pipes_is_found() {
    let line = Line::Unexplained(256);
    let leak = Leak { leaked: Leaked::Pipes, per_second: 50, config: BY_UNEXPLAINED, line };
    check(&leak, Reason::FdUnexplained, "pipe", WHILE_GROWING);
}

#[test]
fn a_fast_leak_is_found() {
    let line = Line::Threshold(400);
    let leak = Leak { leaked: Leaked::Sockets, per_second: 2000, config: BY_THRESHOLD, line };
    check(&leak, Reason::FdThreshold, "udp", FROM_FLAT);
}

#[test]
fn the_fastest_leak_is_found_before_the_limit() {
    let line = Line::Threshold(400);
    let leak = Leak { leaked: Leaked::Files, per_second: 5000, config: BY_THRESHOLD, line };
    let found = find(&leak);
    println!("files at 5000/s: decided at {} descriptors", found.entry.fd_open);
    assert!(matches!(found.entry.reason, Reason::FdThreshold | Reason::FdCeiling));
    let top = found.post_mortem.census.top.first().expect("a target");
    assert!(top.name.ends_with("leaked-file"), "{:#?}", found.post_mortem.census);
    let limit = found.post_mortem.fd.limit;
    assert!(found.entry.fd_open < limit, "{} of {limit}", found.entry.fd_open);
}

#[test]
fn a_sawtooth_is_no_leak() {
    let seconds = size::of("sawtooth_seconds", 12, 600);
    let options =
        Options::default().fault(u64::MAX, Fault::Sawtooth { height: 50, period_ms: 2000 });
    let pair = Pair::start(&options);
    let (_, generation) = pair.worker();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        let status = pair.status();
        assert_eq!(status.state, State::Running, "{status:#?}");
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(pair.worker().1, generation);
    assert_eq!(pair.status().restarts.total, 0);
}

#[test]
fn counting_costs_an_idle_supervisor_next_to_nothing() {
    const BOUND: u64 = 1000;
    let seconds = size::of("idle_seconds", 10, 60).max(5);
    let pair = Pair::start(&Options::default());
    // A shell that wakes as often, and does nothing: what waking costs on this machine just now.
    let mut control = std::process::Command::new("bash")
        .args(["-c", "while read -rt 2 || (($? > 128)); do :; done"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("bash is there");
    std::thread::sleep(Duration::from_secs(3));
    let spent = |pid: u32| process::cpu_micros(pid).expect("a process");
    // What else the machine does only adds to the time: the quietest of three windows counts.
    let (mut a_second, mut bound) = (u64::MAX, BOUND);
    for _ in 0..3 {
        let before = (spent(pair.pid()), spent(control.id()));
        std::thread::sleep(Duration::from_secs(seconds));
        a_second = a_second.min((spent(pair.pid()) - before.0) / seconds);
        bound = bound.max(10 * (spent(control.id()) - before.1) / seconds);
        if a_second < bound {
            break;
        }
    }
    control.kill().and_then(|()| control.wait()).expect("it ends");
    // All of the supervisor, counting included: heartbeat, count, history, probe, watchdog.
    size::report("supervisor, everything, when idle", a_second, "µs of processor a second");
    assert!(a_second < bound, "{a_second} µs a second, bound {bound}");
}

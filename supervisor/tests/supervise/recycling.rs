//! Workers that misbehave, and what becomes of them.

use std::time::{Duration, Instant};

use evonic_shared::{
    control::Part,
    reason::Reason,
    status::{Exit, PostMortem, Replacement, State, Status},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    harness::{GRACE, Harness, is_ready},
    stand_in::Behaviour,
};

/// Runs a first worker that behaves badly and waits for its well-behaved successor.
fn first_goes(behaviour: &Behaviour) -> (Harness, Replacement) {
    let mut harness = Harness::new(behaviour);
    harness.start();
    harness.wait("it to have read its behaviour", |status| {
        status.restarts.total > 0
            || status.worker.as_ref().is_some_and(|worker| worker.version.is_some())
    });
    harness.behave(&Behaviour::default());
    let status = harness.wait("its successor", |status| is_ready(status, 2));
    assert_eq!(status.state, State::Running);
    let last = harness.history().pop().unwrap();
    assert_eq!(last.generation, 1);
    (harness, last)
}

#[test]
fn a_restart_overlaps_and_ends_in_order() {
    let harness = Harness::ready(&Behaviour::default());
    harness.ask(r#"{"op":"restart"}"#);
    let status = harness.wait("the next one", |status| is_ready(status, 2));
    let last = status.last_restart.unwrap();
    assert_eq!((last.generation, last.reason), (1, Reason::Requested));
    assert_eq!((last.exit, last.post_mortem), (Exit::Code { code: 0 }, None));
    assert_eq!((status.restarts.requested, status.restarts.total), (1, 1));
    assert!(last.took_ms < 5000 && last.fd_open >= 8);
}

#[test]
fn a_leak_is_found_and_named() {
    let leaked = tempfile::NamedTempFile::new().unwrap();
    let path = leaked.path().display().to_string();
    let leak = Behaviour { leak: Some((path.clone(), 5)), ..Behaviour::default() };
    let (harness, last) = first_goes(&leak);
    assert_eq!(last.reason, Reason::FdUnexplained);
    let file = harness.path("state/post-mortems").join(last.post_mortem.unwrap());
    let post_mortem: PostMortem = harness
        .until("it to be written", || serde_json::from_slice(&std::fs::read(&file).ok()?).ok());
    assert_eq!(post_mortem.reason, Reason::FdUnexplained);
    assert!(post_mortem.culprit.starts_with("file grew by "), "{}", post_mortem.culprit);
    assert!(post_mortem.culprit.contains(&path), "{}", post_mortem.culprit);
    assert_eq!(post_mortem.census.top[0].name, path);
    assert!(post_mortem.census.top[0].growth > 30 && post_mortem.fd.per_second > 10.0);
    assert!(post_mortem.ready.is_some());
    assert_eq!(last.exit, Exit::Code { code: 0 });
}

#[test]
fn a_flood_meets_the_ceiling_before_the_limit() {
    let behaviour = Behaviour { leak: Some(("/dev/zero".into(), 650)), ..Behaviour::default() };
    let (_house, last) = first_goes(&behaviour);
    assert_eq!(last.reason, Reason::FdCeiling);
    assert!((600..2048).contains(&last.fd_open), "{last:?}");
}

#[test]
fn every_kind_of_silence_is_noticed() {
    let unhealthy = [
        Behaviour { beats: Some(3), ..Behaviour::default() },
        Behaviour { late: Some(Part::Store), ..Behaviour::default() },
        Behaviour { ignores_probe: true, ..Behaviour::default() },
        Behaviour { closes_control: true, ..Behaviour::default() },
    ];
    for behaviour in unhealthy {
        let (harness, last) = first_goes(&behaviour);
        assert_eq!(last.reason, Reason::Unhealthy, "{behaviour:?}\n{}", harness.log());
        assert!(last.post_mortem.is_some());
        let detail = match behaviour {
            Behaviour { late: Some(_), .. } => "store has not checked in for",
            Behaviour { ignores_probe: true, .. } => "probes in a row were not answered",
            _ => "no heartbeat for",
        };
        assert!(last.detail.contains(detail), "{}", last.detail);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "clients that nobody accepts")]
fn a_parked_accept_loop_is_noticed() {
    let harness = Harness::ready(&Behaviour::default());
    let address = harness.status().listeners.remove(0).address;
    let waiting = [(); 2].map(|()| std::net::TcpStream::connect(&address).unwrap());
    harness.wait("them to be seen", |status| status.listeners[0].accept_queue == Some(2));
    let status = harness.wait("a finding", |status| status.restarts.unhealthy >= 1);
    drop(waiting);
    let last = status.last_restart.unwrap();
    assert!(last.detail.starts_with("2 connections have waited 1"), "{}", last.detail);
}

#[test]
fn a_stopped_worker_is_replaced_and_killed_after_grace() {
    let harness = Harness::ready(&Behaviour::default());
    let pid = harness.status().worker.unwrap().pid;
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::STOP).unwrap();
    let status = harness.wait("its successor", |status| is_ready(status, 2));
    let last = status.last_restart.unwrap();
    assert_eq!(last.reason, Reason::Unhealthy);
    assert_eq!(last.exit, Exit::Signal { signal: "SIGKILL".into(), after_grace: true });
}

#[test]
fn a_deaf_worker_does_not_outlive_its_grace() {
    let harness = Harness::ready(&Behaviour { deaf: true, ..Behaviour::default() });
    harness.ask(r#"{"op":"restart"}"#);
    let status = harness.wait("the next one", |status| is_ready(status, 2));
    let last = status.last_restart.unwrap();
    assert_eq!(last.exit, Exit::Signal { signal: "SIGKILL".into(), after_grace: true });
    let is_wanted = |line: &&str| line.contains("told to stop") || line.contains("worker ended");
    let drained = harness.until("both lines", || {
        let log = harness.log();
        let times = log.lines().filter(is_wanted).map(|line| line[..24].to_owned());
        let times: Vec<_> = times.collect();
        (times.len() >= 2).then_some(times)
    });
    let took = seconds_of_day(&drained[1]) - seconds_of_day(&drained[0]);
    let grace = GRACE.as_secs_f64();
    // Grace begins with the decision; a loaded machine may say so a little later.
    assert!((grace / 2.0..grace + 0.25).contains(&took), "{took} s between {drained:?}");
}

fn seconds_of_day(time: &str) -> f64 {
    let part = |range: std::ops::Range<usize>| time.get(range).unwrap().parse::<f64>().unwrap();
    part(11..13) * 3600.0 + part(14..16) * 60.0 + part(17..23)
}

#[test]
fn crashes_are_recorded_as_they_were() {
    let harness = Harness::ready(&Behaviour::default());
    let pid = harness.status().worker.unwrap().pid;
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::ABORT).unwrap();
    let status = harness.wait("its successor", |status| is_ready(status, 2));
    let last = status.last_restart.unwrap();
    assert_eq!(last.reason, Reason::Crash);
    assert_eq!(last.exit, Exit::Signal { signal: "SIGABRT".into(), after_grace: false });

    let (_house, last) = first_goes(&Behaviour { exit_at_once: Some(3), ..Behaviour::default() });
    assert_eq!((last.reason, last.exit), (Reason::Crash, Exit::Code { code: 3 }));
}

#[test]
fn one_that_never_gets_ready_is_killed_in_time() {
    for behaviour in [
        Behaviour { silent: true, ..Behaviour::default() },
        Behaviour { never_ready: true, ..Behaviour::default() },
        Behaviour { protocol: Some(99), ..Behaviour::default() },
    ] {
        let mut harness = Harness::new(&behaviour);
        harness.reconfigure("start_timeout = \"5s\"", "start_timeout = \"700ms\"");
        harness.start();
        harness.wait("a first failure", |status| status.restarts.crash >= 1);
        harness.behave(&Behaviour::default());
        harness.wait("a good one", |status| {
            status.worker.as_ref().is_some_and(|worker| is_ready(status, worker.generation))
        });
        let first = harness.history().pop().unwrap();
        assert_eq!(first.reason, Reason::Crash);
        assert!(first.detail.contains("within 0.7 s"), "{}", first.detail);
        if behaviour.protocol.is_some() {
            assert!(harness.log().contains("it speaks protocol 99"), "{}", harness.log());
        }
    }
}

#[test]
fn garbage_on_the_control_channel_costs_nobody_anything() {
    let harness = Harness::ready(&Behaviour { garbage: 500, ..Behaviour::default() });
    harness.until("a thousand of them", || harness.log().contains("refused=1024").then_some(()));
    let begun = Instant::now();
    assert!(is_ready(&harness.status(), 1));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let lines = harness.log().lines().filter(|line| line.contains("dropped")).count();
    assert!(lines <= 40, "{lines} lines about it");
}

/// Whether it serves and is none of those that end when they are ready.
fn is_steady(status: &Status) -> bool {
    is_ready(status, 1)
        && status.worker.as_ref().is_some_and(|worker| worker.last_heartbeat_seconds.is_some())
}

#[test]
fn restarts_leave_no_descriptor_behind() {
    let restarts: u64 = std::env::var("EVONIC_SUPERVISOR_RESTARTS")
        .map_or(300, |text| text.parse().expect("EVONIC_SUPERVISOR_RESTARTS is a number"));
    // Half of them never get ready, half of them do.
    let mut harness = Harness::new(&Behaviour { exit_when_ready: Some(1), ..Behaviour::default() });
    harness.reconfigure("backoff_base = \"10ms\"", "backoff_base = \"1ms\"");
    harness.reconfigure("backoff_cap = \"50ms\"", "backoff_cap = \"1ms\"");
    harness.start();
    harness.wait("some of them", |status| status.restarts.crash >= 20);
    harness.behave(&Behaviour::default());
    let status = harness.wait("a steady one", is_steady);
    let before = harness.settled_descriptors();
    let generation = status.worker.unwrap().generation;

    harness.behave(&Behaviour { exit_when_ready: Some(1), ..Behaviour::default() });
    harness.ask(r#"{"op":"restart"}"#);
    let begun = Instant::now();
    let mut last = 0;
    let mut progress = Instant::now();
    while last < generation + restarts {
        let seen = harness.status().worker.map_or(last, |worker| worker.generation);
        if seen != last {
            (last, progress) = (seen, Instant::now());
        }
        assert!(progress.elapsed() < Duration::from_secs(10), "it stands\n{}", harness.log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let took = begun.elapsed();
    harness.behave(&Behaviour::default());
    harness.wait("a steady one", is_steady);
    assert_eq!(harness.settled_descriptors().len(), before.len(), "{before:?}");
    println!(
        "{restarts} restarts in {:.1} s ({:.1} ms each), {} descriptors before and after",
        took.as_secs_f64(),
        took.as_secs_f64() * 1000.0 / restarts as f64,
        before.len()
    );
}

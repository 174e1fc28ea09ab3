//! What others do to the supervisor itself: put back, or a reason to start a clean one.

use std::{
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
};

use evonic_shared::{
    exit::ExitCode,
    status::{Measure, Status},
};
use rustix::{
    process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::{
    harness::{Harness, is_ready},
    stand_in::Behaviour,
};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn take_files(pid: Pid) {
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(3), maximum: Some(3) }).unwrap();
}

fn put_back(status: &Status, words: &str) -> bool {
    let last = status.last_tampering.as_ref();
    last.is_some_and(|last| last.measure == Measure::PutBack && last.detail.contains(words))
}

#[test]
fn under_systemd_a_supervisor_that_can_open_nothing_is_started_anew_each_time() {
    let mut harness = Harness::new(&Behaviour::default());
    let notify = harness.path("notify");
    let systemd = UnixDatagram::bind(&notify).unwrap();
    systemd.set_nonblocking(true).unwrap();
    // Restart=always: whatever it ended with, the next one is started.
    for life in 1..=3 {
        let mut command = harness.command();
        command.env("NOTIFY_SOCKET", &notify);
        harness.start_as(command);
        let status = harness.wait("a ready worker", |status| is_ready(status, life));
        let told = status.last_tampering.map(|last| (last.measure, last.detail));
        if life > 1 {
            let (measure, detail) = told.expect("the last life's end");
            assert_eq!(measure, Measure::Exit);
            assert!(detail.starts_with("the hard limit of open files is 3; it was "), "{detail}");
        }
        take_files(harness.pid());
        let end = harness.end();
        assert_eq!(end.code(), Some(ExitCode::Tampered.code().into()), "{}", harness.log());
        // This systemd keeps no sockets: they are closed with the messages that brought them.
        while systemd.recv(&mut [0; 4096]).is_ok() {}
    }
    assert!(harness.log().contains("the hard limit of open files is 3"), "{}", harness.log());
}

#[test]
fn by_hand_it_serves_on_for_as_long_as_its_worker() {
    let mut harness = Harness::ready(&Behaviour::default());
    let worker = harness.status().worker.unwrap().pid;
    take_files(harness.pid());
    let history = harness.path("state/history.jsonl");
    harness.until("it to be told", || {
        std::fs::read_to_string(&history).ok()?.contains("\"measure\":\"reported\"").then_some(())
    });
    kill_process(Pid::from_raw(worker.cast_signed()).unwrap(), Signal::KILL).unwrap();
    let end = harness.end();
    assert_eq!(end.code(), Some(ExitCode::Tampered.code().into()), "{}", harness.log());
    harness.start();
    let status = harness.wait("a clean one", |status| is_ready(status, 2));
    assert_eq!(status.last_tampering.unwrap().measure, Measure::Exit);
}

#[test]
fn folders_that_were_closed_are_open_again_and_loose_ones_closed() {
    let harness = Harness::ready(&Behaviour::default());
    for (name, found, wanted) in
        [("state", 0, 0o700), ("state", 0o755, 0o700), ("run", 0, 0o750), ("run", 0o777, 0o750)]
    {
        let path = harness.path(name);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(found)).unwrap();
        harness.until("its mode", || (mode(&path) == wanted).then_some(()));
        let words = format!("the mode of {}_dir is {found:04o}", name.replace("run", "runtime"));
        harness.wait("it to be told", |status| put_back(status, &words));
    }
    harness.ask(r#"{"op":"restart"}"#);
    harness.wait("the next one", |status| is_ready(status, 2));
}

#[test]
fn a_state_folder_that_is_closed_at_the_start_is_opened() {
    let mut harness = Harness::ready(&Behaviour::default());
    harness.signal(Signal::TERM);
    harness.end();
    let state = harness.path("state");
    std::fs::set_permissions(&state, PermissionsExt::from_mode(0o000)).unwrap();
    harness.start();
    harness.wait("a ready worker", |status| is_ready(status, 2));
    assert_eq!(mode(&state), 0o700);
}

#[test]
fn soft_limits_and_processors_are_put_back() {
    let harness = Harness::ready(&Behaviour::default());
    let pid = harness.pid();
    let limits = || {
        let path = format!("/proc/{}/limits", pid.as_raw_nonzero());
        std::fs::read_to_string(path).unwrap()
    };
    let before = limits();
    let own = rustix::process::getrlimit(Resource::Data);
    let lower = Rlimit { current: Some(1 << 20), ..own };
    prlimit(Some(pid), Resource::Data, lower).unwrap();
    let status =
        harness.wait("the limit", |status| put_back(status, "soft limit of bytes of data"));
    assert_eq!(status.last_tampering.unwrap().measure, Measure::PutBack);
    assert_eq!(limits(), before);

    let all = sched_getaffinity(Some(pid)).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).unwrap());
    if all.count() > 1 {
        sched_setaffinity(Some(pid), &one).unwrap();
        harness.wait("the processors", |status| put_back(status, "set of processors"));
        assert_eq!(sched_getaffinity(Some(pid)).unwrap(), all);
    }
    harness.ask(r#"{"op":"restart"}"#);
    harness.wait("the next one", |status| is_ready(status, 2));
}

//! How supervisors end, and what outlives them.

use std::{io::Read, path::Path, time::Duration};

use evonic_shared::reason::Reason;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    harness::{Harness, is_ready},
    stand_in::Behaviour,
};

fn is_alive(pid: u32) -> bool {
    // A zombie that nobody has reaped yet is dead.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|text| !text.rsplit(") ").next().unwrap_or_default().starts_with('Z'))
}

#[test]
fn signals_stop_both_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut harness = Harness::ready(&Behaviour::default());
        let worker = harness.status().worker.unwrap().pid;
        harness.signal(signal);
        assert!(harness.end().success(), "{}", harness.log());
        assert!(!is_alive(worker));
        for name in ["run/supervisor.sock", "run/api.sock"] {
            assert!(!harness.path(name).exists());
        }
        assert!(harness.log().contains("exit=\"code 0\""), "{}", harness.log());
        harness.start();
        harness.wait("the next life", |status| is_ready(status, 2));
        assert_eq!(harness.status().restarts.total, 0, "a stop is no restart");
    }
}

#[test]
fn drain_stops_both_even_a_deaf_worker() {
    let mut harness = Harness::ready(&Behaviour { deaf: true, ..Behaviour::default() });
    let worker = harness.status().worker.unwrap().pid;
    harness.ask(r#"{"op":"drain"}"#);
    assert!(harness.end().success());
    assert!(!is_alive(worker));
}

#[test]
fn history_outlives_a_killed_supervisor_and_its_worker_does_not() {
    let mut harness = Harness::ready(&Behaviour::default());
    harness.ask(r#"{"op":"restart"}"#);
    let status = harness.wait("the next one", |status| is_ready(status, 2));
    let worker = status.worker.unwrap().pid;
    let file = harness.path("state/history.jsonl");
    harness.until("it to be written", || {
        std::fs::read_to_string(&file).ok()?.contains("\"reason\":\"requested\"").then_some(())
    });
    harness.signal(Signal::KILL);
    assert!(!harness.end().success());
    harness.until("the worker's end", || (!is_alive(worker)).then_some(()));
    // Its socket files are still there, and its locks are not.
    harness.start();
    let status = harness.wait("the next life", |status| is_ready(status, 3));
    assert_eq!(status.worker.unwrap().generation, 3, "generations never go back");
    assert_eq!((status.restarts.requested, status.restarts.total), (1, 1));
    let history = harness.history();
    assert_eq!((history.len(), history[0].reason), (1, Reason::Requested));
}

#[test]
fn a_damaged_history_is_no_reason_not_to_start() {
    let mut harness = Harness::ready(&Behaviour::default());
    harness.signal(Signal::TERM);
    harness.end();
    let path = harness.path("state/history.jsonl");
    std::fs::write(&path, b"\xff\xff{\"generation\":tru").unwrap();
    harness.start();
    harness.wait("a ready worker", |status| is_ready(status, 1));
}

#[test]
fn orphans_of_workers_are_reaped() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let line = format!("echo $$ > {0}.part; mv {0}.part {0}; sleep 0.3", pids.path().display());
    let harness = Harness::ready(&Behaviour { orphan: Some(line), ..Behaviour::default() });
    let orphan: u32 = harness.until("the orphan's pid", || {
        std::fs::read_to_string(pids.path()).ok()?.trim().parse().ok()
    });
    let worker = harness.status().worker.unwrap().pid;
    kill_process(Pid::from_raw(worker.cast_signed()).unwrap(), Signal::KILL).unwrap();
    harness.wait("a successor", |status| is_ready(status, 2));
    harness.until("it to be gone, not a zombie", || {
        (!Path::new(&format!("/proc/{orphan}")).exists()).then_some(())
    });
}

#[test]
fn an_unread_log_stops_nobody() {
    let mut harness = Harness::new(&Behaviour::default());
    // Room for a few lines only, and nobody who reads them.
    let (unread, log) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    rustix::pipe::fcntl_setpipe_size(&unread, 4096).unwrap();
    let mut command = harness.command();
    command.env("EVONIC_LOG", "trace").stderr(log);
    harness.start_as(command);
    harness.wait("a ready worker", |status| is_ready(status, 1));
    for generation in 2..20 {
        harness.ask(r#"{"op":"restart"}"#);
        harness.wait("the next one", |status| is_ready(status, generation));
    }
    let mut full = [rustix::event::PollFd::new(&unread, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut full, Some(&Default::default())).unwrap(), 1);
    // Who reads again is told how much was lost.
    let mut reader = std::fs::File::from(unread);
    let told = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut page = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut page) {
            text.extend_from_slice(&page[..length]);
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    harness.ask(r#"{"op":"restart"}"#);
    harness.wait("the last one", |status| is_ready(status, 20));
    let begun = std::time::Instant::now();
    harness.signal(Signal::TERM);
    assert!(harness.end().success());
    assert!(begun.elapsed() < Duration::from_secs(5));
    let told = told.join().unwrap();
    assert!(told.contains("lines_lost"), "{told}");
}

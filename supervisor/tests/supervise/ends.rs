//! How supervisors end, and what outlives them.

use std::{path::Path, time::Duration};

use evonic_shared::reason::Reason;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    harness::{House, is_ready},
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
        let mut house = House::ready(&Behaviour::default());
        let worker = house.status().worker.unwrap().pid;
        house.signal(signal);
        assert!(house.end().success(), "{}", house.log());
        assert!(!is_alive(worker));
        for name in ["run/supervisor.sock", "run/api.sock"] {
            assert!(!house.path(name).exists());
        }
        assert!(house.log().contains("exit=\"code 0\""), "{}", house.log());
        house.start();
        house.wait("the next life", |status| is_ready(status, 2));
        assert_eq!(house.status().restarts.total, 0, "a stop is no restart");
    }
}

#[test]
fn drain_stops_both_even_a_deaf_worker() {
    let mut house = House::ready(&Behaviour { deaf: true, ..Behaviour::default() });
    let worker = house.status().worker.unwrap().pid;
    house.ask(r#"{"op":"drain"}"#);
    assert!(house.end().success());
    assert!(!is_alive(worker));
}

#[test]
fn history_outlives_a_killed_supervisor_and_its_worker_does_not() {
    let mut house = House::ready(&Behaviour::default());
    house.ask(r#"{"op":"restart"}"#);
    let status = house.wait("the next one", |status| is_ready(status, 2));
    let worker = status.worker.unwrap().pid;
    house.signal(Signal::KILL);
    assert!(!house.end().success());
    house.until("the worker's end", || (!is_alive(worker)).then_some(()));
    // Its socket files are still there, and its locks are not.
    house.start();
    let status = house.wait("the next life", |status| is_ready(status, 3));
    assert_eq!(status.worker.unwrap().generation, 3, "generations never go back");
    assert_eq!((status.restarts.requested, status.restarts.total), (1, 1));
    let history = house.history();
    assert_eq!((history.len(), history[0].reason), (1, Reason::Requested));
}

#[test]
fn a_damaged_history_is_no_reason_not_to_start() {
    let mut house = House::ready(&Behaviour::default());
    house.signal(Signal::TERM);
    house.end();
    let path = house.path("state/history.jsonl");
    std::fs::write(&path, b"\xff\xff{\"generation\":tru").unwrap();
    house.start();
    house.wait("a ready worker", |status| is_ready(status, 1));
}

#[test]
fn orphans_of_workers_are_reaped() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let line = format!("echo $$ > {0}.part; mv {0}.part {0}; sleep 0.3", pids.path().display());
    let house = House::ready(&Behaviour { orphan: Some(line), ..Behaviour::default() });
    let orphan: u32 = house.until("the orphan's pid", || {
        std::fs::read_to_string(pids.path()).ok()?.trim().parse().ok()
    });
    let worker = house.status().worker.unwrap().pid;
    kill_process(Pid::from_raw(worker.cast_signed()).unwrap(), Signal::KILL).unwrap();
    house.wait("a successor", |status| is_ready(status, 2));
    house.until("it to be gone, not a zombie", || {
        (!Path::new(&format!("/proc/{orphan}")).exists()).then_some(())
    });
}

#[test]
fn an_unread_log_stops_nobody() {
    let mut house = House::new(&Behaviour::default());
    // Room for a few lines only, and nobody who reads them.
    let (unread, log) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    rustix::pipe::fcntl_setpipe_size(&unread, 4096).unwrap();
    let mut command = house.command();
    command.env("EVONIC_LOG", "trace").stderr(log);
    house.start_as(command);
    house.wait("a ready worker", |status| is_ready(status, 1));
    for generation in 2..20 {
        house.ask(r#"{"op":"restart"}"#);
        house.wait("the next one", |status| is_ready(status, generation));
    }
    let mut full = [rustix::event::PollFd::new(&unread, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut full, Some(&Default::default())).unwrap(), 1);
    let begun = std::time::Instant::now();
    house.signal(Signal::TERM);
    assert!(house.end().success());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

//! How a supervisor and its workers start, and what stops them from it.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::Command,
    time::Duration,
};

use evonic_shared::{
    exit::ExitCode,
    status::{Exit, PartHealth, State, WorkerState},
};
use rustix::process::Signal;

use crate::{
    harness::{Harness, is_ready},
    stand_in::{Behaviour, Report},
};

fn report(harness: &Harness) -> Report {
    serde_json::from_slice(&std::fs::read(harness.path("report")).unwrap()).unwrap()
}

fn reporting(harness: &Harness) -> Behaviour {
    Behaviour { report: Some(harness.path("report").display().to_string()), ..Behaviour::default() }
}

#[test]
fn the_worker_gets_what_the_contract_says() {
    let mut harness = Harness::new(&Behaviour::default());
    harness.behave(&reporting(&harness));
    let mut command = harness.command();
    command.env("WATCHDOG_USEC", "1000000").env("LISTEN_FDS", "7").env("LISTEN_PID", "1");
    harness.start_as(command);
    harness.wait("a ready worker", |status| is_ready(status, 1));
    let report = report(&harness);

    let variable = |name: &str| report.environment.get(name).map(String::as_str);
    assert_eq!(variable("LISTEN_PID"), Some(report.pid.to_string().as_str()));
    assert_eq!(variable("LISTEN_FDS"), Some("6"));
    let names = variable("LISTEN_FDNAMES");
    assert_eq!(names, Some("http:api:control:probe:fd_page:config"));
    assert_eq!(variable("EVONIC_GENERATION"), Some("1"));
    assert_eq!(variable("EVONIC_PREDECESSOR"), None);
    assert_eq!(variable("WATCHDOG_USEC"), None);
    assert_eq!(variable("EVONIC_STATE_DIR"), harness.path("state").to_str());
    let arguments = variable("STAND_IN_ARGUMENTS").unwrap();
    let config = harness.path("evonic.toml");
    assert!(arguments.ends_with(&format!(" worker --config {}", config.display())), "{arguments}");

    assert_eq!(report.descriptors[&0], "/dev/null");
    for socket in 3..=6 {
        assert!(report.descriptors[&socket].starts_with("socket:"), "{report:?}");
    }
    assert_eq!(report.descriptors[&7], "/memfd:evonic-fd-page (deleted)");
    assert_eq!(report.descriptors[&8], "/memfd:evonic-config (deleted)");
    // Beyond those only what the stand-in opens to write this report.
    let more: Vec<&String> = report.descriptors.range(9..).map(|(_, link)| link).collect();
    assert!(more.iter().all(|link| !link.starts_with("socket:")), "{more:?}");

    harness.ask(r#"{"op":"restart"}"#);
    harness.wait("the next one", |status| is_ready(status, 2));
    let report = self::report(&harness);
    assert_eq!(report.environment["EVONIC_PREDECESSOR"], "1");
    assert_eq!(report.environment["EVONIC_GENERATION"], "2");
}

#[test]
fn status_shows_everything() {
    let harness = Harness::ready(&Behaviour { generation_ahead: 6, ..Behaviour::default() });
    let status = harness.wait("a heartbeat", |status| {
        status.worker.as_ref().is_some_and(|worker| worker.last_heartbeat_seconds.is_some())
    });
    assert_eq!(
        (status.state, status.pid),
        (State::Running, harness.pid().as_raw_nonzero().get() as u32)
    );
    assert_eq!(status.listeners[0].name, "http");
    assert!(status.listeners[0].address.starts_with("127.0.0.1:"));
    assert_eq!(status.listeners[0].accept_queue, Some(0));
    assert_eq!(status.listeners[1].address, harness.path("run/api.sock").display().to_string());
    assert_eq!((status.predecessor, status.last_restart, status.last_error), (None, None, None));
    let worker = status.worker.unwrap();
    assert_eq!((worker.generation, worker.state), (7, WorkerState::Ready));
    assert_eq!(worker.version.as_deref(), Some("0.0.0-stand-in"));
    assert_eq!(worker.health.store, PartHealth::Ok);
    assert!(worker.rss_bytes > 100_000 && worker.uptime_seconds < 60.0);
    let fd = worker.fd;
    assert_eq!((fd.owned["http"], fd.owned["child"], fd.budget), (3, 0, Some(80)));
    assert_eq!((fd.threshold, fd.ceiling, fd.unexplained_limit, fd.limit), (400, 600, 30, 2048));
    assert!(fd.open >= 8 && fd.baseline == Some(fd.open - 3), "{fd:?}");
    assert_eq!((fd.unexplained, fd.per_second, fd.seconds_to_threshold), (Some(0), 0.0, None));
}

#[test]
fn a_missing_worker_is_waited_for() {
    let mut harness = Harness::new(&Behaviour::default());
    let worker = harness.path("worker");
    std::fs::remove_file(&worker).unwrap();
    harness.start();
    let status = harness.wait("a crash loop", |status| status.state == State::CrashLoop);
    let error = status.last_error.unwrap();
    assert!(error.contains("No such file or directory"), "{error}");
    let last = harness.history().remove(0);
    assert!(matches!(last.exit, Exit::NotStarted { .. }) && last.pid == 0, "{last:?}");
    harness.install_worker();
    harness.wait("a ready worker", |status| is_ready(status, 1) && status.last_error.is_none());
}

#[test]
fn what_cannot_mend_itself_is_refused_with_advice() {
    let refusal = |change: &dyn Fn(&mut Harness)| {
        let mut harness = Harness::new(&Behaviour::default());
        change(&mut harness);
        harness.refused()
    };
    let (code, log) = refusal(&|harness| harness.reconfigure("threshold = 400", "treshold = 400"));
    assert_eq!(code, i32::from(ExitCode::Config.code()), "{log}");
    assert!(log.contains("treshold") && log.contains("evonic.toml:"), "{log}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, log) = refusal(&|harness| harness.reconfigure("127.0.0.1:0", &address));
    assert_eq!(code, i32::from(ExitCode::Os.code()), "{log}");
    assert!(log.contains(&address) && log.contains("EVONIC_LISTEN"), "{log}");

    let harness = Harness::new(&Behaviour::default());
    #[expect(clippy::disallowed_methods, reason = "a shell lowers the limit")]
    let mut command = Command::new("sh");
    harness.prepare(&mut command);
    command.args(["-c", "ulimit -n 100; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_evonic-supervisor"));
    command.arg("--config").arg(harness.path("evonic.toml"));
    let (code, log) = harness.refused_as(command);
    assert_eq!(code, i32::from(ExitCode::Config.code()), "{log}");
    assert!(log.contains("hard limit of open files is 100"), "{log}");

    let mut command = harness.command();
    command.arg("--fast");
    let (code, log) = harness.refused_as(command);
    assert_eq!(code, i32::from(ExitCode::Usage.code()), "{log}");
}

#[test]
fn a_second_supervisor_is_refused_and_the_first_is_not_disturbed() {
    let harness = Harness::ready(&Behaviour::default());
    let (code, log) = harness.refused();
    assert_eq!(code, i32::from(ExitCode::Os.code()), "{log}");
    assert!(log.contains("another evonic-supervisor"), "{log}");
    assert!(is_ready(&harness.status(), 1));
}

#[test]
fn inherited_listeners_are_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut harness = Harness::new(&Behaviour::default());
    let script = "exec 3<&0 4<&0 </dev/null; \
                  LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:other exec \"$@\"";
    #[expect(clippy::disallowed_methods, reason = "a shell hands the socket over")]
    let mut command = Command::new("sh");
    harness.prepare(&mut command);
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_evonic-supervisor"), "--config"]);
    command.arg(harness.path("evonic.toml")).stdin(OwnedFd::from(listener));
    harness.start_as(command);
    let status = harness.wait("a ready worker", |status| is_ready(status, 1));
    assert_eq!(status.listeners[0].address, address);
}

#[test]
fn systemd_hears_of_it() {
    let mut harness = Harness::new(&Behaviour::default());
    let path = harness.path("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let receive = |wanted: &str| {
        let mut bytes = [0; 512];
        loop {
            let length = systemd.recv(&mut bytes).unwrap_or_else(|_| panic!("no {wanted}"));
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.starts_with(wanted) {
                return text;
            }
        }
    };
    let mut command = harness.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    command.env_remove("EVONIC_LOG_FORMAT");
    harness.reconfigure("grace = \"500ms\"", "grace = \"1m\"");
    harness.start_as(command);
    receive("READY=1");
    assert!(receive("STATUS=running").contains("generation 1"));
    harness.signal(Signal::HUP);
    receive("RELOADING=1\nMONOTONIC_USEC=");
    receive("READY=1");
    for _ in 0..5 {
        receive("WATCHDOG=1");
    }
    harness.signal(Signal::TERM);
    receive("STOPPING=1");
    let extended = receive("EXTEND_TIMEOUT_USEC=");
    let micros: u64 = extended.split_once('=').unwrap().1.parse().unwrap();
    assert!((60_000_000..=70_000_000).contains(&micros), "grace and a margin: {micros}");
    assert!(harness.end().success());
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(harness.log().lines().all(is_json), "{}", harness.log());
}

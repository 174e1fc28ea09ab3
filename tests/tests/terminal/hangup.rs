//! A pair at a terminal: closed, left to the background, interrupted twice.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use evonic_shared::status::{State, Status};
use evonic_tests::{pair::program, poll, process::is_alive};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A supervisor that a shell started at a terminal of its own.
struct AtTerminal {
    folder: tempfile::TempDir,
    script: Child,
}

impl AtTerminal {
    /// `line` is the shell's; the supervisor's command stands in it for `SUPERVISOR`.
    fn start(line: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("evonic.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nstate_dir = {:?}\nruntime_dir = {:?}\n{config}",
            folder.path().join("state"),
            folder.path().join("run"),
        );
        fs::write(&file, text).expect("a file");
        let supervisor =
            format!("'{}' --config '{}'", program("evonic-supervisor").display(), file.display());
        let line = line.replace("SUPERVISOR", &supervisor);
        let shown = fs::File::create(folder.path().join("shown")).expect("a file");
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--flush", "--command", &line, "/dev/null"])
            // `nohup` writes into it.
            .current_dir(folder.path())
            .env("SHELL", "/bin/sh")
            .env("EVONIC_LOG_FORMAT", "text")
            .stdin(Stdio::piped())
            .stdout(shown);
        let script = script.spawn().expect("script is installed");
        Self { folder, script }
    }

    fn shown(&self) -> String {
        fs::read_to_string(self.folder.path().join("shown")).unwrap_or_default()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("evonic.toml")
    }

    fn status(&self) -> Option<Status> {
        let mut command = Command::new(program("evonic"));
        command.args(["status", "--json"]).env("EVONIC_CONFIG", self.file());
        serde_json::from_slice(&command.output().expect("it starts").stdout).ok()
    }

    fn until_running(&self) -> Status {
        let running = |status: &Status| status.state == State::Running;
        poll::until(
            "it runs",
            TIMEOUT,
            || (self.status(), self.shown()),
            |(status, _)| status.clone().filter(running),
        )
    }

    /// Closes the terminal.
    fn close(&mut self) {
        self.script.kill().expect("it runs");
        self.script.wait().expect("it ends");
    }

    fn until_gone(&self, before: &Status) {
        let worker = before.worker.as_ref().expect("a worker").pid;
        poll::until(
            "both are gone",
            TIMEOUT,
            || (is_alive(before.pid), is_alive(worker)),
            |alive| (*alive == (false, false)).then_some(()),
        );
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        if let Some(status) = self.status() {
            let _ = Command::new("kill").args(["-KILL", &status.pid.to_string()]).status();
            for worker in [status.worker, status.predecessor].into_iter().flatten() {
                let _ = Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status();
            }
        }
        let _ = self.script.kill();
        let _ = self.script.wait();
        if std::thread::panicking() {
            eprintln!("--- the terminal ---\n{}", self.shown());
        }
    }
}

#[test]
fn a_pair_ends_with_its_terminal_unless_it_was_told_not_to() {
    // As a shell's foreground job, and as a background job of a script.
    for line in ["exec SUPERVISOR", "SUPERVISOR & wait"] {
        let mut pair = AtTerminal::start(line, "");
        let before = pair.until_running();
        pair.close();
        pair.until_gone(&before);
    }
    let mut pair = AtTerminal::start("exec nohup SUPERVISOR", "");
    let before = pair.until_running();
    pair.close();
    // Three heartbeats later it serves still.
    let late = poll::until(
        "it lives on",
        TIMEOUT,
        || pair.status(),
        |status| {
            let lived = status.as_ref()?.worker.as_ref()?.uptime_seconds;
            (lived > before.worker.as_ref()?.uptime_seconds + 3.0).then(|| status.clone())
        },
    );
    assert_eq!(late.map(|status| status.restarts.total), Some(0));
}

#[test]
fn a_hang_up_signal_reloads_while_the_terminal_is_there() {
    let pair = AtTerminal::start("exec SUPERVISOR", "");
    let before = pair.until_running();
    let sent = Command::new("kill").args(["-HUP", &before.pid.to_string()]).status();
    assert!(sent.expect("kill").success());
    poll::until(
        "a reload",
        TIMEOUT,
        || pair.status(),
        |status| (status.as_ref()?.restarts.requested == 1).then_some(()),
    );
}

#[test]
fn a_terminal_that_stops_background_output_stops_no_worker() {
    let quick = "[supervisor]\nheartbeat_interval = \"200ms\"\nheartbeat_timeout = \"2s\"\n";
    let pair = AtTerminal::start("stty tostop; exec SUPERVISOR", quick);
    let before = pair.until_running();
    assert!(
        pair.shown().contains("made the first key"),
        "the worker writes to it: {}",
        pair.shown()
    );
    let late = poll::until(
        "it lives on",
        TIMEOUT,
        || pair.status(),
        |status| (status.as_ref()?.worker.as_ref()?.uptime_seconds > 5.0).then(|| status.clone()),
    );
    let late = late.expect("a status");
    assert_eq!(
        (late.restarts.total, late.worker.map(|it| it.pid)),
        (0, before.worker.map(|it| it.pid))
    );
}

#[test]
fn ctrl_c_twice_ends_a_worker_that_does_not() {
    let worker = format!("worker = {:?}\n", program("evonic-faulty"));
    let config = format!("[supervisor]\ngrace = \"60s\"\n{worker}");
    let plan = r#"{"until_generation":9,"fault":{"what":"puppet","ignores_drain":true}}"#;
    let line = format!("export EVONIC_TEST_FAULT='{plan}'; exec SUPERVISOR");
    let mut pair = AtTerminal::start(&line, &config);
    let before = pair.until_running();
    let mut keys = pair.script.stdin.take().expect("a pipe");
    keys.write_all(b"\x03").expect("a key");
    poll::until(
        "it stops",
        TIMEOUT,
        || pair.shown(),
        |shown| shown.contains("worker is told to stop").then_some(()),
    );
    poll::until(
        "it hurries",
        TIMEOUT,
        || {
            // Once both are gone nobody reads them.
            let _ = keys.write_all(b"\x03");
            pair.shown()
        },
        |shown| shown.contains("it hurries").then_some(()),
    );
    pair.until_gone(&before);
}

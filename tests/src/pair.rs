//! A supervisor and its worker, started in folders of their own.

mod api;
mod options;
mod program;
mod spawn;
mod status;

use std::{
    fs,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use evonic_parts::Folder;
use evonic_shared::status::{Reply, State, Status};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use self::spawn::spawn_supervisor;
pub use self::{
    options::{LogTo, NO_LIMITS, Options},
    program::program,
};
use crate::poll;

/// Deadline of what usually takes a second, on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A running pair. Stopped, with every process of it, when dropped.
#[derive(Debug)]
pub struct Pair {
    folder: Folder,
    supervisor: Child,
}

impl Pair {
    /// Starts a pair and waits until its worker serves.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        let pair = Self::launch(options);
        pair.wait("the first worker serves", |status| status.state == State::Running);
        pair
    }

    /// Starts a pair and waits for its status socket only.
    ///
    /// # Panics
    /// When the supervisor cannot be started or does not answer.
    #[must_use]
    pub fn launch(options: &Options) -> Self {
        Self::spawn(options).answering()
    }

    /// This pair, once its status socket answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn answering(self) -> Self {
        let pair = self;
        poll::until(
            "the status socket answers",
            TIMEOUT,
            || (pair.ask(&json!({"op": "status"})).is_ok(), pair.log()),
            |(answers, _)| answers.then_some(()),
        );
        pair
    }

    /// Starts a supervisor and waits for nothing: it may refuse.
    ///
    /// # Panics
    /// When the program cannot be started at all.
    #[must_use]
    pub fn spawn(options: &Options) -> Self {
        let folder = Folder::with_prefix("evonic-").expect("a temporary folder");
        Self::spawn_in(folder, options)
    }

    /// Starts a supervisor in a folder that was made ready for it, and waits for nothing.
    ///
    /// # Panics
    /// When the program cannot be started at all.
    #[must_use]
    pub fn spawn_in(folder: Folder, options: &Options) -> Self {
        Self { supervisor: spawn_supervisor(folder.path(), options), folder }
    }

    /// Starts a supervisor anew in the same folders, with these descriptors handed over by name, as
    /// systemd's descriptor store does. The one before has ended, and this one goes on with its log.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_again(&mut self, options: &Options, kept: &[(String, OwnedFd)]) {
        let mut script = String::new();
        let mut names = Vec::new();
        for (number, (name, descriptor)) in kept.iter().enumerate() {
            rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty()).expect("a flag");
            script.push_str(&format!("exec {}<&{}; ", number + 3, descriptor.as_raw_fd()));
            names.push(name.as_str());
        }
        script.push_str(&format!(
            "LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={} exec \"$0\" \"$@\"",
            kept.len(),
            names.join(":")
        ));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(program("evonic-supervisor"));
        command
            .arg("--config")
            .arg(self.config_file())
            .env("EVONIC_LOG_FORMAT", "text")
            .envs(options.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stderr(self.open_log())
            .process_group(0);
        self.supervisor = command.spawn().expect("the supervisor starts");
        poll::until(
            "the status socket answers",
            TIMEOUT,
            || (self.ask(&json!({"op": "status"})).is_ok(), self.log()),
            |(answers, _)| answers.then_some(()),
        );
    }

    /// The supervisor's pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.supervisor.id()
    }

    /// The folder that holds all of this pair's.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// `EVONIC_STATE_DIR`.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// `EVONIC_RUNTIME_DIR`.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("evonic.toml")
    }

    /// What both processes logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// For another process to go on with.
    fn open_log(&self) -> fs::File {
        let path = self.folder.path().join("log");
        fs::OpenOptions::new().append(true).create(true).open(path).expect("a log")
    }

    /// Runs `evonic` with arguments in this pair's environment.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn evonic(&self, arguments: &[&str]) -> std::process::Output {
        self.evonic_command(arguments).output().expect("evonic starts")
    }

    /// `evonic` with arguments in this pair's environment, to be started.
    #[must_use]
    pub fn evonic_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("evonic"));
        command
            .args(arguments)
            .env("EVONIC_CONFIG", self.config_file())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Sends a signal to a process of the pair.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(pid: u32, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(pid).expect("a pid"));
        kill(pid, signal).expect("a living process");
    }

    /// Kills the worker and waits for its successor.
    pub fn kill_worker(&self) -> Status {
        let (pid, generation) = self.worker();
        Self::signal(pid, Signal::SIGKILL);
        self.wait_for_successor(generation)
    }

    /// Stops both processes in order; the supervisor's exit code.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self) -> Option<i32> {
        Self::signal(self.pid(), Signal::SIGTERM);
        self.wait_for_exit()
    }

    /// Waits for the supervisor's end; its exit code.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.supervisor.try_wait().expect("a child") {
                return status.code();
            }
            assert!(began.elapsed() < TIMEOUT, "it does not stop; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if self.supervisor.try_wait().is_ok_and(|exit| exit.is_none()) {
            let workers: Vec<u32> = self
                .ask(&json!({"op": "status"}))
                .ok()
                .and_then(|reply| match reply {
                    Reply::Status(status) => Some(status),
                    _ => None,
                })
                .into_iter()
                .flat_map(|status| [status.worker, status.predecessor])
                .flatten()
                .map(|worker| worker.pid)
                .collect();
            let _ = self.supervisor.kill();
            let _ = self.supervisor.wait();
            for pid in workers {
                let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap_or(0)), Signal::SIGKILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("--- log of the pair ---\n{}", self.log());
        }
    }
}

//! A supervisor and its worker, started in folders of their own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use evonic_parts::Folder;
use evonic_shared::status::{Replacement, Reply, State, Status};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    fault::{self, Plan},
    http::{Answer, Connection, Failure, register_key},
    poll,
};

/// How long the harness waits for what should take a second, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where a program is: beside this one, or beside the folder `deps` that a test is in.
///
/// # Panics
/// When it is not built: `make test` builds all of them first.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("EVONIC_PROGRAMS").map_or_else(
        || {
            let own = std::env::current_exe().expect("the path of this program");
            let folder = own.parent().expect("a program is in a folder");
            let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
            profile.expect("deps is in the folder of a profile").to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace", path.display());
    path
}

/// Rate limits that no test meets: those of the product are for one client, and a test is many.
pub const UNMET: &str = "[limits]\nkey = [\"1000000/1s\"]\naddress = [\"1000000/1s\"]\n\
                         failed = [\"1000000/1s\"]\n";

/// How to start a pair.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// TOML after the harness's own keys. Without `[limits]` in it, none is ever met.
    pub config: String,
    /// Variables of both processes.
    pub environment: Vec<(String, String)>,
    /// What the worker does wrong: the test-only worker runs instead of the real one.
    pub fault: Option<Plan>,
    /// The supervisor's `RLIMIT_NOFILE`, soft and hard.
    pub limit: Option<u64>,
    /// Where standard error goes.
    pub log: LogTo,
}

/// Where the log of a pair goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTo {
    /// Into a file that [`Pair::log`] reads.
    #[default]
    File,
    /// Into a pipe that nobody reads.
    Unread,
    /// Into a pipe whose reader is gone.
    Closed,
}

impl Options {
    /// With this TOML.
    #[must_use]
    pub fn config(toml: &str) -> Self {
        Self { config: toml.to_owned(), ..Self::default() }
    }

    /// With this fault in the first generations.
    #[must_use]
    pub fn fault(mut self, until_generation: u64, fault: fault::Fault) -> Self {
        self.fault = Some(Plan { until_generation, fault });
        self
    }
}

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

    /// Starts a pair and waits for nothing but the status socket.
    ///
    /// # Panics
    /// When the supervisor cannot be started or does not answer.
    #[must_use]
    pub fn launch(options: &Options) -> Self {
        let pair = Self::spawn(options);
        poll::until(
            "the status socket answers",
            PATIENCE,
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
        Self { supervisor: spawn_supervisor(folder.path(), options), folder }
    }

    /// Starts a supervisor anew in the same folders, with these descriptors handed over by name, as
    /// systemd's descriptor store does. The one before has ended.
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
            .process_group(0);
        self.supervisor = command.spawn().expect("the supervisor starts");
        poll::until(
            "the status socket answers",
            PATIENCE,
            || (self.ask(&json!({"op": "status"})).is_ok(), self.log()),
            |(answers, _)| answers.then_some(()),
        );
    }

    /// The supervisor's pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.supervisor.id()
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

    /// Sends one request to the status socket.
    ///
    /// # Errors
    /// When it does not answer with a reply.
    pub fn ask(&self, request: &Value) -> anyhow::Result<Reply> {
        let mut stream = UnixStream::connect(self.runtime_dir().join("supervisor.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        writeln!(stream, "{request}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The status of now.
    ///
    /// # Panics
    /// When the supervisor does not answer.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.ask(&json!({"op": "status"})) {
            Ok(Reply::Status(status)) => status,
            other => panic!("no status: {other:?}; log:\n{}", self.log()),
        }
    }

    /// Waits for a status.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`].
    pub fn wait(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        self.wait_within(what, PATIENCE, wanted)
    }

    /// Waits for a status.
    ///
    /// # Panics
    /// When it does not come in time.
    pub fn wait_within(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Status {
        let began = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(
                began.elapsed() < deadline,
                "not within {deadline:?}: {what}; last: {status:#?}\nlog:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until a worker above this generation serves alone.
    pub fn wait_for_successor(&self, of: u64) -> Status {
        self.wait("a successor serves alone", |status| {
            status.state == State::Running
                && status.worker.as_ref().is_some_and(|worker| worker.generation > of)
                && status.predecessor.is_none()
        })
    }

    /// The history, newest first.
    ///
    /// # Panics
    /// When the supervisor does not answer.
    #[must_use]
    pub fn history(&self) -> Vec<Replacement> {
        match self.ask(&json!({"op": "history"})) {
            Ok(Reply::History { entries, .. }) => entries,
            other => panic!("no history: {other:?}"),
        }
    }

    /// The worker's pid and generation.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn worker(&self) -> (u32, u64) {
        let worker = self.status().worker.expect("a worker");
        (worker.pid, worker.generation)
    }

    /// Where HTTP is served. Connections to it show the admin key from then on.
    ///
    /// # Panics
    /// When there is no such listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let status = self.status();
        let http = status.listeners.iter().find(|listener| listener.name == "http");
        let address = http.expect("an http listener").address.parse().expect("an address");
        register_key(address, self.state_dir().join("admin.key"));
        address
    }

    /// The admin key of the first start.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn admin_key(&self) -> String {
        let text = fs::read_to_string(self.state_dir().join("admin.key")).expect("a first key");
        text.trim_end().to_owned()
    }

    /// One request over TCP on a connection of its own.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        Connection::tcp(self.address())?.request(method, path, &[], body)
    }

    /// A request that must be answered with this status; its JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn expect(&self, status: u16, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.request(method, path, body).expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// A new session of an agent; its identifier.
    #[must_use]
    pub fn session(&self, agent: &str) -> String {
        let session = self.expect(201, "POST", "/api/v1/sessions", Some(&json!({"agent": agent})));
        session["id"].as_str().expect("an id").to_owned()
    }

    /// Posts a message; its turn's identifier.
    #[must_use]
    pub fn post(&self, session: &str, content: &str) -> String {
        let path = format!("/api/v1/sessions/{session}/messages");
        let posted = self.expect(202, "POST", &path, Some(&json!({"content": content})));
        posted["turn"]["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until a turn ended; the turn.
    ///
    /// # Panics
    /// When it does not within two minutes.
    #[must_use]
    pub fn wait_for_turn(&self, turn: &str) -> Value {
        let path = format!("/api/v1/turns/{turn}?wait=10");
        let began = Instant::now();
        loop {
            if let Ok(answer) = self.request("GET", &path, None)
                && answer.status == 200
            {
                let turn = answer.json();
                if matches!(turn["state"].as_str(), Some("completed" | "failed" | "cancelled")) {
                    return turn;
                }
            }
            assert!(
                began.elapsed() < Duration::from_secs(120),
                "turn {turn} does not end; log:\n{}",
                self.log()
            );
        }
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
            assert!(began.elapsed() < PATIENCE, "it does not stop; log:\n{}", self.log());
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

fn spawn_supervisor(folder: &Path, options: &Options) -> Child {
    let config = folder.join("evonic.toml");
    let worker = options.fault.as_ref().map(|_| program("evonic-faulty"));
    let mut toml = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = {:?}\nruntime_dir = {:?}\nlog = \"info\"\n",
        folder.join("state"),
        folder.join("run"),
    );
    toml.push_str(&options.config);
    if !toml.contains("[limits]\n") {
        toml.push_str(&format!("\n{UNMET}"));
    }
    if let Some(worker) = worker {
        // A table may be opened only once: the worker's key goes into the one that is there.
        let line = format!("worker = {worker:?}\n");
        if toml.contains("[supervisor]\n") {
            toml = toml.replace("[supervisor]\n", &format!("[supervisor]\n{line}"));
        } else {
            toml.push_str(&format!("\n[supervisor]\n{line}"));
        }
    }
    fs::write(&config, toml).expect("a configuration file");
    let log = fs::File::create(folder.join("log")).expect("a log");
    let mut command = match options.limit {
        None => Command::new(program("evonic-supervisor")),
        Some(limit) => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]);
            command.arg(program("evonic-supervisor"));
            command
        }
    };
    command
        .arg("--config")
        .arg(config)
        .env("EVONIC_LOG_FORMAT", "text")
        .envs(options.environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(match options.log {
            LogTo::File => Stdio::from(log),
            LogTo::Unread | LogTo::Closed => Stdio::piped(),
        })
        .process_group(0);
    if let Some(plan) = &options.fault {
        command.env(fault::VARIABLE, serde_json::to_string(plan).expect("a plan is JSON"));
    }
    let mut supervisor = command.spawn().expect("the supervisor starts");
    if options.log == LogTo::Closed {
        drop(supervisor.stderr.take());
    }
    supervisor
}

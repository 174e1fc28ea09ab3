//! A supervisor in a folder of its own, and ways to watch it.
#![expect(clippy::disallowed_methods, reason = "tests start the real program")]

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use evonic_shared::status::{
    CommandToken, Replacement, Reply, RequestLine, Status, TOKEN_FILE, WorkerState,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::stand_in::{BEHAVIOUR, Behaviour};

/// The longest any wait takes.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Grace of every supervisor here, unless a test says otherwise.
pub const GRACE: Duration = Duration::from_millis(500);

/// Quick timings, so that each test takes a second.
const CONFIG: &str = r#"
listen = "127.0.0.1:0"
[fd]
threshold = 400
unexplained = 30
ceiling = 600
limit = 2048
[http]
linger = "100ms"
[supervisor]
grace = "500ms"
start_timeout = "5s"
heartbeat_interval = "100ms"
heartbeat_timeout = "1s"
accept_stall = "1s"
backoff_base = "10ms"
backoff_cap = "50ms"
stable_after = "10s"
crash_loop_after = 3
"#;

/// A folder with a configuration, a stand-in worker, and at times a running supervisor.
pub struct Harness {
    folder: tempfile::TempDir,
    child: Option<Running>,
    behaviours: u32,
}

impl Harness {
    /// Not running yet.
    pub fn new(behaviour: &Behaviour) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut harness = Self { folder, child: None, behaviours: 0 };
        harness.behave(behaviour);
        harness.configure("");
        harness.install_worker();
        harness
    }

    /// Running, with its first worker ready.
    pub fn ready(behaviour: &Behaviour) -> Self {
        let mut harness = Self::new(behaviour);
        harness.start();
        harness.wait("a ready worker", |status| is_ready(status, 1));
        harness
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What workers that start from now on do.
    pub fn behave(&mut self, behaviour: &Behaviour) {
        let text = serde_json::to_vec(behaviour).unwrap();
        // Renamed into its place: a worker that starts right now reads the old or the new one.
        self.behaviours += 1;
        let temporary = self.path(&format!("behaviour.{}", self.behaviours));
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(temporary, self.path("behaviour")).unwrap();
    }

    /// Appends lines to the configuration's first section.
    pub fn configure(&self, first_lines: &str) {
        let worker = self.path("worker");
        let text = CONFIG
            .replace("[supervisor]", &format!("[supervisor]\nworker = \"{}\"", worker.display()));
        std::fs::write(self.path("evonic.toml"), format!("{first_lines}\n{text}")).unwrap();
    }

    /// Changes a line of the configuration.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let path = self.path("evonic.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} is in the configuration");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// The worker's program: this test program, told to be the stand-in.
    pub fn install_worker(&self) {
        let own = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\nSTAND_IN_ARGUMENTS=\"$0 $*\" exec '{}' --exact stand_in::stand_in \
             --nocapture --test-threads 1 >/dev/null\n",
            own.display()
        );
        let path = self.path("worker");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// The supervisor's command line.
    pub fn command(&self) -> Command {
        let mut command = Command::new("env");
        // Under `nohup` it would be ignored.
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_evonic-supervisor")]);
        self.prepare(&mut command);
        command.arg("--config").arg(self.path("evonic.toml"));
        command
    }

    /// Gives any command the supervisor's environment.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env(BEHAVIOUR, self.path("behaviour"))
            .env("EVONIC_STATE_DIR", self.path("state"))
            .env("EVONIC_RUNTIME_DIR", self.path("run"))
            .env("EVONIC_LOG_FORMAT", "text")
            .env_remove("EVONIC_LISTEN")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stderr(
                std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(self.path("log"))
                    .unwrap(),
            );
    }

    pub fn start(&mut self) {
        self.start_as(self.command());
    }

    pub fn start_as(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "one at a time");
        let mut running = Running(command.spawn().unwrap());
        self.until("the status socket", || {
            let end = running.0.try_wait().unwrap();
            assert!(end.is_none(), "it ended: {end:?}\n{}", self.log());
            UnixStream::connect(self.path("run/supervisor.sock")).ok()
        });
        self.child = Some(running);
    }

    /// Runs a supervisor that refuses to start: its exit code and log.
    pub fn refused(&self) -> (i32, String) {
        self.refused_as(self.command())
    }

    pub fn refused_as(&self, mut command: Command) -> (i32, String) {
        let mut running = Running(command.stderr(Stdio::piped()).spawn().unwrap());
        let code = running.end().code().expect("no signal ended it");
        let text = std::io::read_to_string(running.0.stderr.take().unwrap()).unwrap();
        (code, text)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child.as_ref().expect("it runs").0)
    }

    /// Waits for the supervisor's end.
    pub fn end(&mut self) -> ExitStatus {
        self.child.take().expect("it runs").end()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path("run/supervisor.sock")).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    }

    /// One request with the token, as an operator makes it, and one reply.
    pub fn ask(&self, request: &str) -> Reply {
        let token = std::fs::read_to_string(self.path("run").join(TOKEN_FILE)).unwrap();
        let token = Some(CommandToken::parse(&token));
        self.ask_plainly(&match RequestLine::decode(request.as_bytes()) {
            Ok(line) => RequestLine { token, ..line }.encode(),
            Err(_) => request.to_owned(),
        })
    }

    /// One line, one reply.
    fn ask_plainly(&self, request: &str) -> Reply {
        let mut stream = self.connect();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    pub fn status(&self) -> Status {
        match self.ask(r#"{"op":"status"}"#) {
            Reply::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub fn history(&self) -> Vec<Replacement> {
        match self.ask(r#"{"op":"history"}"#) {
            Reply::History { entries, .. } => entries,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for the status until it is as wanted.
    pub fn wait(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        self.until(what, || Some(self.status()).filter(&wanted))
    }

    /// Tries until something comes of it.
    pub fn until<T>(&self, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(result) = attempt() {
                return result;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}\n{}", self.describe());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// What the supervisor has open, once that does not change any more: the connection of the
    /// last question is closed a moment after its answer.
    pub fn settled_descriptors(&self) -> Vec<String> {
        let mut last = Vec::new();
        let mut same = 0;
        self.until("a settled number of descriptors", || {
            let now = descriptors(self.pid());
            same = if now.len() == last.len() { same + 1 } else { 0 };
            last = now;
            (same >= 10).then(|| last.clone())
        })
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn describe(&self) -> String {
        let mut text = format!("log:\n{}", self.log());
        if let Ok(mut stream) = UnixStream::connect(self.path("run/supervisor.sock")) {
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let mut line = String::new();
            let _ = BufReader::new(&mut stream).read_line(&mut line);
            let _ = write!(text, "status: {line}");
        }
        text
    }
}

/// A supervisor that does not outlive its test.
struct Running(Child);

impl Running {
    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the supervisor does not end");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether this generation, or a later one, serves alone.
pub fn is_ready(status: &Status, generation: u64) -> bool {
    status.predecessor.is_none()
        && status.worker.as_ref().is_some_and(|worker| {
            worker.generation >= generation && worker.state == WorkerState::Ready
        })
}

fn descriptors(pid: Pid) -> Vec<String> {
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let mut links: Vec<String> = std::fs::read_dir(Path::new(&folder))
        .unwrap()
        .filter_map(|entry| {
            Some(std::fs::read_link(entry.ok()?.path()).ok()?.display().to_string())
        })
        .collect();
    links.sort_unstable();
    links
}

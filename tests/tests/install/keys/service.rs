//! A service that is not run by root, also where the tests are.
#![expect(clippy::disallowed_methods, reason = "tests start the real programs")]

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use evonic_tests::{pair::program, poll};

/// Nobody's: whom root runs the service as here.
const NOBODY: u32 = 65_534;

/// The pair in a folder of its own.
pub(super) struct Service {
    folder: tempfile::TempDir,
    supervisor: Option<Child>,
}

impl Service {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The service's user may not reach where they were built.
        for name in ["evonic", "evonic-supervisor", "evonic-runner"] {
            fs::copy(program(name), folder.path().join(name)).expect("a copy");
        }
        let config = "listen = \"127.0.0.1:0\"\n[docker]\nengine = \"unix:///nowhere/d.sock\"\n";
        fs::write(folder.path().join("evonic.toml"), config).expect("written");
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
            chown(folder.path().join("evonic.toml"), Some(NOBODY), None).expect("root may");
        }
        let mut service = Self { folder, supervisor: None };
        let mut command = service.command("evonic-supervisor");
        let log = fs::File::create(service.path("log")).expect("a log");
        service.supervisor = Some(command.stderr(log).spawn().expect("it starts"));
        poll::until(
            "a running pair",
            Duration::from_secs(60),
            || text(&service.evonic(&["status", "--json"])),
            |status| status.contains("\"state\": \"running\"").then_some(()),
        );
        service
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("EVONIC_CONFIG", self.path("evonic.toml"))
            .env("EVONIC_STATE_DIR", self.path("state"))
            .env("EVONIC_RUNTIME_DIR", self.path("run"))
            .current_dir(Path::new("/"))
            .stdin(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// The console, as the service's user.
    pub(super) fn evonic(&self, arguments: &[&str]) -> Output {
        self.command("evonic").args(arguments).output().expect("it starts")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
        }
    }
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

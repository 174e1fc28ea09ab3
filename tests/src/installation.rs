//! The package on a machine of its own, and what is asked of it.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    http::{Connection, register_key},
    load::Tally,
    machine::Machine,
    pair::{NO_LIMITS, program},
    poll,
};

/// Clients under load.
pub const CLIENTS: usize = 12;

/// A machine on which the package is installed and serves.
#[derive(Debug)]
pub struct Installation {
    /// The machine.
    pub machine: Machine,
    /// Where it serves HTTP: its network is this machine's.
    pub address: SocketAddr,
}

/// The repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it")
}

/// A package of the programs beside this test: as `make deb` makes it, or as this version.
#[must_use]
pub fn package(output: &Path, version: Option<&str>) -> PathBuf {
    let programs = program("evonic").parent().expect("a folder").to_owned();
    let mut build;
    if let Some(version) = version {
        build = Command::new(root().join("systemd/deb/build.sh"));
        build.arg(programs).arg(output).arg(version);
    } else {
        build = Command::new("make");
        build.args(["--no-print-directory", "deb"]).current_dir(root());
        build.arg(format!("PROGRAMS={}", programs.display()));
        build.arg(format!("DEB={}", output.display()));
    }
    // Quick to make and to unpack.
    build.env("DPKG_DEB_COMPRESSOR_TYPE", "zstd").env("DPKG_DEB_COMPRESSOR_LEVEL", "1");
    let built = build.output().expect("dpkg-deb is installed");
    assert!(built.status.success(), "{built:?}");
    let mut files = fs::read_dir(output).expect("a folder").flatten();
    files.find(|file| file.file_name().to_string_lossy().ends_with(".deb")).expect("it").path()
}

impl Installation {
    /// Boots a machine and installs the package, with this configuration after the address. Load
    /// is many clients of one address: no limit is met.
    #[must_use]
    pub fn build(config: &str) -> Self {
        let machine = Machine::boot();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let installation = Self { machine, address: free.expect("a port") };
        register_key(installation.address, installation.machine.path("/var/lib/evonic/admin.key"));
        let config = format!("listen = \"{}\"\n{config}\n{NO_LIMITS}", installation.address);
        installation.put("/etc/evonic/evonic.toml", &config);
        installation.bring(None);
        installation.install();
        installation.machine.wait_for("ActiveState", |state| state == "active");
        installation.serves();
        installation
    }

    /// Brings the package to the machine, as this version.
    pub fn bring(&self, version: Option<&str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let package = package(folder.path(), version);
        fs::copy(package, self.machine.path("/root/evonic.deb")).expect("the package");
    }

    /// Installs the package that was brought last.
    pub fn install(&self) {
        // Dependencies come with a base that has no index of packages.
        self.machine.expect(&["dpkg", "--force-depends", "-i", "/root/evonic.deb"]);
    }

    /// Writes a file of the machine, as an editor does: nobody reads half of it. One that is there
    /// keeps its mode and owner.
    pub fn put(&self, path: &str, content: &str) {
        let path = self.machine.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let new = path.with_extension("new");
        fs::write(&new, content).expect("a file");
        if let Ok(old) = fs::metadata(&path) {
            fs::set_permissions(&new, old.permissions()).expect("a mode");
            chown(&new, Some(old.uid()), Some(old.gid())).expect("an owner");
        }
        fs::rename(new, path).expect("the file has a name");
    }

    /// Adds a drop-in to the unit, and has systemd read it.
    pub fn drop_in(&self, name: &str, text: &str) {
        let path = format!("/etc/systemd/system/evonic.service.d/{name}.conf");
        self.put(&path, text);
        self.machine.expect(&["systemctl", "daemon-reload"]);
    }

    /// Waits until it serves.
    pub fn serves(&self) {
        poll::until(
            "it serves",
            Duration::from_secs(60),
            || {
                let answer = Connection::tcp(self.address)
                    .and_then(|mut connection| connection.request("GET", "/readyz", &[], None));
                (answer.is_ok_and(|answer| answer.status == 200), self.machine.journal())
            },
            |(serves, _)| serves.then_some(()),
        );
    }

    /// The current status.
    #[must_use]
    pub fn status(&self) -> Value {
        let printed = self.machine.expect(&["evonic", "status", "--json"]);
        serde_json::from_str(&printed).expect("JSON")
    }

    /// The generation of the worker that serves alone, and its pid as the machine numbers it.
    #[must_use]
    pub fn worker(&self) -> Option<(u64, String)> {
        let printed = self.machine.run(&["evonic", "status", "--json"]);
        let status: Value = serde_json::from_slice(&printed.stdout).ok()?;
        let worker = &status["worker"];
        (status["state"] == "running" && status["predecessor"].is_null())
            .then(|| Some((worker["generation"].as_u64()?, worker["pid"].to_string())))?
    }

    /// Waits for a worker that serves alone, of a later generation than this.
    pub fn worker_after(&self, generation: u64) -> (u64, String) {
        poll::until(
            "a worker serves alone",
            Duration::from_secs(60),
            || (self.worker(), self.machine.journal()),
            |(worker, _)| worker.clone().filter(|(now, _)| *now > generation),
        )
    }

    /// Waits until the line that `systemctl status` shows has this in it; the line.
    pub fn wait_for_status(&self, wanted: &str) -> String {
        self.machine.wait_for("StatusText", |line| line.contains(wanted))
    }

    /// The names and pids of what runs of the service.
    #[must_use]
    pub fn processes(&self) -> String {
        String::from_utf8_lossy(&self.machine.run(&["pgrep", "-l", "evonic"]).stdout).into_owned()
    }
}

/// Nobody was refused, no answer of a finished handler was cut, and no event is missing. What was
/// under way in a process that was killed may be cut, once a client for each kill.
pub fn assert_served(seen: &Tally, kills: u64, what: &str) {
    println!("{what}: {seen}");
    assert_eq!((seen.refused, seen.unexpected, seen.events_wrong), (0, 0, 0), "{what}: {seen}");
    assert_eq!(seen.torn, 0, "{what}: {seen}");
    assert!(seen.faults() <= kills * CLIENTS as u64, "{what}: {seen}");
    assert!(seen.answered > 0 && seen.events > 0, "{what}: there was load");
}

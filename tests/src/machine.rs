//! A Debian machine with systemd as its first process, booted by the test.

mod emulated;
mod group;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

pub use self::{emulated::Emulated, group::Group};
use crate::poll;

/// How long a boot, or a job of systemd, may take on a machine that is busy.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What is installed beside Debian's minimum.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,procps,libssl3,libgcc-s1,bubblewrap";

/// A container of systemd-nspawn with a system of its own and this machine's network. Powered off,
/// with everything in it, when dropped.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
    nspawn: Child,
    leader: u32,
    /// Last: removed when nothing runs in it any more.
    group: Option<Group>,
}

impl Machine {
    /// Boots a fresh system; returns when systemd takes orders. The base is made once, in the
    /// folder of builds.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn boot() -> Self {
        let folder = TempDir::with_prefix("evonic-machine-").expect("a temporary folder");
        mount_copy(folder.path());
        let name = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
        let group = Group::make(&name);
        let nspawn = nspawn(folder.path(), group.as_ref());
        let mut machine = Self { folder, leader: 0, nspawn, group };
        machine.wait_until_up();
        machine
    }

    /// Takes its power away: every process of it is killed at once, and what was in memory is
    /// gone. Its file system stays.
    pub fn cut_power(&mut self) {
        // The first process does not survive, and with it nothing of the machine does.
        if let Ok(leader) = i32::try_from(std::mem::take(&mut self.leader))
            && leader > 0
        {
            let _gone = kill(Pid::from_raw(leader), Signal::SIGKILL);
        }
        let _gone = self.nspawn.kill();
        let _status = self.nspawn.wait();
    }

    /// Boots a machine without power from the file system that it had.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn boot_again(&mut self) {
        self.nspawn = nspawn(self.folder.path(), self.group.as_ref());
        self.wait_until_up();
    }

    fn wait_until_up(&mut self) {
        poll::until(
            "systemd takes orders",
            TIMEOUT,
            || {
                // The first child sets the container up and goes; its first process stays.
                self.leader = children(self.nspawn.id()).first().copied().unwrap_or(0);
                let output = self.command(&["systemctl", "is-system-running"]).output();
                let state = output.map(|output| text(&output.stdout)).unwrap_or_default();
                (state, self.leader, self.console())
            },
            |(state, ..)| matches!(state.trim(), "running" | "degraded").then_some(()),
        );
    }

    /// A path of its file system, as this machine sees it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    /// A command inside, to be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.leader.to_string(), "-m", "-u", "-i", "-p", "-C", "--"]);
        command.args(arguments).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("SYSTEMD_PAGER", "");
        command
    }

    /// Runs a command inside to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("nsenter is installed: package util-linux")
    }

    /// Runs a command inside that has to succeed; its standard output.
    ///
    /// # Panics
    /// When it fails, with the service's log.
    pub fn expect(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}\n{}", self.journal());
        text(&output.stdout)
    }

    /// What the service logged.
    #[must_use]
    pub fn journal(&self) -> String {
        let output =
            self.run(&["journalctl", "-u", "evonic", "--no-pager", "-o", "cat", "-n", "60"]);
        text(&output.stdout)
    }

    /// A property of the service.
    #[must_use]
    pub fn property(&self, name: &str) -> String {
        let shown = self.expect(&["systemctl", "show", "-P", name, "evonic.service"]);
        shown.trim().to_owned()
    }

    /// Waits until a property of the service is what is wanted; what it is then.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait_for(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        poll::until(
            name,
            TIMEOUT,
            || (self.property(name), self.journal()),
            |(value, _)| wanted(value).then(|| value.clone()),
        )
    }

    fn console(&self) -> String {
        fs::read_to_string(self.folder.path().join("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- journal of the machine ---\n{}", self.journal());
        }
        self.cut_power();
        unmount_copy(self.folder.path());
    }
}

/// Mounts a file system that begins as the base at `root` in this folder; what is changed is kept
/// beside it.
fn mount_copy(folder: &Path) {
    let base = base();
    let at = |name: &str| folder.join(name);
    for name in ["upper", "work", "root"] {
        fs::create_dir(at(name)).expect("a folder");
    }
    let layers = format!(
        "lowerdir={},upperdir={},workdir={}",
        base.display(),
        at("upper").display(),
        at("work").display()
    );
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "overlay", "-o", &layers]).arg(at("root"));
    run(&mut mount);
}

/// Undoes that.
fn unmount_copy(folder: &Path) {
    let _unmounted = Command::new("umount").arg("-l").arg(folder.join("root")).status();
}

/// Boots what is mounted at `root` in this folder.
fn nspawn(folder: &Path, group: Option<&Group>) -> Child {
    let log = fs::File::create(folder.join("console")).expect("a log");
    let program = "systemd-nspawn";
    group
        .map_or_else(|| Command::new(program), |group| group.command(program))
        // The same hierarchy of control groups on every machine that tests run on.
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .args(["-q", "--boot", "--console=read-only", "--register=no", "--keep-unit"])
        // A real machine has these; nspawn allows them only on request.
        .arg(
            "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
        )
        .arg("-D")
        .arg(folder.join("root"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a descriptor"))
        .stderr(log)
        .spawn()
        .expect("systemd-nspawn is installed: package systemd-container")
}

/// The base system, in the folder of builds; made when it is not there yet, by one process at a time.
///
/// # Panics
/// When it cannot be made.
pub fn base() -> PathBuf {
    let folder = builds();
    fs::create_dir_all(&folder).expect("a folder");
    let lock = fs::File::create(folder.join("lock")).expect("a lock");
    lock.lock().expect("the lock");
    let (base, packages) = (folder.join("bookworm"), folder.join("packages"));
    // One of other packages is made anew, as is what a run that was cut short left.
    if !fs::read_to_string(&packages).is_ok_and(|made| made == PACKAGES) {
        let new = folder.join("bookworm.new");
        let _none = [&new, &base].map(fs::remove_dir_all);
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}"), "bookworm"]);
        run(debootstrap.arg(&new));
        fs::rename(&new, &base).expect("it gets its name");
        fs::write(&packages, PACKAGES).expect("a file");
    }
    base
}

/// Where the parts of machines are kept.
fn builds() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it").join("target"),
        PathBuf::from,
    );
    target.join("machine")
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} is not installed: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

fn children(pid: u32) -> Vec<u32> {
    let listed = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    listed.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

//! A Debian machine with a kernel of its own, emulated by qemu: nothing of this machine's kernel,
//! mounts, control groups or container shows in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{builds, mount_copy, run, text, unmount_copy};

/// How large its disk is. It takes what is written to it.
const DISK: &str = "2G";

/// Its memory, in MiB.
const MEMORY: &str = "1024";

/// What runs the script once the machine is up, and then turns it off.
const UNIT: &str = "\
[Unit]
Description=the script of a test
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh /root/script
ExecStopPost=systemctl poweroff --force
StandardOutput=file:/dev/ttyS1
StandardError=inherit
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
";

/// A machine that was not started yet: its file system, as this one sees it.
#[derive(Debug)]
pub struct Emulated {
    folder: TempDir,
}

impl Emulated {
    /// One with the base system of all machines.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("evonic-emulated-").expect("a temporary folder");
        mount_copy(folder.path());
        Self { folder }
    }

    /// A path of its file system.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    /// Runs a command on its file system, with this machine's kernel.
    ///
    /// # Panics
    /// When it fails.
    pub fn prepare(&self, arguments: &[&str]) {
        let mut command = Command::new("chroot");
        command.arg(self.path("/")).args(arguments).env_clear().stdin(Stdio::null());
        run(command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
    }

    /// Boots it, has it run a shell script as root, and turns it off; what the script wrote.
    ///
    /// # Panics
    /// When it does not end within this time, with what its kernel and systemd said.
    #[must_use]
    pub fn run(self, script: &str, timeout: Duration) -> String {
        fs::write(self.path("/root/script"), script).expect("a file");
        fs::write(self.path("/etc/systemd/system/script.service"), UNIT).expect("a unit");
        self.prepare(&["systemctl", "enable", "--quiet", "script.service"]);
        let at = |name: &str| self.folder.path().join(name);
        let mut format = Command::new("mke2fs");
        run(format.args(["-q", "-t", "ext4", "-d"]).args([at("root"), at("disk")]).arg(DISK));
        let mut machine = Running(emulator(self.folder.path()));
        let began = Instant::now();
        while machine.0.try_wait().expect("its state").is_none() {
            let console = || fs::read_to_string(at("console")).unwrap_or_default();
            assert!(began.elapsed() < timeout, "it runs still: {}", console());
            std::thread::sleep(Duration::from_millis(100));
        }
        fs::read_to_string(at("report")).expect("what it wrote").replace("\r\n", "\n")
    }
}

impl Default for Emulated {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        unmount_copy(self.folder.path());
    }
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Starts what lies in this folder. The kernel has drivers for this disk and file system built in: it
/// needs no module and no first file system.
fn emulator(folder: &Path) -> Child {
    let file = |name: &str| format!("file:{}", folder.join(name).display());
    let disk = folder.join("disk");
    let disk = format!("if=none,id=disk,format=raw,cache=unsafe,file={}", disk.display());
    // Nobody logs in at its console, and no unit waits for that.
    let line = "root=/dev/nvme0n1 rw console=ttyS0 panic=-1 mitigations=off \
                 systemd.getty_auto=no";
    let emulator = format!("qemu-system-{}", std::env::consts::ARCH);
    Command::new(&emulator)
        // No hardware help: where this machine is virtual itself, it may be there and not work.
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", MEMORY])
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"])
        .args(["-serial", &file("console"), "-serial", &file("report")])
        .args(["-drive", &disk, "-device", "nvme,drive=disk,serial=disk"])
        .arg("-kernel")
        .arg(kernel())
        .args(["-append", line])
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{emulator}: {error}: package qemu-system-x86"))
}

/// Debian's kernel for virtual machines, in the folder of builds; taken out of its package when it is
/// not there yet.
fn kernel() -> PathBuf {
    let kernel = builds().join("vmlinuz");
    if kernel.exists() {
        return kernel;
    }
    let folder = TempDir::new_in(builds()).expect("a folder");
    let ask = |program: &str, arguments: &[&str]| -> Output {
        Command::new(program).args(arguments).current_dir(folder.path()).output().expect("it runs")
    };
    let depends = ask("apt-cache", &["depends", "linux-image-cloud-amd64"]);
    let depends = text(&depends.stdout);
    let package = depends.split_whitespace().find(|word| word.starts_with("linux-image-6"));
    let package = package.expect("`apt-get update` was run");
    let _fetched = ask("apt-get", &["download", package]);
    let _unpacked = ask("sh", &["-c", "dpkg-deb --extract *.deb ."]);
    let boot =
        fs::read_dir(folder.path().join("boot")).expect("the package was unpacked").flatten();
    let found =
        boot.map(|file| file.path()).find(|file| file.to_string_lossy().contains("vmlinuz"));
    fs::rename(found.expect("it has a kernel"), &kernel).expect("it gets its name");
    kernel
}

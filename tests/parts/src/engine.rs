//! A Docker engine.

use std::{
    env, fs,
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{run, until};

/// An engine (dockerd, with containerd) with folders and a socket of its own, started with
/// `--live-restore`. Whoever started it stops it, with its containers, when it is dropped.
#[derive(Debug)]
pub struct Engine {
    folder: PathBuf,
    /// [`None`] for an engine that another process started.
    owned: Option<TempDir>,
    daemon: Option<Child>,
}

/// The variable that names the folder of an engine that other processes share, with its image.
pub const SHARED_ENGINE: &str = "EVONIC_TEST_ENGINE";

/// The image that [`Engine::make_image`] makes.
const IMAGE: &str = "evonic-test:latest";

/// Programs of the image beside busybox: those a workplace's own image would have.
const PROGRAMS: [&str; 1] = ["/bin/bash"];

impl Engine {
    /// Starts an engine; returns when it answers.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        // A short path: containerd's sockets are below it.
        let folder = TempDir::with_prefix_in("evo-", "/tmp").expect("a temporary folder");
        fs::write(folder.path().join("daemon.json"), "{}").expect("its configuration");
        let path = folder.path().to_owned();
        let mut engine = Self { folder: path, owned: Some(folder), daemon: None };
        engine.restart();
        engine
    }

    /// The engine, with its image, of all tests that leave the engine itself alone: the one that
    /// [`SHARED_ENGINE`] names, or else one of this process, stopped by the last test that holds
    /// it.
    ///
    /// # Panics
    /// As [`Engine::start`] and [`Engine::make_image`].
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let engine = match env::var_os(SHARED_ENGINE) {
                Some(folder) => Self { folder: folder.into(), owned: None, daemon: None },
                None => {
                    let engine = Self::start();
                    engine.make_image();
                    engine
                }
            };
            let engine = Arc::new(engine);
            *shared = Arc::downgrade(&engine);
            engine
        })
    }

    /// Its address: `unix:///...`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    /// Its folder, for files of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The last lines of what it logged.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Makes the image `evonic-test:latest` (busybox: `sh`, `tail`, `find`, `sha256sum`, `tar`,
    /// `setsid`; and `bash`, with its libraries) without any registry. Returns its name.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn make_image(&self) -> &'static str {
        let root = self.folder.join("image");
        for folder in ["bin", "etc", "tmp", "root", "workspace"] {
            fs::create_dir_all(root.join(folder)).expect("a folder");
        }
        let busybox = Path::new("/bin/busybox");
        assert!(busybox.exists(), "busybox is not installed: package busybox-static");
        fs::copy(busybox, root.join("bin/busybox")).expect("busybox");
        for applet in run(Command::new(busybox).arg("--list")).lines() {
            let link = root.join("bin").join(applet);
            if !link.exists() && applet != "bash" {
                std::os::unix::fs::symlink("busybox", link).expect("a link");
            }
        }
        for program in PROGRAMS {
            copy_with_libraries(Path::new(program), &root);
        }
        let users = "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/workspace:/bin/sh\n";
        fs::write(root.join("etc/passwd"), users).expect("users");
        fs::write(root.join("etc/group"), "root:x:0:\nagent:x:1000:\n").expect("groups");
        let archive = self.folder.join("image.tar");
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."));
        let archive = archive.to_str().expect("text");
        self.docker(&["import", "-c", "CMD [\"/bin/sh\"]", archive, IMAGE]);
        IMAGE
    }

    /// Runs `docker` with these arguments against it; returns its standard output.
    ///
    /// # Panics
    /// When the command fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        run(Command::new("docker").arg("-H").arg(self.address()).args(arguments))
    }

    /// Kills it (SIGKILL), if it runs, and starts it in the same folders; containers live on.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.end(Signal::SIGKILL);
        let _stale = fs::remove_file(self.socket());
        self.end_containerd();
        let folder = &self.folder;
        let at = |name: &str| folder.join(name).display().to_string();
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"));
        let log = log.expect("a log");
        let daemon = Command::new("dockerd")
            .args(["--config-file", &at("daemon.json"), "--data-root", &at("root")])
            .args(["--exec-root", &at("run"), "--pidfile", &at("docker.pid")])
            .args(["-H", &self.address(), "--live-restore"])
            .args(["--bridge=none", "--iptables=false", "--ip-masq=false"])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("dockerd is installed: package docker.io");
        self.daemon = Some(daemon);
        let socket = self.socket();
        until("the engine answers", || match UnixStream::connect(&socket) {
            Ok(_) => Ok(()),
            Err(_) => Err(self.log()),
        });
        until("the engine serves", || {
            let mut docker = Command::new("docker");
            let output = docker.arg("-H").arg(self.address()).args(["ps", "-q"]).output();
            match output.expect("docker is installed: package docker.io") {
                output if output.status.success() => Ok(()),
                output => Err((output, self.log())),
            }
        });
    }

    /// Stops it (SIGTERM, waited for): the socket is gone, containers live on.
    /// [`Engine::restart`] brings it back.
    pub fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// Kills the containerd that a killed engine leaves behind. A new engine would wait for it by
    /// its pid, which belongs to a zombie until it is reaped.
    fn end_containerd(&self) {
        let pid_file = self.folder.join("run/containerd/containerd.pid");
        let pid = fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok());
        let Some(pid) = pid.map(Pid::from_raw) else { return };
        let _gone = kill(pid, Signal::SIGKILL);
        until("containerd ends", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
            match state {
                None | Some('Z' | 'X') => Ok(()),
                Some(state) => Err(state),
            }
        });
        for stale in [pid_file, self.folder.join("docker.pid")] {
            let _none = fs::remove_file(stale);
        }
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut daemon) = self.daemon.take() {
            let pid = Pid::from_raw(i32::try_from(daemon.id()).expect("a pid"));
            let _gone = kill(pid, signal);
            let _status = daemon.wait();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.owned.is_none() {
            return;
        }
        if self.daemon.is_some() {
            let listed =
                Command::new("docker").arg("-H").arg(self.address()).args(["ps", "-aq"]).output();
            let listed = listed.map(|output| output.stdout).unwrap_or_default();
            for container in String::from_utf8_lossy(&listed).split_whitespace() {
                let mut docker = Command::new("docker");
                docker.arg("-H").arg(self.address()).args(["rm", "-f", container]);
                let _removed = docker.stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
        }
        self.end(Signal::SIGTERM);
        // What it left behind: shims of containers that it did not know any more, and mounts.
        let folder = self.folder.display().to_string();
        let _none = Command::new("pkill").args(["-KILL", "-f", &folder]).status();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for mount in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if mount.starts_with(&folder) {
                let _unmounted = Command::new("umount").args(["-l", mount]).status();
            }
        }
    }
}

/// Copies a program and the libraries that it needs to the same places below a root.
fn copy_with_libraries(program: &Path, root: &Path) {
    let listed = run(Command::new("ldd").arg(program));
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.map(Path::new).chain([program]) {
        let target = root.join(file.strip_prefix("/").expect("a whole path"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(file, target).expect("a library");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_lives_through_a_restart_of_the_engine() {
        let mut engine = Engine::start();
        let image = engine.make_image();
        let run = ["run", "-d", "--network=none", image, "sleep", "1000"];
        let container = engine.docker(&run).trim().to_owned();
        let before = engine.docker(&["exec", &container, "bash", "-c", "echo $BASH_VERSION"]);
        assert!(!before.trim().is_empty());
        engine.restart();
        let started = engine.docker(&["inspect", "-f", "{{.State.Running}}", &container]);
        assert_eq!(started.trim(), "true");
        engine.docker(&["exec", &container, "sh", "-c", "echo hi"]);
    }
}

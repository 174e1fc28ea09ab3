//! OpenSSH's server.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};
use tempfile::TempDir;

use crate::{run, until};

/// A server on a loopback port of its own, with host keys of its own (ed25519, RSA, ECDSA).
/// Stopped, with every process of it, and its users removed, when dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
    config: String,
    server: Child,
    accounts: Mutex<Vec<String>>,
}

/// A user of the machine, made for a test. Removed with its server.
#[derive(Clone, Debug)]
pub struct Account {
    /// The login name, unique on this machine.
    pub name: String,
    /// The home as the server knows it.
    pub home: PathBuf,
    /// The password.
    pub password: String,
    /// A private key (ed25519, without passphrase) that the server accepts for it.
    pub key: PathBuf,
}

/// The kinds of host key.
const KEY_TYPES: [&str; 3] = ["ed25519", "rsa", "ecdsa"];

/// Users that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

impl Sshd {
    /// Starts a server; returns when it answers.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        Self::with("")
    }

    /// Starts a server with more lines of `sshd_config`. They come first, so that they count.
    ///
    /// # Panics
    /// As [`Sshd::start`].
    #[must_use]
    pub fn with(config: &str) -> Self {
        let folder = TempDir::with_prefix("evonic-sshd-").expect("a temporary folder");
        // Other users read their authorised keys below it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::create_dir_all("/run/sshd").expect("sshd's folder of privilege separation");
        let port = free_port();
        make_keys(folder.path(), port);
        let config = format!("{config}\n{}", config_of(folder.path(), port));
        let server = serve(folder.path(), &config);
        let this = Self { folder, port, config, server, accounts: Mutex::default() };
        this.answers();
        this
    }

    /// Makes a user with this login shell (a whole path), whose home is a new folder with this name,
    /// which may have spaces and quotes in it, elsewhere than where this machine's homes are.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn account(&self, shell: &str, home: &str) -> Account {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("evo{}n{number}", std::process::id());
        let homes = self.folder.path().join("homes");
        fs::create_dir_all(&homes).expect("a folder");
        let home = homes.join(home);
        // Other tests make users too: the file of users is locked now and then.
        until("a user is made", || {
            let mut useradd = Command::new("useradd");
            useradd
                .args(["--no-create-home", "--shell", shell, "--home-dir"])
                .arg(&home)
                .arg(&name);
            match useradd.output().expect("useradd is installed: package passwd") {
                output if output.status.success() => Ok(()),
                output => Err(output),
            }
        });
        self.accounts.lock().expect("no panic while locked").push(name.clone());
        let user = User::from_name(&name).expect("the users are read").expect("it is there");
        let password = format!("secret-{name}");
        let line = format!("{name}:{password}\n");
        until("it has a password", || crate::feed(&mut Command::new("chpasswd"), line.as_bytes()));

        fs::create_dir_all(&home).expect("a home");
        chown(&home, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("its owner");
        let key = self.folder.path().join(format!("key-{name}"));
        keygen("ed25519", &key);
        let keys = self.folder.path().join("authorized").join(&name);
        fs::copy(key.with_extension("pub"), keys).expect("its key is authorised");
        Account { name, home, password, key }
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A `known_hosts` file with all of its keys, under `[127.0.0.1]:PORT`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// Its folder, for files of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it logged, at level VERBOSE.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Kills every server process of a connection, as a link that is cut. Returns how many. What
    /// users run continues.
    #[must_use]
    pub fn cut(&self) -> usize {
        let processes = self.connections();
        for &process in &processes {
            // It may have ended by itself.
            let _gone = kill(process, Signal::SIGKILL);
        }
        processes.len()
    }

    /// Stops the listener and every connection's processes (SIGSTOP), and lets them go on: a peer
    /// that does not answer.
    ///
    /// # Panics
    /// When the listener is gone.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        kill(self.pid(), signal).expect("the listener is there");
        for process in self.connections() {
            let _gone = kill(process, signal);
        }
    }

    /// Replaces its host keys by new ones and starts it anew on the same port. The file of known
    /// hosts stays as it was.
    ///
    /// # Panics
    /// When it does not start.
    pub fn change_keys(&mut self) {
        self.end();
        let known = fs::read(self.known_hosts()).expect("known hosts");
        make_keys(self.folder.path(), self.port);
        fs::write(self.known_hosts(), known).expect("known hosts are kept");
        self.server = serve(self.folder.path(), &self.config);
        self.answers();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.server.id()).expect("a pid"))
    }

    /// Server processes of connections: `sshd: ...`, below the listener.
    fn connections(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        let mut parents = vec![self.pid()];
        while let Some(parent) = parents.pop() {
            for child in children(parent) {
                let title = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
                if title.starts_with(b"sshd") || title.starts_with(b"/usr/sbin/sshd") {
                    found.push(child);
                    parents.push(child);
                }
            }
        }
        found
    }

    fn answers(&self) {
        let message = || {
            let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) else {
                return Err(self.log());
            };
            stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            let mut line = String::new();
            match BufReader::new(stream).read_line(&mut line) {
                Ok(_) if line.starts_with("SSH-2.0-") => Ok(()),
                other => Err(format!("{other:?} {line:?}\n{}", self.log())),
            }
        };
        until("sshd answers", message);
    }

    fn end(&mut self) {
        self.freeze(false);
        let _killed = self.cut();
        let _gone = self.server.kill();
        let _status = self.server.wait();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.end();
        let accounts =
            std::mem::take(&mut *self.accounts.lock().unwrap_or_else(|e| e.into_inner()));
        for name in accounts {
            let _killed = Command::new("pkill").args(["-KILL", "-u", &name]).status();
            let deadline = Instant::now() + Duration::from_secs(5);
            let remove = || {
                Command::new("userdel")
                    .arg(&name)
                    .stderr(Stdio::null())
                    .status()
                    .is_ok_and(|s| s.success())
            };
            while !remove() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn config_of(folder: &Path, port: u16) -> String {
    let keys: String = KEY_TYPES
        .iter()
        .map(|kind| format!("HostKey {}\n", folder.join(format!("host-{kind}")).display()))
        .collect();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\n{keys}PidFile none\nLogLevel VERBOSE\n\
         AuthorizedKeysFile {}/authorized/%u\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
         PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nMaxStartups 1000\n\
         PerSourcePenalties no\nPrintMotd no\nSubsystem sftp internal-sftp\n",
        folder.display()
    )
}

/// Older servers do not know every key; what they do not know is left out.
fn known_to_server(config: &str) -> String {
    let version = Command::new("/usr/sbin/sshd").arg("-V").output().expect("sshd is installed");
    let version = String::from_utf8_lossy(&version.stderr).into_owned();
    let major: u32 = version
        .split("OpenSSH_")
        .nth(1)
        .and_then(|rest| rest.split('.').next()?.parse().ok())
        .unwrap_or(9);
    let minor: u32 = version
        .split("OpenSSH_")
        .nth(1)
        .and_then(|rest| {
            rest.split('.').nth(1)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
        .unwrap_or(0);
    let has_penalties = (major, minor) >= (9, 8);
    config
        .lines()
        .filter(|line| has_penalties || !line.starts_with("PerSourcePenalties"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn serve(folder: &Path, config: &str) -> Child {
    let file = folder.join("sshd_config");
    fs::write(&file, known_to_server(config)).expect("its configuration");
    fs::create_dir_all(folder.join("authorized")).expect("a folder");
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-E"])
        .arg(folder.join("log"))
        .arg("-f")
        .arg(&file)
        .stdin(Stdio::null())
        .spawn()
        .expect("sshd is installed: package openssh-server")
}

fn make_keys(folder: &Path, port: u16) {
    let mut known = String::new();
    for kind in KEY_TYPES {
        let key = folder.join(format!("host-{kind}"));
        let _none = fs::remove_file(&key);
        keygen(kind, &key);
        let public = fs::read_to_string(key.with_extension("pub")).expect("a public key");
        known.push_str(&format!("[127.0.0.1]:{port} {}\n", public.trim()));
    }
    fs::write(folder.join("known_hosts"), known).expect("known hosts");
}

fn keygen(kind: &str, path: &Path) {
    run(Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(path));
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

fn children(parent: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(tasks).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(server: &Sshd, account: &Account, command: &str) -> std::process::Output {
        Command::new("ssh")
            .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-F", "none"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", server.known_hosts().display()))
            .arg("-i")
            .arg(&account.key)
            .args(["-p", &server.port().to_string()])
            .arg(format!("{}@127.0.0.1", account.name))
            .arg(command)
            .output()
            .expect("ssh is installed")
    }

    #[test]
    fn a_user_with_an_odd_home_logs_in_and_a_cut_ends_it() {
        let mut server = Sshd::start();
        let account = server.account("/bin/sh", "it's a \"home\"");
        let output = ssh(&server, &account, "cd && pwd");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            account.home.to_str().expect("text"),
            "{output:?} {}",
            server.log()
        );
        let sleeper = std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| ssh(&server, &account, "sleep 60"));
            until("the connection is cut", || {
                let cut = server.cut();
                if sleeper.is_finished() { Ok(()) } else { Err(cut) }
            });
            sleeper.join().expect("no panic")
        });
        assert!(!sleeper.status.success());
        server.change_keys();
        let refused = ssh(&server, &account, "true");
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains("HOST IDENTIFICATION HAS CHANGED")
        );
    }
}

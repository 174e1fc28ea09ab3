//! A machine for tests: this one, by a shell of a given kind, as a child with pipes.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_parts::Folder;
use evonic_shared::config;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::{Notify, mpsc},
};

use super::super::{Script, ScriptEnd, ScriptOutput, Shell, Spool};
use crate::{Stage, WorkplaceError, error::Cause};

/// How scripts get to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// As arguments.
    Arguments,
    /// Past a login shell.
    Login,
}

/// This machine, by one shell.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) folder: Folder,
    shell: PathBuf,
    tag: String,
    transport: Transport,
    settings: config::Spool,
    /// A file that this machine does not show.
    hidden: Option<&'static str>,
    /// Whether the next link breaks at once.
    pub(super) dead: AtomicBool,
    /// Breaks the links there are.
    pub(super) cut: Notify,
}

impl Machine {
    /// One of each kind. Fails where a shell is missing.
    pub(super) fn all() -> Vec<Arc<Self>> {
        ["dash", "bash", "busybox"]
            .into_iter()
            .flat_map(|shell| {
                [Transport::Arguments, Transport::Login]
                    .map(|transport| Self::new(shell, transport))
            })
            .collect()
    }

    pub(super) fn dash() -> Arc<Self> {
        Self::new("dash", Transport::Arguments)
    }

    pub(super) fn new(shell: &str, transport: Transport) -> Arc<Self> {
        Self::with(shell, transport, 1 << 20)
    }

    pub(super) fn with(shell: &str, transport: Transport, max_output_bytes: u32) -> Arc<Self> {
        Arc::new(Self::made(shell, transport, max_output_bytes))
    }

    /// One that does not show this file of `/proc`.
    pub(super) fn hiding(shell: &str, path: &'static str) -> Arc<Self> {
        let made = Self::made(shell, Transport::Arguments, 1 << 20);
        Arc::new(Self { hidden: Some(path), ..made })
    }

    fn made(shell: &str, transport: Transport, max_output_bytes: u32) -> Self {
        let folder = Folder::with_prefix("spool' \"x").unwrap();
        // A busybox is a shell by its name.
        let link = folder.path().join("sh");
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(shell))
            .find(|path| path.is_file());
        let found = found.unwrap_or_else(|| panic!("{shell} is not installed"));
        std::os::unix::fs::symlink(found, &link).unwrap();
        let keep = std::time::Duration::from_secs(3600);
        let settings = config::Spool { max_output_bytes, keep };
        let (dead, cut) = (AtomicBool::new(false), Notify::new());
        let tag = format!("{:x}", fastrand::u64(..));
        Self { folder, tag, shell: link, transport, settings, hidden: None, dead, cut }
    }

    pub(super) fn spool(self: &Arc<Self>) -> Own {
        let spool = Spool::new(self.clone(), self.settings.clone());
        Own { machine: Arc::clone(self), spool }
    }

    /// The record of a command.
    pub(super) fn record(&self, command_id: &str) -> PathBuf {
        self.spools_path().join(self.command_id(command_id))
    }

    pub(super) fn spools_path(&self) -> PathBuf {
        self.folder.path().join("spools")
    }

    /// A command id that no other machine has.
    pub(super) fn command_id(&self, name: &str) -> String {
        format!("{name}-{}", self.tag)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Processes that carry a command id.
    pub(super) fn marked(&self, command_id: &str) -> Vec<u32> {
        let command_id = format!("EVONIC_CALL={}", self.command_id(command_id));
        let ours = format!("EVONIC_TEST_SHELL={}", self.shell.display());
        with_environment(|lines| {
            lines.contains(&command_id.as_bytes()) && lines.contains(&ours.as_bytes())
        })
    }

    /// Processes that come from this machine's shells.
    pub(super) fn processes(&self) -> Vec<u32> {
        let ours = format!("EVONIC_TEST_SHELL={}", self.shell.display());
        with_environment(|lines| lines.contains(&ours.as_bytes()))
    }

    /// The command ids of which there is a record, and whatever else lies there.
    pub(super) fn records(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.spools_path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let names = names.iter().map(|name| name.replace(&format!("-{}", self.tag), ""));
        names.collect()
    }

    /// Makes a record two hours old.
    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    pub(super) fn age(&self, command_id: &str) {
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
        for path in [self.record(command_id).join("status"), self.record(command_id)] {
            std::fs::File::open(path).unwrap().set_modified(then).unwrap();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "starts this test's shells")]
    fn start(&self, script: &Script) -> (Child, Bytes) {
        let shell = self.shell.to_str().unwrap();
        // The watcher's shell, which the script names, is the one under test too.
        let text = script.text.replace("/bin/sh", "\"$EVONIC_TEST_SHELL\"");
        let text = self.hidden.map_or(text.clone(), |path| text.replace(path, "/proc/hidden"));
        let script = Script { text, ..script.clone() };
        let mut command = Command::new(shell);
        let input = match self.transport {
            Transport::Arguments => {
                command.args(["-c", &script.text, "evonic"]).args(&script.arguments);
                script.input.clone()
            }
            Transport::Login => {
                let line = super::super::LOGIN_COMMAND;
                let line = line.replace("/bin/sh", "\"$EVONIC_TEST_SHELL\"");
                command.args(["-c", &format!("echo welcome; echo hello >&2; {line}")]);
                script.stream()
            }
        };
        command
            .env("EVONIC_TEST_SHELL", shell)
            .env_remove("EVONIC_CALL")
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        (command.spawn().unwrap(), input)
    }

    fn broken() -> WorkplaceError {
        let source = Cause("cut by the test".to_owned());
        WorkplaceError::Unreachable { host: "test".to_owned(), stage: Stage::Script, source }
    }
}

/// The spool of a machine.
pub(super) struct Own {
    pub(super) machine: Arc<Machine>,
    pub(super) spool: Spool,
}

impl std::ops::Deref for Own {
    type Target = Spool;

    fn deref(&self) -> &Spool {
        &self.spool
    }
}

#[async_trait]
impl Shell for Machine {
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<ScriptOutput>,
    ) -> Result<ScriptEnd, WorkplaceError> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(Self::broken());
        }
        let (mut child, input) = self.start(&script);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            let mut stdin = stdin.unwrap();
            let _unread = stdin.write_all(&input).await;
        };
        let out = hand_on(stdout.unwrap(), &said, ScriptOutput::Out);
        let err = hand_on(stderr.unwrap(), &said, ScriptOutput::Err);
        let talk = async { tokio::join!(feed, out, err) };
        tokio::select! {
            _ = talk => {}
            () = self.cut.notified() => return Err(Self::broken()),
        }
        let status = child.wait().await.unwrap();
        Ok(status.code().map_or(ScriptEnd::Killed, ScriptEnd::Exited))
    }

    async fn spools(&self) -> Result<String, WorkplaceError> {
        Ok(self.spools_path().to_str().unwrap().to_owned())
    }

    async fn folder(&self, folder: &str) -> Result<String, WorkplaceError> {
        Ok(self.folder.path().join(folder).to_str().unwrap().to_owned())
    }
}

/// Processes whose environment, as lines, is such.
fn with_environment(such: impl Fn(&[&[u8]]) -> bool) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name();
        name.to_str().and_then(|name| name.parse().ok())
    });
    pids.filter(|pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        such(&environment.split(|byte| *byte == 0).collect::<Vec<_>>())
    })
    .collect()
}

/// Kills a process that cannot defend itself.
pub(super) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Lets everybody execute a file.
pub(super) fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What a script writes when a login shell hands it on.
#[expect(clippy::disallowed_methods, reason = "starts this test's shells")]
pub(super) fn login(shell: &str, script: &Script) -> Vec<u8> {
    use std::io::Write;
    let mut words = shell.split(' ');
    let mut child = std::process::Command::new(words.next().unwrap())
        .args(words)
        .args(["-c", super::super::LOGIN_COMMAND])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&script.stream()).unwrap();
    child.wait_with_output().unwrap().stdout
}

async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    said: &mpsc::Sender<ScriptOutput>,
    kind: fn(Bytes) -> ScriptOutput,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let _gone = said.send(kind(Bytes::copy_from_slice(&buffer[..count]))).await;
    }
}

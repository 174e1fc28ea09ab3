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
use evonic_shared::config;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::{Notify, mpsc},
};

use super::super::{Said, Script, ScriptEnd, Shell, Spool};
use crate::workplace::{WorkplaceError, error::Cause};

/// How scripts get to the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As arguments.
    Arguments,
    /// Past a login shell.
    Login,
}

/// This machine, by one shell.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) folder: tempfile::TempDir,
    shell: PathBuf,
    way: Way,
    settings: config::Spool,
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
            .flat_map(|shell| [Way::Arguments, Way::Login].map(|way| Self::new(shell, way)))
            .collect()
    }

    pub(super) fn dash() -> Arc<Self> {
        Self::new("dash", Way::Arguments)
    }

    pub(super) fn new(shell: &str, way: Way) -> Arc<Self> {
        Self::with(shell, way, 1 << 20)
    }

    pub(super) fn with(shell: &str, way: Way, max_output_bytes: u32) -> Arc<Self> {
        let folder = tempfile::Builder::new().prefix("spool' \"x").tempdir().unwrap();
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
        Arc::new(Self { folder, shell: link, way, settings, dead, cut })
    }

    pub(super) fn spool(self: &Arc<Self>) -> Spool<Self> {
        Spool::new(Arc::clone(self), self.settings.clone())
    }

    /// The record of a command.
    pub(super) fn record(&self, mark: &str) -> PathBuf {
        self.spools_path().join(mark)
    }

    pub(super) fn spools_path(&self) -> PathBuf {
        self.folder.path().join("spools")
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    #[expect(clippy::disallowed_methods, reason = "the gate of this test's shells")]
    fn start(&self, script: &Script) -> (Child, Bytes) {
        let shell = self.shell.to_str().unwrap();
        let ours = |text: &str| match self.shell.to_str() {
            // The watcher's shell is the one under test, too; it is named in the script.
            Some(_) => text.replace("/bin/sh", "\"$EVONIC_TEST_SHELL\""),
            None => text.to_owned(),
        };
        let script = Script { text: ours(&script.text), ..script.clone() };
        let mut command = Command::new(shell);
        let input = match self.way {
            Way::Arguments => {
                command.args(&script.argv()[1..]);
                script.input.clone()
            }
            Way::Login => {
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
        WorkplaceError::Unreachable { host: "test".to_owned(), operation: "run", source }
    }
}

#[async_trait]
impl Shell for Machine {
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<Said>,
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
        let out = hand_on(stdout.unwrap(), &said, Said::Out);
        let err = hand_on(stderr.unwrap(), &said, Said::Err);
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

async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    said: &mpsc::Sender<Said>,
    kind: fn(Bytes) -> Said,
) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let _gone = said.send(kind(Bytes::copy_from_slice(&buffer[..count]))).await;
    }
}

//! A workplace in a temporary folder, for the tests of this crate and of `tools`.

use std::{
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use evonic_parts::Folder;
use evonic_shared::{config, config::Config, kind::Kind};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Local;
use evonic_backend::{Backend, CommandSpec, Download, Finished, WorkplaceError};
use evonic_handles::{Budget, Page};

/// A workplace, its folder and its budget.
pub struct Fixture {
    folder: Folder,
    state: Folder,
    pub budget: Budget,
    pub local: Local,
    pub tools: config::Tools,
}

impl Default for Fixture {
    fn default() -> Self {
        Self::with(|_| ())
    }
}

impl Fixture {
    pub fn new() -> Self {
        Self::default()
    }

    /// With other settings than the defaults. The root is the folder `root` of the temporary one.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Folder::new().expect("a temporary folder");
        let state = Folder::new().expect("a temporary folder");
        let mut config = Config::defaults(state.path().to_owned(), state.path().to_owned());
        config.workplace.root = folder.path().join("root");
        change(&mut config);
        let page = Page::private().expect("a page");
        let budget = Budget::new(&config.budget, page, config.fd.threshold);
        let local = Local::new(&config, budget.clone());
        Self { folder, state, budget, local: local.expect("a workplace"), tools: config.tools }
    }

    /// A path below the root.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path)
    }

    /// A path beside the root.
    pub fn outside(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The service's state.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    pub fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        let folder = path.parent().expect("a parent");
        std::fs::create_dir_all(folder).expect("folders are made");
        std::fs::write(&path, content).expect("a file is written");
        let root = std::fs::metadata(self.path("")).expect("the root is there");
        for made in [folder, &path] {
            chown(made, Some(root.uid()), Some(root.gid())).expect("it is given");
        }
    }

    pub fn get(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).expect("a file is read")
    }

    /// Runs a command to its end and gathers its output.
    pub async fn run(
        &self,
        spec: CommandSpec,
        cancel: &CancellationToken,
    ) -> (Result<Finished, WorkplaceError>, String) {
        let (sender, mut receiver) = mpsc::channel(1);
        let gather = async {
            let mut output = Vec::new();
            while let Some(piece) = receiver.recv().await {
                output.extend(piece);
            }
            String::from_utf8_lossy(&output).into_owned()
        };
        tokio::join!(self.local.commands().run(spec, sender, cancel), gather)
    }

    /// Up to `limit` bytes of a file from `offset`, and the file's size.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn read(
        &self,
        path: &str,
        offset: u64,
        limit: usize,
    ) -> Result<(Vec<u8>, u64), WorkplaceError> {
        let Download { stat, mut bytes } = self.local.download(path, offset).await?;
        let mut content = Vec::new();
        while content.len() < limit
            && let Some(piece) = bytes.next().await
        {
            content.extend(piece?);
        }
        content.truncate(limit);
        Ok((content, stat.size_bytes))
    }

    /// Fails unless everything was given back: permits, descriptors, in the page and the pools. Jobs
    /// whose caller was dropped give theirs back when they notice.
    pub async fn assert_given_back(&self) {
        self.local.idle().await;
        let used = || {
            let usage = self.budget.usage().into_iter();
            usage.filter(|usage| usage.permits + usage.descriptors > 0).collect::<Vec<_>>()
        };
        eventually("everything is given back", || used().is_empty()).await;
    }

    /// The most descriptors of a kind that were ever owned at once.
    pub fn peak(&self, kind: Kind) -> u32 {
        let usage = self.budget.usage();
        usage.iter().find(|usage| usage.kind == kind).map_or(0, |usage| usage.peak)
    }
}

/// A command for bash, with a command id of its own.
pub fn bash(script: &str) -> CommandSpec {
    CommandSpec {
        argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
        stdin: bytes::Bytes::new(),
        folder: String::new(),
        timeout: Duration::from_secs(60),
        command_id: format!("test-{}", uuid::Uuid::now_v7().simple()),
    }
}

/// Polls until it holds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether a process lives: it is there and no zombie.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    let state = stat.ok().and_then(|stat| stat.rsplit_once(')')?.1.trim().chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// The processes of a command that live, by what this machine calls them: in its namespace it knows
/// other numbers.
#[must_use]
pub fn processes(command_id: &str) -> Vec<u32> {
    let variable = format!("EVONIC_CALL={command_id}");
    let carries = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").expect("/proc is there");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(carries).filter(|pid| lives(*pid)).collect()
}

/// What this machine calls a process that works in `folder` and knows itself by another number, in a
/// namespace of its own.
#[must_use]
pub fn outside(pid: u32, folder: &Path) -> Option<u32> {
    let wanted = std::fs::metadata(folder).ok()?;
    let entries = std::fs::read_dir("/proc").ok()?;
    let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(|outside: &u32| {
        let process = Path::new("/proc").join(outside.to_string());
        let works_there = std::fs::metadata(process.join("cwd"))
            .is_ok_and(|folder| (folder.dev(), folder.ino()) == (wanted.dev(), wanted.ino()));
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let own = numbers.and_then(|numbers| numbers.split_whitespace().last()?.parse().ok());
        works_there && own == Some(pid)
    })
}

//! Descriptors after a thousand rounds are those after the first ones. A process of its own: in
//! the library's tests others open descriptors at the same time.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use evonic_backend::{Backend, CommandSpec, Ended, Rewrite, WorkplaceError};
use evonic_handles::{Budget, Page};
use evonic_local::Local;
use evonic_shared::{config::Config, kind::Kind};
use futures_util::StreamExt;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

/// Open descriptors by what they are.
fn open() -> BTreeMap<String, usize> {
    let mut open = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fd").expect("/proc is there") {
        // The descriptor of this listing is gone by the time it is looked at.
        if let Ok(target) = fs::read_link(entry.expect("an entry").path()) {
            let target = target.to_string_lossy();
            let kind = target.split_once(":[").map_or(&*target, |(kind, _)| kind);
            *open.entry(kind.to_owned()).or_default() += 1;
        }
    }
    open
}

struct Setup {
    local: Local,
    budget: Budget,
    round: u32,
}

impl Setup {
    /// One command: that ends, fails to start, is cancelled, runs out of time, is dropped, leaves
    /// something behind.
    async fn command(&mut self) {
        self.round += 1;
        let script = match self.round % 10 {
            3..=5 => "sleep 60",
            6 => "setsid sleep 60 >/dev/null 2>&1 & echo",
            _ => "echo output; echo error >&2; cat",
        };
        let program = if self.round.is_multiple_of(10) { "no-such-program" } else { "bash" };
        let time = if self.round % 10 == 4 { 20 } else { 60_000 };
        let command_id = format!("flat-{}-{}", std::process::id(), self.round);
        let spec = CommandSpec {
            argv: [program, "-c", script].map(str::to_owned).to_vec(),
            stdin: vec![b'x'; 10].into(),
            folder: String::new(),
            timeout: Duration::from_millis(time),
            command_id: command_id.clone(),
        };
        let (sender, mut receiver) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let run = self.local.commands().run(spec, sender, &cancel);
        let read = async { while receiver.recv().await.is_some() {} };
        let both = async { tokio::join!(run, read).0 };
        match self.round % 10 {
            0 => {
                let ended = both.await.expect("it is told").ended;
                assert!(matches!(ended, Ended::NotStarted(_)), "{ended:?}");
            }
            3 => {
                let soon = async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    cancel.cancel();
                };
                let (finished, ()) = tokio::join!(both, soon);
                assert_eq!(finished.expect("it starts").ended, Ended::Cancelled);
            }
            4 => assert_eq!(both.await.expect("it starts").ended, Ended::TimedOut),
            5 => {
                assert!(timeout(Duration::from_millis(20), both).await.is_err());
                // It goes on, without anything of this process.
                self.local.commands().kill(&command_id).await.expect("it is killed");
            }
            6 => assert_eq!(both.await.expect("it starts").left_behind, 1),
            _ => assert_eq!(both.await.expect("it starts").ended, Ended::Exited(0)),
        }
        self.local.commands().forget(&command_id);
    }

    async fn read(&self, path: &str) -> Result<(), WorkplaceError> {
        let mut download = self.local.download(path, 0).await?;
        while let Some(piece) = download.bytes.next().await {
            piece?;
        }
        Ok(())
    }

    /// One round of every operation on files, also of those that fail.
    async fn files(&mut self) {
        self.round += 1;
        let path = format!("sub/{}", self.round % 7);
        self.local
            .write(&path, b"one\ntwo\n".to_vec().into(), Rewrite::Whole)
            .await
            .expect("it is written");
        self.read(&path).await.expect("it is read");
        self.local.read_lines(&path, 2, None, 99).await.expect("it is read");
        self.local.list(".", 9, 99).await.expect("it is listed");
        self.local.search("two", ".", None, 99).await.expect("it is searched");
        let change = Box::new(|content: &[u8]| Some(content.to_owned()));
        self.local.edit(&path, 99, change, Rewrite::Whole).await.expect("it is edited");
        self.read("missing").await.expect_err("it is missing");
        self.local.write("sub", Bytes::new(), Rewrite::Whole).await.expect_err("it is a folder");
        self.local.list("../..", 1, 9).await.expect_err("it is outside");
        let dropped = timeout(Duration::ZERO, self.local.search("x", ".", None, 9)).await;
        drop(dropped);
    }

    /// What is open once everything that was dropped has ended.
    async fn settled(&self) -> BTreeMap<String, usize> {
        self.local.idle().await;
        let deadline = Instant::now() + Duration::from_secs(10);
        let used = || self.budget.usage().iter().map(|usage| usage.permits).sum::<u32>();
        while used() > 0 {
            assert!(Instant::now() < deadline, "{:?}", self.budget.usage());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(self.budget.usage().iter().all(|usage| usage.descriptors == 0));
        open()
    }

    fn peak(&self, kind: Kind) -> u32 {
        self.budget.usage()[kind.slot()].peak
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptors_are_flat_over_commands_and_files() {
    const ROUNDS: u32 = 1_000;
    const COMMANDS: u32 = 200;
    let folder = evonic_parts::Folder::new().expect("a temporary folder");
    let mut config = Config::defaults(folder.path().to_owned(), folder.path().to_owned());
    config.workplace.root = folder.path().join("root");
    let page = Page::private().expect("a page");
    let budget = Budget::new(&config.budget, page, config.fd.threshold);
    let local = Local::new(&config, budget.clone());
    let mut setup = Setup { local: local.expect("a workplace"), budget, round: 0 };

    for _ in 0..20 {
        setup.command().await;
        setup.files().await;
    }
    let before = setup.settled().await;
    let since = Instant::now();
    for _ in 0..COMMANDS {
        setup.command().await;
    }
    let commands = since.elapsed();
    assert_eq!(setup.settled().await, before, "after {COMMANDS} commands");
    let since = Instant::now();
    for _ in 0..ROUNDS {
        setup.files().await;
    }
    let files = since.elapsed();
    assert_eq!(setup.settled().await, before, "after {ROUNDS} rounds of file operations");

    let peaks = [Kind::Child, Kind::File].map(|kind| setup.peak(kind));
    println!(
        "{COMMANDS} commands in {commands:.1?}, {ROUNDS} rounds of 10 file operations in \
         {files:.1?}; {} descriptors before and after, peaks {peaks:?}",
        before.values().sum::<usize>()
    );
    // A dropped call may still be cleared away while the next ones run.
    assert!(peaks[0] <= 4 * Kind::Child.descriptors_per_handle(), "{peaks:?}");
    assert!(peaks[1] <= 8, "{peaks:?}");
}

//! The database and the disk under it: locked, full, lost, replaced, damaged; and the clock.

mod clock;
mod damage;
mod disk;
mod files;
mod locks;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use evonic_shared::{
    status::Status,
    store_report::{StoreReport, StoreState},
};
use evonic_tests::{http::Answer, pair::Pair, poll};
use serde_json::json;

/// Heartbeats often, so that the tests are short; the ratios are those of the defaults.
const CONFIG: &str =
    "[supervisor]\nheartbeat_interval = \"500ms\"\ngrace = \"3s\"\n[retention]\nmin_free = 0\n";

/// So often that what is wrong is in the status at once; late as usual.
const EAGER: &str = "[supervisor]\nheartbeat_interval = \"100ms\"\nheartbeat_timeout = \"4s\"\n\
                     grace = \"3s\"\n[retention]\nmin_free = 0\n";

/// A heartbeat, five times: the machine is busy.
const NOTICED: Duration = Duration::from_millis(2500);

fn database(pair: &Pair) -> PathBuf {
    pair.state_dir().join("evonic.db")
}

/// What the status says is wrong with the database.
fn report(status: &Status) -> Option<&StoreReport> {
    status.worker.as_ref()?.database.as_ref()
}

/// Waits until the status says this of the database, and checks that everybody says the same.
fn wait_for_state(pair: &Pair, state: StoreState) -> StoreReport {
    let status = pair.wait("the status says what is wrong", |status| {
        report(status).is_some_and(|report| report.state == state)
    });
    report(&status).expect("it was there").clone()
}

/// Waits until nothing is wrong any more, and the worker is ready.
fn wait_until_well(pair: &Pair) {
    pair.wait("nothing is wrong", |status| report(status).is_none());
    poll::until(
        "it is ready",
        Duration::from_secs(20),
        || pair.request("GET", "/readyz", None).map(|answer| (answer.status, answer.text())),
        |answer| matches!(answer, Ok((200, _))).then_some(()),
    );
}

/// Asks for a new session: a write of one transaction.
fn ask_for_session(pair: &Pair) -> Answer {
    pair.operator()
        .and_then(|mut operator| {
            let body = json!({"agent": "runbook"});
            operator.request("POST", "/api/v1/sessions", &[], Some(&body))
        })
        .expect("an answer")
}

fn readyz(pair: &Pair) -> Answer {
    pair.request("GET", "/readyz", None).expect("an answer")
}

/// `evonic status` and `evonic doctor`, as an operator sees them.
fn seen(pair: &Pair) -> String {
    let output = |arguments: &[&str]| {
        let output = pair.evonic(arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    format!("{}\n{}\n{}", output(&["status"]), output(&["doctor"]), readyz(pair).text())
}

/// How often this is in the log.
fn lines(pair: &Pair, words: &str) -> usize {
    pair.log().lines().filter(|line| line.contains(words)).count()
}

/// A file system of its own on a folder, as large as this; gone with it.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn mount(folder: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&folder).expect("a folder");
        let options = format!("size={size},mode=0700");
        run(&["mount", "-t", "tmpfs", "-o", &options, "evonic-test"], &folder);
        Self { folder }
    }

    /// Fills what is left.
    fn fill(&self) {
        let path = self.folder.join("filler");
        let block = [0; 4096];
        let mut file = fs::File::create(path).expect("a file");
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.folder.join("filler")).expect("what fills it");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn run(command: &[&str], folder: &Path) {
    let (program, arguments) = command.split_first().expect("a program");
    let output = Command::new(program).args(arguments).arg(folder).output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

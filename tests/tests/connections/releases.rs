//! Releases that a symbolic link switches.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_tests::{
    pair::{Options, Pair, program},
    poll,
    troubleshooting::assert_documented,
};
use serde_json::json;

/// Releases below one folder, of which `current` leads to one.
struct Releases {
    folder: tempfile::TempDir,
}

impl Releases {
    fn new() -> Self {
        // On the disk of the programs: they are links to them.
        let built = program("evonic").parent().expect("a folder").to_owned();
        let folder = tempfile::Builder::new().prefix("evonic-releases-").tempdir_in(built);
        let releases = Self { folder: folder.expect("a folder") };
        releases.add(1);
        releases.switch(1);
        releases
    }

    fn of(&self, number: u32) -> PathBuf {
        self.folder.path().join("releases").join(number.to_string())
    }

    fn current(&self) -> PathBuf {
        self.folder.path().join("current")
    }

    fn add(&self, number: u32) {
        fs::create_dir_all(self.of(number)).expect("a folder");
        for name in ["evonic", "evonic-runner", "evonic-supervisor"] {
            fs::hard_link(program(name), self.of(number).join(name)).expect("a link");
        }
    }

    fn switch(&self, number: u32) {
        let new = self.folder.path().join("new");
        symlink(format!("releases/{number}"), &new).expect("a link");
        fs::rename(new, self.current()).expect("it is switched");
    }

    fn delete(&self, number: u32) {
        fs::remove_dir_all(self.of(number)).expect("it was there");
    }
}

/// The file of the worker's program.
fn file_of(pair: &Pair) -> PathBuf {
    fs::read_link(format!("/proc/{}/exe", pair.worker().0)).expect("a worker")
}

fn assert_runs(pair: &Pair, release: &Path) {
    assert_eq!(file_of(pair).parent(), Some(release));
    let turn = pair.post(&pair.session("runbook"), "$ echo works");
    let ended = pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "completed", "{ended}\n{}", pair.log());
    let message = pair.expect(200, "GET", &format!("/api/v1/turns/{turn}"), None);
    assert_eq!(message["state"], "completed");
}

#[test]
fn a_release_that_is_switched_is_what_a_restart_starts() {
    let releases = Releases::new();
    let options = Options { programs: Some(releases.current()), ..Options::default() };
    let pair = Pair::start(&options);
    assert_runs(&pair, &releases.of(1));

    releases.add(2);
    releases.switch(2);
    let (_, generation) = pair.worker();
    assert!(pair.evonic(&["restart"]).status.success());
    pair.wait_for_successor(generation);
    assert_runs(&pair, &releases.of(2));

    // The release that the supervisor was started from is of no more use.
    releases.delete(1);
    pair.kill_worker();
    assert_runs(&pair, &releases.of(2));

    // A worker whose release is deleted runs commands still: by the one that is current.
    releases.add(3);
    releases.switch(3);
    releases.delete(2);
    let turn = pair.post(&pair.session("runbook"), "$ echo works");
    let ended = pair.wait_for_turn(&turn);
    let shown = pair.evonic(&["--json", "status"]);
    assert_eq!(ended["state"], "completed", "{ended}\n{shown:?}\n{}", pair.log());
    assert!(!pair.log().contains("evonic-runner: No such file"), "{}", pair.log());

    // Nothing is there to start: the worker that serves goes on.
    fs::rename(releases.of(3), releases.of(4)).unwrap();
    let worker = pair.worker();
    for arguments in [&["restart"][..], &["restart", "--reload"]] {
        let refused = pair.evonic(arguments);
        assert!(!refused.status.success(), "{refused:?}");
        let seen = String::from_utf8_lossy(&refused.stderr).into_owned();
        let row = "cannot start …/evonic: No such file or directory (os error 2)";
        assert_documented(row, &seen);
    }
    poll::until(
        "it is written that nothing was replaced",
        Duration::from_secs(10),
        || pair.history().first().map(|last| last.reason.to_string()),
        |last| (last.as_deref() == Some("crash")).then_some(()),
    );
    assert_eq!(pair.worker(), worker);
    assert_eq!(pair.expect(200, "GET", "/api/v1/agents", None)["data"][0]["name"], "runbook");

    fs::rename(releases.of(4), releases.of(3)).unwrap();
    assert!(
        matches!(pair.ask(&json!({"op": "restart"})), Ok(reply) if !format!("{reply:?}").contains("Error"))
    );
    pair.wait_for_successor(worker.1);
    assert_runs(&pair, &releases.of(3));
}

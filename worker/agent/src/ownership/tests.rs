use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::*;

const FOLDER: &str = "EVONIC_TEST_LOCK_FOLDER";
const NUMBER: &str = "EVONIC_TEST_LOCK_NUMBER";

/// Another process that holds the lock of a generation until its standard input ends.
struct Holder {
    process: Child,
}

impl Holder {
    fn start(folder: &Path, number: u64) -> Self {
        let mut process = this_program()
            .args(["--exact", "--nocapture", "ownership::tests::hold"])
            .env(FOLDER, folder)
            .env(NUMBER, number.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.ends_with("locked")), "no lock");
        Self { process }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own second process")]
fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// The body of [`Holder`]'s process; anywhere else it does nothing.
#[test]
fn hold() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let number = std::env::var(NUMBER).unwrap().parse().unwrap();
    let _generation = Generation::lock(&folder, number).unwrap();
    println!("locked");
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Other tests start programs: between fork and exec, a child has every descriptor of this process.
#[track_caller]
fn assert_soon_dead(folder: &Path, number: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Generation::is_dead(folder, number).unwrap() {
        assert!(Instant::now() < deadline, "another process keeps the lock of {number}");
        std::thread::yield_now();
    }
}

#[test]
fn a_lock_lives_and_dies_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let holder = Holder::start(folder, 7);
    assert!(!Generation::is_dead(folder, 7).unwrap());
    assert!(Generation::lock(folder, 7).is_err(), "two workers of one generation");
    assert_eq!(Generation::living(folder, 8).unwrap(), [7].into());
    assert_eq!(names(folder), ["7.lock"]);

    drop(holder);
    assert!(Generation::is_dead(folder, 7).unwrap());
    assert_eq!(names(folder), [""; 0], "the file of a dead one is removed");
    assert!(Generation::is_dead(folder, 7).unwrap(), "gone is dead");
}

#[test]
fn a_lock_of_the_same_process_counts() {
    let folder = tempfile::tempdir().unwrap();
    let own = Generation::lock(folder.path(), 1).unwrap();
    assert_eq!(own.number(), 1);
    assert!(!Generation::is_dead(folder.path(), 1).unwrap());
    assert_eq!(Generation::living(folder.path(), 1).unwrap(), [].into());
    drop(own);
    assert_soon_dead(folder.path(), 1);
}

#[test]
fn what_dead_workers_left_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["3.lock", "4.lock.new", "notes.txt", "x.lock"] {
        std::fs::write(folder.join(name), "").unwrap();
    }
    let own = Generation::lock(folder, 5).unwrap();
    assert_eq!(Generation::living(folder, own.number()).unwrap(), [].into());
    assert_eq!(names(folder), ["5.lock", "notes.txt", "x.lock"]);
}

#[test]
fn a_stale_file_of_the_same_number_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("2.lock"), "").unwrap();
    std::fs::write(folder.path().join("2.lock.new"), "").unwrap();
    let _own = Generation::lock(folder.path(), 2).unwrap();
    assert_eq!(names(folder.path()), ["2.lock"]);
    assert!(!Generation::is_dead(folder.path(), 2).unwrap());
}

#[test]
fn no_command_inherits_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let own = Generation::lock(folder.path(), 1).unwrap();
    // The holder of another folder is any child that stays.
    let elsewhere = tempfile::tempdir().unwrap();
    let _child = Holder::start(elsewhere.path(), 1);
    drop(own);
    assert_soon_dead(folder.path(), 1);
}

/// Starts and sweeps at the same moment, over and over: a living worker is never taken for dead,
/// and never loses its file.
#[test]
fn sweeping_never_hurts_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    Generation::living(folder, 0).unwrap();
                }
            });
        }
        let outcome = std::panic::catch_unwind(|| {
            for number in 1..=300 {
                let own = Generation::lock(folder, number)
                    .unwrap_or_else(|error| panic!("start {number}: {error}: {:?}", error.source));
                assert!(path_of(folder, number).exists(), "start {number} lost its file");
                assert!(!Generation::is_dead(folder, number).unwrap(), "{number} was buried");
                drop(own);
            }
        });
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}

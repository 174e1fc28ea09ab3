//! Another process with the same database: this program, started again.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::*;

/// Where the other process finds the database.
const DATABASE: &str = "EVONIC_TEST_DATABASE";

/// The other process; does what it is told, line by line, and says when it is done.
struct Neighbour {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Neighbour {
    fn start(harness: &Harness) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the test's own second process")]
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "tests::foreign::neighbour"])
            .env(DATABASE, &harness.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut neighbour = Self { process, orders, answers };
        neighbour.answered("ready");
        neighbour
    }

    fn answered(&mut self, wanted: &str) {
        let mut lines = self.answers.by_ref().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with(wanted)), "it ended before it was {wanted}");
    }

    fn told(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        self.answered(&format!("{order} done"));
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}

/// The body of [`Neighbour`]'s process; anywhere else it does nothing.
#[test]
fn neighbour() {
    let Some(database) = std::env::var_os(DATABASE).map(PathBuf::from) else { return };
    // It is killed in the end and removes nothing: what it has goes with its neighbour's folder.
    let folder = tempfile::tempdir_in(database.parent().unwrap()).unwrap();
    let harness = Harness::open(folder, database, &SETTINGS, HANDLES);
    println!("ready");
    let mut held = None;
    for order in std::io::stdin().lines().map_while(Result::ok) {
        match order.as_str() {
            "post" => {
                let session = harness.read(|reader| reader.sessions(None, &WHOLE)).data.remove(0);
                harness.post(&session.id, "from next door");
            }
            "hold" => held = Some(harness.hold_the_writer()),
            "release" => harness.ends(held.take().unwrap()).unwrap(),
            other => panic!("{other}"),
        }
        println!("{order} done");
    }
}

#[test]
fn a_look_sees_what_another_process_wrote_and_nothing_else() {
    let harness = Harness::new();
    let session = harness.session();
    let mut follower = harness.store.subscribe(&session.id);
    let mut neighbour = Neighbour::start(&harness);
    // Its start may have touched the database.
    harness.wait(harness.store.poll_foreign_commits()).unwrap();
    while harness.wait(async { futures_util::poll!(std::pin::pin!(follower.next())).is_ready() }) {}

    assert!(!harness.wait(harness.store.poll_foreign_commits()).unwrap());
    harness.session();
    assert!(
        !harness.wait(harness.store.poll_foreign_commits()).unwrap(),
        "its own writes are not foreign"
    );
    neighbour.told("post");
    assert!(harness.wait(harness.store.poll_foreign_commits()).unwrap());
    assert!(matches!(harness.wait(follower.next()), Some(Notice::Foreign)));
    assert!(!harness.wait(harness.store.poll_foreign_commits()).unwrap());
    assert_eq!(harness.names(&session.id), ["message.created"]);

    // Sequences go on where the other left off, and no write of it hides behind an own one.
    neighbour.told("post");
    harness.post(&session.id, "from here");
    assert!(harness.wait(harness.store.poll_foreign_commits()).unwrap());
    let sequences: Vec<_> =
        harness.events(&session.id).into_iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
}

#[test]
fn a_writer_that_reopened_its_handle_looks_again() {
    let harness = Harness::new();
    let holds: Vec<_> = (0..3).map(|_| harness.hold_a_reader()).collect();
    holds.into_iter().for_each(|hold| harness.ends(hold).unwrap());
    assert!(!harness.wait(harness.store.poll_foreign_commits()).unwrap());
    until("reopened", || match harness.usage().descriptors {
        descriptors::BASELINE => Ok(()),
        more => Err(format!("{more} descriptors")),
    });
    assert!(harness.wait(harness.store.poll_foreign_commits()).unwrap(), "it cannot know");
    assert!(!harness.wait(harness.store.poll_foreign_commits()).unwrap());
}

#[test]
fn a_lock_of_another_process_is_waited_for_and_then_told() {
    let acquire_timeout = Duration::from_millis(200);
    let harness =
        Harness::with(&config::Store { busy_timeout: acquire_timeout, ..SETTINGS }, HANDLES);
    harness.session();
    let mut neighbour = Neighbour::start(&harness);
    neighbour.told("hold");
    let begun = Instant::now();
    let refused = harness.try_write(|writer| claim_oldest(writer, 1));
    assert!(matches!(refused, Err(StoreError::Locked)), "{refused:?}");
    assert!(begun.elapsed() >= acquire_timeout, "{:?}", begun.elapsed());
    harness.read(|reader| reader.backlog());

    let (store, harness) = (harness.store.clone(), harness);
    let waits =
        harness.runtime.spawn(async move { store.write(|writer| claim_oldest(writer, 1)).await });
    neighbour.told("release");
    // Whether it was in time or not: nothing was written by halves, and it works again.
    match harness.wait(waits).unwrap() {
        Ok(None) | Err(StoreError::Locked) => {}
        other => panic!("{other:?}"),
    }
    harness.session();
}

/// Whoever waits for the same lock is refused with the first, not each after a time of its own.
#[test]
fn a_lock_of_another_process_is_told_to_all_that_wait_at_once() {
    let acquire_timeout = Duration::from_millis(300);
    let harness =
        Harness::with(&config::Store { busy_timeout: acquire_timeout, ..SETTINGS }, HANDLES);
    let mut neighbour = Neighbour::start(&harness);
    neighbour.told("hold");
    let begun = Instant::now();
    let calls = (0..20).map(|_| harness.store.write(|writer| claim_oldest(writer, 1)));
    for refused in harness.wait(futures_util::future::join_all(calls)) {
        assert!(matches!(refused, Err(StoreError::Locked)), "{refused:?}");
    }
    assert!(begun.elapsed() < 10 * acquire_timeout, "{:?}", begun.elapsed());
}

#[test]
fn the_account_is_exact_beside_another_process() {
    let harness = Harness::new();
    let _neighbour = Neighbour::start(&harness);
    for _ in 0..2 {
        let holds: Vec<_> = (1..HANDLES).map(|_| harness.hold_a_reader()).collect();
        assert_eq!(harness.links(), harness.usage().descriptors);
        holds.into_iter().for_each(|hold| harness.ends(hold).unwrap());
        assert_eq!(harness.links(), harness.usage().descriptors);
        // The writer's reopening is not the last close of the database here.
        descriptors::settled(&harness);
    }
}

#[test]
fn a_killed_process_leaves_a_whole_database() {
    let harness = Harness::new();
    let session = harness.session();
    let mut neighbour = Neighbour::start(&harness);
    neighbour.told("post");
    neighbour.told("hold");
    drop(neighbour);
    harness.post(&session.id, "after it");
    assert_eq!(harness.names(&session.id), ["message.created"; 2]);
    let told: String =
        harness.read(|reader| reader.one("check", "PRAGMA integrity_check", [], |row| row.get(0)));
    assert_eq!(told, "ok");
}

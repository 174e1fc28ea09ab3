//! Commands that are cancelled, and whose worker or runner is killed, at random moments: nothing of
//! them is left, and how each ended is known, or said to be unknown.

mod scene;

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use evonic_tests::{
    machine::Group, pair::Options, poll, process, residue::Residue, size, testbed::Testbed,
};
use serde_json::json;

use self::scene::Scene;

/// Rows of sessions, each with one command after the other.
const ROWS: usize = 6;

/// Turns of a session: with many more its transcript would be too large.
const TURNS: u64 = 20;

const NOBODY: (u32, u32) = (65534, 65534);

/// What keeps commands inside: a workplace each.
const LEVELS: [&str; 3] = ["namespaces", "landlock", "none"];

/// Commands of a turn.
const STEPS: u64 = 5;

/// Workers and runners die as often as it takes.
const CONFIG: &str = "[supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n\
                      [agents]\nmax_takeovers = 1000\n";

#[test]
fn commands_that_are_killed_leave_nothing_and_what_became_of_them_is_known() {
    let commands = size::of("killed_commands", 300, 10_000);
    let testbed = Testbed::local(&Options::config(CONFIG));
    run(&testbed, commands, None);
}

/// As the unit has it: an ordinary user, and a control group for each command.
#[test]
fn commands_in_control_groups_leave_none_of_them() {
    if !rustix::process::geteuid().is_root() {
        println!("without root there is no other user, and the test before is the same");
        return;
    }
    let group = Group::make(&format!("evonic-{}.service", std::process::id()));
    let group = group.expect("root may make a control group");
    group.delegate(NOBODY).expect("root may give it away");
    let options = Options { user: Some(NOBODY), ..Options::config(CONFIG) };
    let testbed = Testbed::local(&options);
    group.enter(testbed.pair.pid()).expect("root may move a process");
    let _worker_in_it = testbed.pair.kill_worker();
    run(&testbed, size::of("grouped_commands", 60, 1000), Some(group.path()));
    // The group is removed when nothing is in it any more.
    drop(testbed);
}

/// A worker may be killed before it has cleared what a call left whose result stands.
#[test]
fn what_a_killed_worker_had_no_time_to_clear_is_cleared_by_the_next() {
    let testbed = Testbed::local(&Options::config(CONFIG));
    let session = testbed.pair.session("runbook");
    let turn = testbed.pair.post(&session, "$ touch began; sleep 1000 & sleep 1000");
    let began = testbed.pair.state_dir().join("workplace/began");
    poll::until("it runs", Duration::from_secs(60), || began.exists(), |began| began.then_some(()));
    for name in ["call_finished", "evonic-probe-4194305-1"] {
        let folder = testbed.pair.state_dir().join("commands").join(name);
        fs::DirBuilder::new().mode(0o700).create(folder).expect("a folder");
    }
    let kept = testbed.pair.state_dir().join("commands/check-of-a-workplace");
    fs::DirBuilder::new().mode(0o700).create(&kept).expect("a folder");
    let database = rusqlite::Connection::open(testbed.pair.state_dir().join("evonic.db"));
    let database = database.expect("the database");
    let end = "UPDATE calls SET outcome = 'cancelled'; \
               UPDATE turns SET state = 'cancelled', owner = NULL, ended_at = '2026-01-01T00:00:00Z'";
    database.execute_batch(end).expect("it is written");
    drop(database);
    assert_eq!(Residue::of(&testbed.pair, None).records.len(), 4);
    let _successor = testbed.pair.kill_worker();
    poll::until(
        "all of it is cleared, and nothing else",
        Duration::from_secs(60),
        || Residue::of(&testbed.pair, None),
        |left| {
            (left.processes.is_empty() && left.records == ["check-of-a-workplace"]).then_some(())
        },
    );
    assert!(kept.exists());
    let ended = testbed.pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "cancelled", "{ended}");
}

fn run(testbed: &Testbed, commands: u64, group: Option<&Path>) {
    // Without namespaces the user of root's commands must reach the folder by itself.
    let folder = testbed.pair.folder();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711)).expect("ours");
    for level in LEVELS {
        let settings = json!({"sandbox": level, "root": folder.join(level)});
        testbed.workplace(level, "local", &settings);
    }
    // One more: turns that are cancelled have fewer commands.
    let each = commands / ROWS as u64 / STEPS / TURNS + 2;
    let row = |number: usize| {
        (0..each).map(move |_| testbed.pair.session(LEVELS[number % LEVELS.len()])).collect()
    };
    let scene = Scene {
        testbed,
        sessions: (0..ROWS).map(row).collect(),
        turns: (0..ROWS).map(|_| Mutex::default()).collect(),
        began: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    if let Some(group) = group {
        assert!(group.join("commands").is_dir(), "commands have control groups");
    }
    scene.warm_up();
    let worker = testbed.settled();
    let supervisor = process::descriptors(testbed.pair.pid()).expect("it lives");
    let began = Instant::now();
    let done = std::thread::scope(|scope| {
        for number in 0..ROWS {
            let scene = &scene;
            scope.spawn(move || scene.post(number));
        }
        let done = scene.kill(commands);
        scene.over.store(true, Ordering::Relaxed);
        done
    });
    scene.check(&done, commands);
    size::report("in all", began.elapsed().as_secs(), "s");

    poll::until(
        "nothing is left",
        Duration::from_secs(60),
        || Residue::of(&testbed.pair, group),
        |residue| residue.is_none().then_some(()),
    );
    scene.warm_up();
    let links = || process::links(testbed.pair.worker().0);
    assert_eq!(testbed.settled(), worker, "descriptors of the worker: {:#?}", links());
    // Its last client's connection may be about to close.
    poll::until(
        "the supervisor's descriptors are what they were",
        Duration::from_secs(5),
        || process::links(testbed.pair.pid()),
        |links| (links.len() <= supervisor).then_some(()),
    );
}

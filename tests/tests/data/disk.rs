//! A disk that is full, and a state folder or a database that cannot be written.

use std::{fs, process::Command, time::Duration};

use evonic_parts::Folder;
use evonic_shared::{status::State, store_report::StoreState};
use evonic_tests::{
    pair::{Options, Pair},
    poll,
    troubleshooting::assert_documented,
};

use crate::{
    CONFIG, Disk, ask_for_session, database, lines, readyz, report, run, seen, wait_for_state,
    wait_until_well,
};

/// The one line of the log.
const LINE: &str = "database cannot be written";

#[test]
fn a_full_disk_is_said_everywhere_and_stops_no_reads() {
    let folder = Folder::with_prefix("evonic-").unwrap();
    let disk = Disk::mount(folder.path().join("state"), "4m");
    let pair = Pair::spawn_in(folder, &Options::config(CONFIG)).answering();
    wait_until_well(&pair);
    let session = pair.session("runbook");
    disk.fill();
    let refused = poll::until(
        "a write is refused",
        Duration::from_secs(20),
        || {
            let answer = ask_for_session(&pair);
            (answer.status, answer.text())
        },
        |(status, text)| (*status != 201).then(|| (*status, text.clone())),
    );
    assert_eq!(refused.0, 507, "{refused:?}");
    wait_for_state(&pair, StoreState::DiskFull);
    let words = seen(&pair);
    assert_documented("no space left for database …", &words);
    assert_eq!(readyz(&pair).status, 503);
    let metrics = pair.request("GET", "/metrics", None).unwrap().text();
    assert!(metrics.contains("evonic_database_trouble{state=\"disk_full\"} 1"), "{metrics}");
    let said = lines(&pair, " WARN ") + lines(&pair, "ERROR ");
    for _ in 0..50 {
        assert_eq!(ask_for_session(&pair).status, 507);
        let _ = pair.expect(200, "GET", "/api/v1/sessions", None);
    }
    let more = lines(&pair, " WARN ") + lines(&pair, "ERROR ") - said;
    assert!(more <= 3, "{more} lines more: {}", pair.log());
    assert_eq!(lines(&pair, LINE), 1, "{}", pair.log());

    // One that has to start on it reads, and says why it does not write.
    let (_, generation) = pair.worker();
    let status = pair.kill_worker();
    assert_eq!(status.worker.expect("a worker").generation, generation + 1);
    wait_for_state(&pair, StoreState::DiskFull);
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert!(sessions.to_string().contains(&session), "{sessions}");
    assert_eq!(ask_for_session(&pair).status, 507);
    assert_eq!(pair.worker().1, generation + 1, "{}", pair.log());

    disk.empty();
    wait_until_well(&pair);
    let turn = pair.post(&session, "$ echo after");
    assert_eq!(pair.wait_for_turn(&turn)["state"], "completed");
    poll::until(
        "the log says that it is over",
        Duration::from_secs(10),
        || lines(&pair, "database is well again"),
        |count| (*count >= 1).then_some(()),
    );
    assert_eq!(pair.worker().1, generation + 1);
    drop(pair);
    drop(disk);
}

#[test]
fn a_service_that_starts_on_a_full_disk_serves_reads() {
    let folder = Folder::with_prefix("evonic-").unwrap();
    let disk = Disk::mount(folder.path().join("state"), "4m");
    let mut pair = Pair::spawn_in(folder, &Options::config(CONFIG)).answering();
    wait_until_well(&pair);
    let session = pair.session("runbook");
    pair.stop();
    disk.fill();
    pair.start_again(&Options::config(CONFIG), &[]);
    pair.wait("it serves", |status| status.state == State::Running);
    wait_for_state(&pair, StoreState::DiskFull);
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert!(sessions.to_string().contains(&session), "{sessions}");
    assert_eq!(ask_for_session(&pair).status, 507);
    disk.empty();
    wait_until_well(&pair);
    let _ = pair.session("runbook");
    drop(pair);
    drop(disk);
}

#[test]
fn a_database_that_cannot_be_written_is_read_and_named() {
    let mut pair = Pair::start(&Options::config(CONFIG));
    let session = pair.session("runbook");
    pair.stop();
    let file = database(&pair);
    run(&["mount", "--bind", file.to_str().unwrap()], &file);
    run(&["mount", "-o", "remount,ro,bind"], &file);
    pair.start_again(&Options::config(CONFIG), &[]);
    let found = wait_for_state(&pair, StoreState::ReadOnly);
    assert!(found.detail.contains(file.to_str().unwrap()), "{found:?}");
    let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
    assert!(sessions.to_string().contains(&session), "{sessions}");
    let answer = ask_for_session(&pair);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_documented(
        "database … cannot be written: attempt to write a readonly database",
        &seen(&pair),
    );
    assert!(report(&pair.status()).is_some());
    pair.stop();
    let _ = Command::new("umount").arg("-l").arg(&file).status();
}

#[test]
fn a_state_folder_that_cannot_be_written_is_named() {
    let folder = Folder::with_prefix("evonic-").unwrap();
    let disk = Disk::mount(folder.path().join("state"), "8m");
    let mut pair = Pair::spawn_in(folder, &Options::config(CONFIG)).answering();
    wait_until_well(&pair);
    let state = pair.state_dir();
    // Over itself, made elsewhere where nobody has anything open.
    let beside = pair.folder().join("beside");
    fs::create_dir(&beside).unwrap();
    run(&["mount", "--bind", state.to_str().unwrap()], &beside);
    run(&["mount", "-o", "remount,ro,bind"], &beside);
    run(&["mount", "--bind", beside.to_str().unwrap()], &state);
    let (pid, _) = pair.worker();
    Pair::signal(pid, nix::sys::signal::Signal::SIGKILL);
    let wanted = format!("the state folder {} cannot be written to", state.display());
    let log = poll::until(
        "the log names the folder",
        Duration::from_secs(20),
        || pair.log(),
        |log| log.contains(&wanted).then(|| log.clone()),
    );
    assert_documented("the state folder … cannot be written to by this user", &log);
    run(&["umount", "-l"], &state);
    run(&["umount", "-l"], &beside);
    wait_until_well(&pair);
    assert!(fs::metadata(database(&pair)).is_ok());
    pair.stop();
    drop(disk);
}

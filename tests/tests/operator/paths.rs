//! What stands in the way of the service's own files, and folders that are one.

use std::{fs, os::unix::fs::symlink, process::Command};

use evonic_parts::Folder;
use evonic_tests::{
    pair::{Options, Pair, program},
    troubleshooting::assert_documented,
};

use crate::said;

/// A supervisor that refuses to start in a folder that was made ready for it; what it says.
fn refused(prepare: impl Fn(&std::path::Path)) -> String {
    let folder = Folder::with_prefix("evonic-").expect("a folder");
    prepare(folder.path());
    let mut pair = Pair::spawn_in(folder, &Options::default());
    let code = pair.wait_for_exit();
    assert!(code.is_some_and(|code| code >= 64), "{code:?}: {}", pair.log());
    pair.log()
}

#[test]
fn what_is_in_the_way_of_a_socket_or_folder_is_named_and_left() {
    for name in ["supervisor.sock", "api.sock"] {
        let at = |folder: &std::path::Path| {
            fs::create_dir(folder.join("run")).expect("a folder");
            folder.join("run").join(name)
        };
        let log = refused(|folder| fs::write(at(folder), "precious").expect("a file"));
        assert_documented("is to be a socket, and is a regular file: move it away", &log);
        let log = refused(|folder| fs::create_dir(at(folder)).expect("a folder"));
        assert_documented("is to be a socket, and is a folder: move it away", &log);
        let log = refused(|folder| symlink("/nowhere", at(folder)).expect("a link"));
        assert_documented(
            "is to be a socket, and is a link to …, where there is nothing: move it away",
            &log,
        );
        assert!(log.contains(name) && !log.contains("in use"), "{log}");
    }
    let log = refused(|folder| fs::write(folder.join("run"), "").expect("a file"));
    assert_documented("cannot be made: … is a regular file; move it away", &log);
    let log = refused(|folder| {
        fs::create_dir(folder.join("state")).expect("a folder");
        symlink("/nowhere", folder.join("state/supervisor.lock")).expect("a link");
    });
    assert!(log.contains("supervisor.lock: it is a link to /nowhere, where there is"), "{log}");
    let log = refused(|folder| {
        fs::create_dir_all(folder.join("run/command.token")).expect("a folder");
    });
    assert!(log.contains("command.token: it is a folder: move it away"), "{log}");
    let log = refused(|folder| {
        fs::create_dir_all(folder.join("state/history.jsonl")).expect("a folder");
    });
    assert!(log.contains("history.jsonl: it is a folder: move it away"), "{log}");
}

#[test]
fn state_and_sockets_may_share_a_folder_under_one_name_or_two() {
    for linked in [false, true] {
        let folder = Folder::with_prefix("evonic-").expect("a folder");
        fs::create_dir(folder.path().join("state")).expect("a folder");
        let mut options = Options::default();
        if linked {
            symlink(folder.path().join("state"), folder.path().join("run")).expect("a link");
        } else {
            symlink("state", folder.path().join("run")).expect("a link");
            let state = folder.path().join("state").display().to_string();
            options.environment.push(("EVONIC_RUNTIME_DIR".to_owned(), state));
        }
        let mut pair = Pair::spawn_in(folder, &options).answering();
        pair.wait_for_successor(0);
        let output = pair.evonic(&["chat", "runbook", "$ echo at $((6 * 7))"]);
        assert!(said(&output).contains("at 42"), "{output:?}");
        assert_eq!(pair.evonic(&["restart"]).status.code(), Some(0));
        let mut second = Command::new(program("evonic-supervisor"));
        second.arg("--config").arg(pair.config_file()).envs(options.environment);
        let second = second.output().expect("it starts");
        assert!(said(&second).contains("another evonic-supervisor serves"), "{second:?}");
        assert_eq!(pair.stop(), Some(0));
    }
}

#[test]
fn a_notify_socket_that_an_outer_service_left_is_no_reason_not_to_start() {
    for address in ["/nowhere/notify", "@evonic-nobody-listens", "relative/x", &"x".repeat(200)] {
        let mut options = Options::default();
        options.environment.push(("NOTIFY_SOCKET".to_owned(), address.to_owned()));
        options.environment.push(("WATCHDOG_USEC".to_owned(), "1000".to_owned()));
        let pair = Pair::start(&options);
        assert_documented(
            "nobody listens at $NOTIFY_SOCKET; going on without systemd",
            &pair.log(),
        );
    }
}

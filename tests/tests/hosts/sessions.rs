//! Servers that let a connection do one thing at a time, or nothing.

use std::{
    fs,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use evonic_parts::Sshd;
use evonic_tests::{
    pair::Options,
    poll,
    testbed::{Ran, Testbed, ssh_settings},
    troubleshooting::assert_documented,
};
use serde_json::json;

use super::{add, check, refusal};

#[test]
fn one_session_at_a_time_serves_everything() {
    let server = Sshd::with("MaxSessions 1");
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::default());
    add(&testbed, "one", &server, &account);
    let (well, said) = check(&testbed, "one");
    assert!(well, "{said}");
    let ran = testbed.run(
        "one",
        "write a.txt \"needle\\n\"\n$ cat a.txt\nsearch needle\nlist .\ncopy a.txt b.txt\n\
         read b.txt\n$ echo done",
    );
    assert!(ran.is_completed(), "{ran:#?} {}", server.log());

    let began = Instant::now();
    thread::scope(|scope| {
        let (testbed, account) = (&testbed, &account);
        let working: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn(move || {
                    let runbook = format!(
                        "$ sleep 0.3; echo {number} >>log\nwrite {number}.txt \"{number}\"\ncopy \
                         {number}.txt copy-{number}.txt\nread copy-{number}.txt\nsearch {number}"
                    );
                    let ran = testbed.run("one", &runbook);
                    assert!(ran.is_completed(), "{number}: {ran:#?}");
                    let copy = account.home.join(format!("copy-{number}.txt"));
                    assert_eq!(fs::read_to_string(copy).expect("a copy"), number.to_string());
                })
            })
            .collect();
        working.into_iter().for_each(|worker| worker.join().expect("no panic"));
    });
    println!("  four agents, one session a connection: {:?}", began.elapsed());
}

/// Each command holds the only session of its connection: more of them wait for their turn, and a
/// cancelled one is killed by what it held itself.
#[test]
fn more_commands_than_sessions_wait_and_can_be_cancelled() {
    let server = Sshd::with("MaxSessions 1");
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::config("[ssh]\nper_host = 2\n"));
    add(&testbed, "one", &server, &account);
    let began = Instant::now();
    thread::scope(|scope| {
        let run = || {
            let ran =
                testbed.run("one", "$ sleep 1; echo done\nwrite a.txt \"x\"\ncopy a.txt b.txt");
            assert!(ran.is_completed() && ran.output().starts_with("done\n"), "{ran:#?}");
        };
        let running: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        running.into_iter().for_each(|ran| ran.join().expect("no panic"));
    });
    assert!(began.elapsed() > Duration::from_secs(3), "one at a time: {:?}", began.elapsed());

    let session = testbed.pair.session("one");
    let turn = testbed.pair.post(&session, "$ echo begun; sleep 1000");
    poll::until(
        "it runs",
        Duration::from_secs(30),
        || Ran { ended: json!(null), events: testbed.events(&session, &turn) }.output(),
        |output| output.contains("begun").then_some(()),
    );
    let began = Instant::now();
    let path = format!("/api/v1/turns/{turn}/cancel");
    let answer = testbed.pair.request("POST", &path, None).expect("an answer");
    assert!(answer.status < 300, "{}", answer.text());
    let ended = testbed.pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[test]
fn a_server_that_opens_no_session_is_told_at_once() {
    let server = Sshd::with("MaxSessions 0");
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::default());
    add(&testbed, "none", &server, &account);
    let began = Instant::now();
    let (well, said) = check(&testbed, "none");
    assert!(!well && began.elapsed() < Duration::from_secs(20), "{:?} {said}", began.elapsed());
    assert_documented("the server opens no session … MaxSessions", &said);
}

#[test]
fn a_server_that_ends_what_it_let_in_is_told_at_once() {
    // The folder is the user's own: sshd refuses to confine anybody to it.
    let server = Sshd::with("ChrootDirectory %h\nForceCommand internal-sftp");
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::default());
    add(&testbed, "chroot", &server, &account);
    let began = Instant::now();
    let message = refusal(&testbed.run("chroot", "read a.txt"));
    let took = began.elapsed();
    assert!(server.log().contains("bad ownership or modes"), "{}", server.log());
    assert_documented("the server ends the connection after it … ChrootDirectory", &message);
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (well, said) = check(&testbed, "chroot");
    assert!(!well && said.contains("ChrootDirectory"), "{said}");
}

#[test]
fn a_server_that_closes_before_its_banner_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let server = Sshd::start();
    let account = server.account("/bin/sh", "home");
    let testbed = Testbed::local(&Options::default());
    let mut settings = ssh_settings(&server, &account);
    settings["port"] = json!(port);
    testbed.workplace("closes", "ssh", &settings);
    let began = Instant::now();
    let (well, said) = check(&testbed, "closes");
    assert!(!well && said.contains("it said nothing"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

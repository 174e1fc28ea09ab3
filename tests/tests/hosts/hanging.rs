//! Hosts that do not answer.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use evonic_tests::{
    pair::Options, poll, process, testbed::Testbed, troubleshooting::assert_documented,
};

use super::{AS_ASKED, add, check, forced, refusal};

const QUICK: &str = "[ssh]\nconnect_timeout = \"2s\"\nidle_timeout = \"300ms\"\nretries = 1\n";

/// Longer than the deadlines of a step, far shorter than a wait without one.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_host_whose_sftp_does_not_begin_is_told_in_time_and_holds_up_nobody() {
    let hung = "case $SSH_ORIGINAL_COMMAND in *sftp*) exec sleep 1000 ;; esac\nexec \"$SHELL\" -c \
                \"$SSH_ORIGINAL_COMMAND\"";
    let (server, folder) = forced(hung);
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::config(QUICK));
    add(&testbed, "hung", &server, &account);

    let began = Instant::now();
    let messages: Vec<_> = thread::scope(|scope| {
        let ask = || refusal(&testbed.run("hung", "read notes.txt"));
        let asking: Vec<_> = (0..5).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|asked| asked.join().expect("no panic")).collect()
    });
    let took = began.elapsed();
    for message in &messages {
        assert!(message.contains("SFTP") && message.contains("ForceCommand"), "{message}");
    }
    assert!(took < LONG, "five at once took {took:?}");

    let began = Instant::now();
    let (well, said) = check(&testbed, "hung");
    assert!(!well && began.elapsed() < LONG, "{:?}: {said}", began.elapsed());
    assert_documented("home … SFTP failed: no answer within … sftp does not begin", &said);

    // Repaired, it works.
    super::script(folder.path(), "forced", AS_ASKED);
    let ran = testbed.run("hung", "write notes.txt \"x\"\nread notes.txt");
    assert!(ran.is_completed(), "{ran:#?}");
    println!("  five at once {took:?}");
}

#[test]
fn what_sends_back_what_it_gets_is_told_at_once() {
    let (server, _folder) = forced(
        "case $SSH_ORIGINAL_COMMAND in *sftp*) exec cat ;; esac\nexec \
                                    \"$SHELL\" -c \"$SSH_ORIGINAL_COMMAND\"",
    );
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::default());
    add(&testbed, "echo", &server, &account);
    let began = Instant::now();
    let (well, said) = check(&testbed, "echo");
    assert!(!well && said.contains("sends back what it gets"), "{said}");
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_the_server_closes_while_idle_gives_its_handle_back() {
    let (testbed, _account) = Testbed::ssh(&Options::config("[ssh]\nidle_timeout = \"1h\"\n"));
    let ran = testbed.run("ssh", "write a.txt \"x\"\n$ echo hi");
    assert!(ran.is_completed(), "{ran:#?}");
    let owned = || {
        let fd = testbed.pair.status().worker.expect("a worker").fd;
        fd.owned.get("ssh").copied().unwrap_or(0)
    };
    assert!(owned() > 0, "there are idle connections");
    assert!(testbed.server.as_ref().expect("a server").cut() > 0);
    poll::until("the handles are back", Duration::from_secs(10), owned, |owned| {
        (*owned == 0).then_some(())
    });
    // Nothing spins on what is closed.
    let pid = testbed.pair.worker().0;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("threads").filter(|task| {
        let name = task.as_ref().expect("a thread").path().join("comm");
        fs::read_to_string(name).is_ok_and(|name| name.starts_with("evonic-ssh"))
    });
    assert_eq!(threads.count(), 0, "{:#?}", process::links(pid));
}

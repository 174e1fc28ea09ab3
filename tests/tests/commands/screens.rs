//! What is left of an output.

use std::time::Duration;

use evonic_tests::{
    pair::{Options, Pair},
    poll,
    testbed::Testbed,
    troubleshooting::assert_documented,
};

use super::contents;

/// Every kind of output, as a command that any shell runs, and what is left of it.
const OUTPUTS: [(&str, &str); 7] = [
    ("for n in 10 50 100; do printf '\\rfetching %s%%' $n; done; echo", "fetching 100%\n"),
    ("printf '\\033[1;32mok\\033[0m \\033]0;title\\007done\\n'", "ok done\n"),
    ("printf 'a: 1\\nb: 1\\n\\033[2A\\033[2Ka: 2\\n\\033[2Kb: 2\\n'", "a: 2\nb: 2\n"),
    ("printf 'one\\r\\ntwo\\r\\n'", "one\ntwo\n"),
    (
        "printf 'x\\000y'; printf 'text\\000' | head -c 0",
        "x\ny\n[zero bytes are shown as ends of lines]",
    ),
    (
        "echo before; head -c 5000 /dev/zero; echo after",
        "before\n[binary output, 5,000 bytes, not shown]\nafter\n",
    ),
    ("printf '\\303'; sleep 0.1; printf '\\251\\n'", "é\n"),
];

#[test]
fn it_is_what_a_person_would_see_on_every_workplace() {
    let (testbed, _account) = Testbed::whole(&Options::default());
    let runbook: String =
        OUTPUTS.iter().map(|(command, _)| format!("$ {command}\n")).collect::<String>()
            + "$ head -c 100000 /dev/urandom\n$ head -c 3000 /bin/busybox\n";
    for agent in ["runbook", "ssh", "docker"] {
        let (seen, ran) = contents(&testbed, agent, &runbook);
        assert!(ran.is_completed(), "{agent}: {ran:#?}");
        for ((command, expected), seen) in OUTPUTS.iter().zip(&seen) {
            assert_eq!(seen, expected, "{agent}: {command}");
        }
        let [.., random, program] = &seen[..] else { panic!("{seen:?}") };
        assert!(random.contains("[binary output, ") && random.len() < 300, "{random:?}");
        assert!(!random.contains('\u{fffd}'), "{random:?}");
        assert_eq!(program, "[binary output, 3,000 bytes (an ELF program or library), not shown]");
        assert_documented("[binary output, … bytes … not shown]", program);
        assert_documented("[zero bytes are shown as ends of lines]", &seen[4]);
        // The events have all of it, as it came.
        let raw = ran.output();
        assert!(raw.contains("\rfetching 50%") && raw.contains("\u{1b}[1;32mok"), "{raw:?}");
    }
}

/// Git draws its progress where it is told to.
#[test]
fn the_progress_of_a_real_program_is_its_last_state() {
    let testbed = Testbed::local(&Options::default());
    let runbook = "$ git init -q a && cd a && git config user.email a@b && git config user.name a \
                   && seq 300 | while read n; do echo $n >f$n; done && git add . && \
                   git commit -qm all\n\
                   $ git clone --progress --no-local a b 2>&1\n";
    let (seen, ran) = contents(&testbed, "runbook", runbook);
    assert!(ran.is_completed(), "{ran:#?}");
    let raw = ran.output();
    assert!(raw.matches("Counting objects").count() > 2 && raw.contains('\r'), "{raw:?}");
    assert_eq!(seen[1].matches("Counting objects").count(), 1, "{}", seen[1]);
    assert!(seen[1].contains("Counting objects: 100% (302/302), done."), "{}", seen[1]);
    assert!(!seen[1].contains('\r') && !seen[1].contains('\u{1b}'), "{:?}", seen[1]);
}

#[test]
fn full_screen_programs_and_cleared_screens_are_told_of() {
    let testbed = Testbed::local(&Options::default());
    let runbook = "$ echo before; printf '\\033[?1049h\\033[H\\033[2Jtop - 12:00\\n'\n\
                   $ printf 'old\\n\\033[H\\033[2Jnew\\n'\n\
                   on failure continue\n\
                   timeout 1s\n\
                   $ printf 'Continue? [y/N] '; sleep 100\n";
    let (seen, ran) = contents(&testbed, "runbook", runbook);
    assert!(ran.is_completed(), "{ran:#?}");
    assert_documented("[a full-screen program had the screen to the end; it showed:]", &seen[0]);
    assert!(seen[0].starts_with("before\n[") && seen[0].ends_with("\ntop - 12:00"), "{seen:?}");
    assert_documented(
        "[the screen was cleared: … that stood there before are not shown]",
        &seen[1],
    );
    assert_documented(
        "timed out after … its last words, … look like a question: there is no terminal here",
        &seen[2],
    );
}

/// What the next worker makes of it is what the first one would have made.
#[test]
fn a_takeover_in_the_middle_changes_nothing() {
    let pair = Pair::start(&Options::default());
    let testbed = Testbed { pair, server: None, engine: None };
    let session = testbed.pair.session("runbook");
    let command = "$ for n in $(seq 1 300); do printf '\\rline %s \\303' $n; \
                   printf '\\251\\033[K'; [ $n != 100 ] || until [ -e go ]; do sleep 0.02; done; \
                   done; echo; head -c 1000 /dev/zero\n";
    let turn = testbed.pair.post(&session, command);
    let shown = || {
        let events = testbed.events(&session, &turn);
        events.iter().filter(|event| event["type"] == "tool.output").count()
    };
    poll::until("output", Duration::from_secs(30), shown, |&count| (count > 0).then_some(()));
    let _status = testbed.pair.kill_worker();
    let resumed = || {
        let events = testbed.events(&session, &turn);
        events.iter().filter(|event| event["type"] == "turn.resumed").count()
    };
    poll::until("a takeover", Duration::from_secs(30), resumed, |&count| (count > 0).then_some(()));
    let go = "$ touch go\n";
    assert!(testbed.run("runbook", go).is_completed());
    let ended = testbed.pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "completed", "{ended}");
    let events = testbed.events(&session, &turn);
    let content = events.iter().find(|event| event["type"] == "tool.completed").expect("a result");
    assert_eq!(content["content"], "line 300 é\n[binary output, 1,000 bytes, not shown]");
}

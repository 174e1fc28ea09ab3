//! Commands that want a terminal, or somebody before it.

use std::time::Instant;

use evonic_tests::{pair::Options, testbed::Testbed, troubleshooting::assert_documented};
use serde_json::json;

use super::contents;

/// Each ends by itself, and at once.
const PROGRAMS: [&str; 20] = [
    "vim notes.txt",
    "nano notes.txt",
    "ed notes.txt",
    "less notes.txt",
    "more notes.txt",
    "man ls",
    "top",
    "tmux",
    "sudo -u nobody true",
    "passwd",
    "su nobody",
    "ssh -o ConnectTimeout=5 -p 1 127.0.0.1",
    "read -r line; echo read $?",
    "python3 -c 'print(input(\"name: \"))'",
    "python3",
    "cat",
    "git -C r log",
    "cat </dev/tty",
    "stty size",
    "ssh-keygen -f key -N '' -q </dev/null; ssh-keygen -p -f key",
];

/// Those of which a host makes more than a sandbox does.
const ON_A_HOST: [&str; 5] =
    ["vim notes.txt", "sudo -u nobody true", "passwd", "su nobody", "cat </dev/tty"];

/// Runs an editor on something: how, and by which program.
const EDITS: [&str; 6] = [
    "cd r && git commit --allow-empty",
    "cd r && git rebase -i --root",
    "cd r && git tag -a one",
    "eval \"$EDITOR notes.txt\"",
    "$VISUAL notes.txt",
    "set -- $EDITOR notes.txt; \"$@\"",
];

const REPOSITORY: &str = "$ git init -q r && cd r && git config user.email a@b && \
                          git config user.name a && git commit -q --allow-empty -m one && \
                          echo text >../notes.txt\n";

fn steps(commands: &[&str]) -> String {
    commands.iter().map(|command| format!("$ {command}\n")).collect()
}

#[test]
fn what_wants_a_terminal_ends_at_once() {
    let (testbed, _account) = Testbed::ssh(&Options::default());
    for (agent, programs) in [("runbook", &PROGRAMS[..]), ("ssh", &ON_A_HOST)] {
        let begun = Instant::now();
        let runbook =
            REPOSITORY.to_owned() + "on failure continue\ntimeout 20s\n" + &steps(programs);
        let (seen, ran) = contents(&testbed, agent, &runbook);
        assert!(ran.is_completed(), "{agent}: {ran:#?}");
        assert_documented("it waited for keys, and there is no terminal here", &seen[1]);
        for (program, content) in programs.iter().zip(&seen[1..]) {
            assert!(!content.contains("[timed out"), "{agent}: {program}: {content}");
            assert!(!content.contains('\u{1b}'), "{agent}: {program}: {content:?}");
        }
        assert_eq!(seen.len(), programs.len() + 1);
        println!("  {agent}: {} programs in {:?}", programs.len(), begun.elapsed());
    }
}

#[test]
fn an_editor_says_that_there_is_no_terminal() {
    let (testbed, _account) = Testbed::whole(&Options::default());
    let edits = "on failure continue\ntimeout 20s\n".to_owned() + &steps(&EDITS);
    for (agent, runbook, from) in [
        ("runbook", REPOSITORY.to_owned() + &edits, 1),
        ("ssh", REPOSITORY.to_owned() + &edits, 1),
        // There is no git in its image.
        ("docker", "on failure continue\ntimeout 20s\n".to_owned() + &steps(&EDITS[3..]), 0),
    ] {
        let (seen, ran) = contents(&testbed, agent, &runbook);
        assert!(ran.is_completed(), "{agent}: {ran:#?}");
        assert!(seen.len() > from, "{agent}: {ran:#?}");
        for content in &seen[from..] {
            assert_documented("there is no terminal here, and so no editor: …", content);
            assert!(content.contains("[exit status "), "{agent}: {content}");
        }
    }
}

/// `crontab` gives its editor to a shell, `visudo` splits it at blanks.
#[test]
fn crontab_and_visudo_end_with_the_same_words() {
    // In a sandbox `crontab` has no right to the tables of its user.
    let (testbed, _account) = Testbed::ssh(&Options::default());
    let runbook = "on failure continue\ntimeout 20s\n\
                   $ EDITOR=\"$EDITOR\" crontab -e\n\
                   $ (umask 077; : >sudoers) && /usr/sbin/visudo -f sudoers\n";
    let (seen, ran) = contents(&testbed, "ssh", runbook);
    assert!(ran.is_completed() && seen.len() == 2, "{ran:#?}");
    for content in seen {
        assert_documented("there is no terminal here, and so no editor: …", &content);
    }
}

#[test]
fn what_the_workplace_or_the_command_sets_wins() {
    let engine = evonic_parts::Engine::shared();
    let testbed = Testbed::local(&Options {
        environment: vec![("EDITOR".to_owned(), "true".to_owned())],
        ..Options::config("[tools]\nenvironment = [\"EDITOR\"]\n")
    });
    let mut settings = evonic_tests::testbed::docker_settings(&engine);
    settings["environment"] = json!({"VISUAL": "true", "PAGER": "less", "TERM": "vt100"});
    testbed.workplace("docker", "docker", &settings);
    let shows = "$ echo \"$EDITOR,$VISUAL,$GIT_EDITOR,$PAGER,$GIT_PAGER,$TERM\"\n\
                 $ EDITOR=ed PAGER=more sh -c 'echo $EDITOR,$PAGER'\n";
    for (agent, expected) in
        [("runbook", "true,,,cat,cat,dumb\n"), ("docker", ",true,,less,cat,vt100\n")]
    {
        let (seen, _) = contents(&testbed, agent, shows);
        assert_eq!(seen, [expected, "ed,more\n"], "{agent}");
    }
}

#[test]
fn nothing_waits_for_a_terminal_in_a_container() {
    let testbed = Testbed::docker(&Options::default());
    let programs = [
        "vi notes.txt",
        "less notes.txt",
        "more notes.txt",
        "read x; echo $?",
        "cat",
        "cat </dev/tty",
        "passwd",
        "su agent",
    ];
    let runbook = "on failure continue\ntimeout 20s\n".to_owned() + &steps(&programs);
    let (seen, ran) = contents(&testbed, "docker", &runbook);
    assert!(ran.is_completed() && seen.len() == programs.len(), "{ran:#?}");
    for (program, content) in programs.iter().zip(&seen) {
        assert!(!content.contains("[timed out"), "{program}: {content}");
    }
}

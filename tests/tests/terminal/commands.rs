//! Every command, as clap names them: against a real pair, and against impostors.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::symlink,
    process::Command,
    thread,
};

use evonic_tests::pair::{Options, Pair, program};
use serde_json::json;

use crate::{
    impostor::{self, ANSWERS, Answers},
    screen::{EVIL, SHOWN, assert_harmless, at_terminal},
};

/// The arguments with which each command is run; those of no command that is known fail the test.
fn arguments(command: &str, session: &str) -> Vec<Vec<String>> {
    let files = ["local:evil", "local:copy"];
    let lines: Vec<Vec<&str>> = match command {
        "status" => vec![vec![], vec!["--watch"], vec!["--json"], vec!["--watch", "--json"]],
        "chat" => vec![
            vec!["runbook", "$ printf 'x\\033]0;pwned\\007\\033[2J\\r\\nforged\\r'"],
            vec!["runbook", "--json", "$ printf 'x\\033]0;pwned\\007\\302\\233'"],
            vec!["runbook", EVIL],
            vec!["runbook", "--session", session],
        ],
        "agent add" => vec![vec!["named", "--instructions", EVIL], vec!["b", "--model", EVIL]],
        "agent set" => vec![vec!["evil", "--instructions", EVIL], vec!["evil", "--tools", EVIL]],
        "agent show" => vec![vec!["evil"], vec!["evil", "--json"]],
        "session show" => vec![vec![session], vec![session, "--json"]],
        "agent list" | "model list" | "session list" | "workplace list" | "key list" | "audit"
        | "history" | "usage" | "budget list" | "census" | "doctor" | "config" => {
            vec![vec![], vec!["--json"]]
        }
        "workplace show" => vec![vec!["far"], vec!["far", "--json"]],
        "workplace check" => vec![vec!["far"], vec!["far", "--json"]],
        "workplace add" => vec![vec!["c", "-k", "local", "--root", EVIL]],
        "workplace set" => vec![vec!["far", &format!("folder={EVIL}").leak()[..]]],
        "sandbox build" => vec![vec!["--workplace", EVIL], vec!["--workplace", "boxes"]],
        "cp" => vec![
            [&["-r"], &files[..]].concat(),
            [&["-r", "--json"], &files[..]].concat(),
            vec![EVIL, "local:x"],
            vec!["local:x", "nowhere:x"],
        ],
        "key add" => vec![vec!["named", "--scope", "read"], vec!["c", "-s", "run", "-a", EVIL]],
        "budget add" => vec![
            vec!["all", "--period", "day", "--tokens", "1000000"],
            vec!["b", "-p", "month", "--cost", "1.5", "--agent", EVIL],
        ],
        "budget show" => vec![vec!["all"], vec!["all", "--json"], vec![EVIL]],
        "budget set" => vec![vec!["all", "--cost", "1"], vec!["all", "--cost", EVIL]],
        "session compact" => vec![vec![session], vec![EVIL]],
        "model check" => vec![vec!["runbook"], vec!["runbook", "--json"], vec![EVIL]],
        "session export" => vec![vec![session], vec!["--all"]],
        "session import" => vec![vec![EVIL], vec![EVIL, "--agent", EVIL, "--json"]],
        "backup" => vec![vec![EVIL]],
        // The service runs.
        "restore" => vec![vec![EVIL]],
        "restart" => vec![vec!["--no-wait"], vec!["--json"]],
        "completions" => vec![vec!["bash"], vec!["zsh"], vec!["fish"], vec!["elvish"]],
        "man" => vec![vec![], vec!["chat"], vec![EVIL]],
        "worker" => vec![vec![]],
        "agent rm" | "session rm" | "workplace rm" | "budget rm" | "key revoke" => {
            vec![vec!["nobody"]]
        }
        unknown => panic!("say in this test how `evonic {unknown}` is run"),
    };
    lines.into_iter().map(|line| line.into_iter().map(str::to_owned).collect()).collect()
}

/// Commands that must show a hostile text which is stored, or comes from a machine.
const SHOWING: [&str; 7] = [
    "agent show evil",
    "session list",
    "session show",
    "workplace check far",
    "chat runbook $",
    "cp -r local:evil",
    "workplace show far",
];

/// A pair whose sessions, agents, workplaces and files a stranger has named.
fn hostile_pair() -> (Pair, String) {
    let pair = Pair::start(&Options::default());
    let session = json!({ "agent": "runbook", "title": EVIL });
    let session = pair.expect(201, "POST", "/api/v1/sessions", Some(&session));
    let session = session["id"].as_str().expect("an id").to_owned();
    let turn = pair.post(&session, EVIL);
    let _ = pair.wait_for_turn(&turn);
    let agent = json!({ "name": "evil", "model": "runbook", "instructions": EVIL });
    let _ = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let settings = json!({
        "host": "127.0.0.1", "port": hostile_ssh_server(), "host_keys": "accept_new",
        "user": "x\u{202e}resu",
    });
    let far = json!({ "name": "far", "kind": "ssh", "settings": settings });
    let _ = pair.expect(201, "POST", "/api/v1/workplaces", Some(&far));
    let engine = format!("unix://{}", pair.state_dir().join("none.sock").display());
    let boxes = json!({ "name": "boxes", "kind": "docker", "settings": { "engine": engine } });
    let _ = pair.expect(201, "POST", "/api/v1/workplaces", Some(&boxes));
    let shown = pair.expect(200, "GET", "/api/v1/workplaces?limit=50", None);
    assert!(shown.to_string().contains("far"), "{shown}");
    let turn = pair.post(&session, "$ pwd");
    let _ = pair.wait_for_turn(&turn);
    (pair, session)
}

/// A server that says who it is in its own way, and closes.
fn hostile_ssh_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let banner = EVIL.replace(['\r', '\n'], " ");
            // Whoever looked only at the port is gone.
            let _ = client.write_all(format!("SSH-2.0-{banner}\r\n").as_bytes());
            let _ = client.read(&mut [0; 512]);
        }
    });
    port
}

/// A folder and a link with hostile names, in the workplace `local`.
fn hostile_files(pair: &Pair) {
    let folder = pair.state_dir().join("workplace").join("evil");
    fs::create_dir_all(&folder).expect("a folder");
    let name = EVIL.replace('/', "");
    fs::write(folder.join(&name), "content").expect("a file");
    symlink("nowhere", folder.join(format!("{name}.link"))).expect("a link");
}

fn evonic(pair: &Pair, arguments: &[String]) -> Command {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = pair.evonic_command(&arguments);
    // `backup` makes a file of that name.
    command.current_dir(pair.state_dir());
    command
}

#[test]
fn no_command_of_a_real_pair_sends_a_terminal_what_strangers_wrote() {
    let (pair, session) = hostile_pair();
    hostile_files(&pair);
    let mut shown: Vec<&str> = Vec::new();
    for path in evonic::console::commands() {
        for arguments in arguments(&path.join(" "), &session) {
            let words = [path.clone(), arguments].concat();
            let what = words.join(" ");
            let ends = !words.iter().any(|word| word == "--watch");
            let sent = at_terminal(&evonic(&pair, &words), ends);
            assert_harmless(&what, &sent);
            assert!(!sent.is_empty(), "{what} says nothing");
            let escape = sent.contains("\\x{1b}") || sent.contains("\\x{202e}");
            shown.extend(SHOWING.iter().filter(|name| what.starts_with(**name) && escape));
        }
        // An argument that is too many, an option that is not there, a value that is none.
        for wrong in [&[EVIL, EVIL, EVIL, EVIL][..], &[&format!("--{EVIL}")], &["--config", EVIL]] {
            let wrong = wrong.iter().map(|&word| word.to_owned()).collect();
            let words = [path.clone(), wrong].concat();
            assert_harmless(&words.join(" "), &at_terminal(&evonic(&pair, &words), true));
        }
    }
    for wanted in SHOWING {
        assert!(shown.contains(&wanted), "{wanted}: its hostile text was never shown");
    }
}

#[test]
fn no_command_sends_a_terminal_what_an_impostor_answers() {
    let (pair, session) = hostile_pair();
    // So that there is a history.
    let _ = pair.kill_worker();
    let mut shown = Vec::new();
    for answers in ANSWERS {
        let folder = tempfile::tempdir().expect("a folder");
        impostor::serve(folder.path(), &pair, answers);
        for path in evonic::console::commands() {
            // A copy whose worker is gone is asked for again for a minute.
            if path == ["cp"] && matches!(answers, Answers::Nonsense) {
                continue;
            }
            let words = [path.clone(), arguments(&path.join(" "), &session).remove(0)].concat();
            let mut command = evonic(&pair, &words);
            command.env("EVONIC_RUNTIME_DIR", folder.path());
            let what = format!("{} ({answers:?})", words.join(" "));
            let sent = at_terminal(&command, true);
            assert_harmless(&what, &sent);
            if sent.contains(SHOWN) {
                shown.push(what);
            }
        }
    }
    for wanted in [
        "status",
        "history",
        "census",
        "restart",
        "doctor",
        "agent list (Problem(500)",
        "agent rm",
        "workplace check far (Events)",
        "cp",
        "sandbox build",
        "key list (Problem(403)",
    ] {
        assert!(shown.iter().any(|what| what.starts_with(wanted)), "{wanted}: not in {shown:#?}");
    }
}

#[test]
fn the_supervisor_says_what_is_wrong_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("evonic.toml");
    let escaped: String = EVIL.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    fs::write(&file, format!("\"{escaped}\" = 1\nlog = \"{escaped}\"\n")).expect("a file");
    let file = file.to_str().expect("text");
    for arguments in
        [&["--config", file][..], &["--config", EVIL], &[&format!("--{EVIL}")], &[EVIL]]
    {
        let mut command = Command::new(program("evonic-supervisor"));
        command.args(arguments).env("EVONIC_RUNTIME_DIR", folder.path());
        let sent = at_terminal(&command, true);
        assert_harmless(&format!("{arguments:?}"), &sent);
        let shown = ["\\u{1b}]0;pwned", "\\x{1b}]0;pwned"].map(|shown| sent.contains(shown));
        assert!(shown.contains(&true), "{arguments:?}: {sent}");
        // Of an error one line: a line end in what it quotes makes no other.
        let whole = |line: &str| line.contains("forged") == line.contains("pwned");
        assert!(sent.lines().all(whole), "{arguments:?}: {sent}");
    }
}

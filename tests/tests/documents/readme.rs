//! Every command of the README, as typed. Those of `make` are typed by `tests/rehearsal.sh`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use evonic_parts::{Account, Engine, Sshd};
use evonic_tests::pair::{Options, Pair, program};

use super::{code, is_evonic};

/// Commands that are not typed here.
const ELSEWHERE: [(&str, &str); 3] = [
    ("evonic worker", "the supervisor starts it"),
    ("evonic sandbox build", "it downloads an image from a registry"),
    ("systemctl enable --now evonic", "`install` runs it in a booted Debian"),
];

/// What the reader fills in.
fn filled(command: &str, user: &str) -> String {
    let command = match command.split_whitespace().nth(1) {
        Some("agent") => command.replace("--model NAME", "--model runbook"),
        Some("model") => command.replace("NAME", "runbook"),
        _ => command.to_owned(),
    };
    command.replace("NAME", "reader").replace("--user ops", &format!("--user {user}"))
}

/// Types a command in a folder that has the programs where a build puts them.
fn typed(pair: &Pair, folder: &Path, command: &str) -> Output {
    let programs = program("evonic").parent().expect("a folder").to_owned();
    let path = std::env::var("PATH").expect("a search path");
    // A command that shows changes runs until it is interrupted.
    let command = match command.contains("--watch") {
        true => format!("timeout 3 {command}; test $? = 124"),
        false => command.to_owned(),
    };
    Command::new("sh")
        .args(["-c", &command])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("EVONIC_CONFIG", pair.config_file())
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("a shell")
}

/// The README's host, as an SSH client's configuration knows it.
fn describe_host(server: &Sshd, account: &Account) -> std::path::PathBuf {
    let file = server.folder().join("config");
    let text = format!(
        "Host box.example.org\n  HostName 127.0.0.1\n  Port {}\n  IdentityFile {}\n  \
         HostKeyAlias [127.0.0.1]:{}\n  UserKnownHostsFile {}\n",
        server.port(),
        account.key.display(),
        server.port(),
        server.known_hosts().display(),
    );
    fs::write(&file, text).expect("a file");
    file
}

#[test]
fn every_command_of_the_readme_works_as_typed() {
    let readme = include_str!("../../../README.md");
    let server = Sshd::start();
    let account = server.account("/bin/bash", "home");
    let results = account.home.join("results");
    fs::create_dir(&results).expect("a folder");
    fs::write(results.join("one.txt"), "1").expect("a file");
    fs::set_permissions(&results, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("a mode");
    let config = describe_host(&server, &account);
    let engine = Engine::shared();
    let docker = format!("[docker]\nengine = {:?}\n", engine.address());
    let pair = Pair::start(&Options::config(&docker));

    let folder = tempfile::tempdir().expect("a folder");
    let programs = program("evonic").parent().expect("a folder").to_owned();
    fs::create_dir(folder.path().join("target")).expect("a folder");
    symlink(programs, folder.path().join("target/debug")).expect("a link");

    let mut count = 0;
    for line in code(readme) {
        let command = line.split(" # ").next().unwrap_or(line).trim();
        let words: Vec<&str> = command.split_whitespace().collect();
        let elsewhere = ELSEWHERE.iter().any(|(known, _)| *known == command);
        // Output of the commands before it, where there is no second word that is a command.
        let is_command = words.first().is_some_and(|word| is_evonic(word))
            && words.get(1).is_some_and(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        if elsewhere || !is_command {
            continue;
        }
        let command = filled(command, &account.name);
        let output = typed(&pair, folder.path(), &command);
        assert!(output.status.success(), "README: {command}: {output:?}\n{}", pair.log());
        if command.contains("workplace add box") {
            // The reader's own host is in the reader's own file.
            let set = format!("evonic workplace set box config_file={}", config.display());
            let output = typed(&pair, folder.path(), &set);
            assert!(output.status.success(), "{set}: {output:?}");
        }
        count += 1;
    }
    assert!(count >= 15, "the README has commands: {count}");
    let copied = pair.state_dir().join("workplace/results/one.txt");
    assert_eq!(fs::read_to_string(copied).expect("it was copied"), "1");
}

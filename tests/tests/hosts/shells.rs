//! Login shells that print.

use std::fs;

use evonic_parts::Sshd;
use evonic_tests::{pair::Options, testbed::Testbed};
use tempfile::TempDir;

use super::{AS_ASKED, add, forced, script};

/// What each shell prints: lines, a zero byte, what looks like the answer to a search and the
/// beginning of an SFTP packet, a complaint.
const NOISE: &str = "echo Welcome; printf '51\\000/etc\\000\\000\\000\\000\\005'; echo noise >&2";

/// The same for shells whose `printf` and redirections are others'.
fn noise(folder: &TempDir) -> String {
    script(folder.path(), "noise", NOISE).display().to_string()
}

#[test]
fn no_answer_is_falsified_by_a_shell_that_prints_whatever_its_kind() {
    let folder = TempDir::new().expect("a folder");
    let noise = noise(&folder);
    let wrapper = script(folder.path(), "shell", &format!("{noise}\nexec /bin/dash \"$@\""));
    let testbed = Testbed::local(&Options::default());
    let plain = Sshd::start();
    let (through_shell, _script) = forced(AS_ASKED);
    for (name, shell, file) in [
        ("bash", "/bin/bash", ".bashrc"),
        ("zsh", "/bin/zsh", ".zshenv"),
        ("fish", "/usr/bin/fish", ".config/fish/config.fish"),
        ("tcsh", "/bin/tcsh", ".tcshrc"),
        ("dash", wrapper.to_str().expect("text"), ".profile"),
    ] {
        for (kind, server) in [("plain", &plain), ("forced", &through_shell)] {
            let name = format!("{name}-{kind}");
            let account = server.account(shell, &format!("home of {name}"));
            let file = account.home.join(file);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(&file, format!("{noise}\n")).expect("a file");
            add(&testbed, &name, server, &account);
            let ran = testbed.run(
                &name,
                &format!(
                    "write notes/a.txt \"needle here\\n\"\nsearch needle in notes\nlist notes\n\
                     read ~{0}/notes/a.txt\n$ cat notes/a.txt\nsearch nothing-like-it\n\
                     copy notes/a.txt notes/b.txt",
                    account.name
                ),
            );
            assert!(ran.is_completed(), "{name}: {ran:#?}");
            let results: Vec<_> = ran.results().into_iter().map(|(_, content)| content).collect();
            assert!(results.iter().all(|said| !said.contains("Welcome")), "{name}: {results:#?}");
            assert!(results[1].contains("notes/a.txt:1"), "{name}: {results:#?}");
            assert!(results[2].contains("a.txt"), "{name}: {results:#?}");
            assert!(results[3].contains("needle here"), "{name}: {results:#?}");
            assert!(!results[5].contains("notes/"), "{name}: {results:#?}");
            assert!(ran.output().starts_with("needle here\n"), "{name}: {}", ran.output());
            assert_eq!(
                fs::read(account.home.join("notes/b.txt")).expect("a copy"),
                b"needle here\n"
            );
        }
    }
}

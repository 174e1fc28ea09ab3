//! A pseudo-terminal, and what may reach it.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use evonic_shared::escape::is_invisible;

/// What a stranger writes to whoever reads it at a terminal: it sets the title, clears the screen,
/// turns text around, hides, and forges lines.
pub const EVIL: &str = "x\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}31m\u{202e}a\u{200d}\u{2066}\u{7f}\r\nforged\u{2028}\u{e0041}";

/// The beginning of what stands for it.
pub const SHOWN: &str = "x\\x{1b}]0;pwned\\x{7}";

/// The control sequences of evonic itself: colours, and those of screens that are drawn anew.
const OWN: [&str; 12] = [
    "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m", "\x1b[K",
    "\x1b[H", "\x1b[J", "\x1b[?7l", "\x1b[?7h",
];

/// Runs a program at a pseudo-terminal of its own, with colours; all that the terminal was sent, or
/// the first whole lines of a command that never ends.
pub fn at_terminal(command: &Command, ends: bool) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_str().expect("text");
        format!("'{}'", word.replace('\'', "'\\''"))
    });
    let line = format!("exec timeout 60 {}", quoted.collect::<Vec<_>>().join(" "));
    let mut script = Command::new("script");
    script.args(["--quiet", "--echo", "never", "--command", &line, "/dev/null"]);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        script.current_dir(folder);
    }
    script.env("SHELL", "/bin/sh").env("TERM", "xterm-256color").env_remove("NO_COLOR");
    let script = script.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut script = script.expect("script is installed");
    let mut output = BufReader::new(script.stdout.take().expect("a pipe"));
    let mut sent = Vec::new();
    while output.read_until(b'\n', &mut sent).expect("a pipe") > 0 && (ends || sent.len() < 500) {}
    if !ends {
        script.kill().expect("it runs");
    }
    script.wait().expect("it ends");
    String::from_utf8(sent).unwrap_or_else(|error| panic!("{command:?}: no UTF-8: {error}"))
}

/// # Panics
/// When a terminal would obey something in it that is not evonic's own.
pub fn assert_harmless(what: &str, sent: &str) {
    // The terminal's own driver ends lines by both.
    let mut rest = sent.replace("\r\n", "\n");
    if what.starts_with("cp") {
        // Its progress begins its line anew.
        rest = rest.replace('\r', "");
    }
    for own in OWN {
        rest = rest.replace(own, "");
    }
    let obeyed = rest.chars().find(|&c| is_invisible(c) && c != '\n');
    assert_eq!(obeyed, None, "{what} sends it to the terminal: {sent:?}");
    // These show what somebody wrote in lines, as lines.
    let is_prose = ["agent show", "session show", "chat"].iter().any(|it| what.starts_with(it));
    let forged = rest.lines().any(|line| line.starts_with("forged"));
    assert!(is_prose || !forged, "{what} has a forged line: {sent}");
}

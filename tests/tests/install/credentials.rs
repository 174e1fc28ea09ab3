//! Credentials that systemd hands to the service alone.

use std::time::Duration;

use evonic_tests::scripted::{Scripted, Server};

use crate::installation::Installation;

/// What must never be seen by a command.
const MARKER: &str = "sk-marker-7f3a9c51";

#[test]
fn credentials_reach_the_worker_and_no_command() {
    let server = Server::start(vec![Scripted::Text(vec!["well".to_owned()], Duration::ZERO)]);
    let models = format!(
        "{}key_credential = \"remote\"\n{}key_credential = \"inline\"\n\
         {}key_credential = \"forgotten\"\n",
        server.config("remote"),
        server.config("inline"),
        server.config("forgotten"),
    );
    let installation = Installation::build(&models);
    let machine = &installation.machine;
    for name in ["remote", "inline", "forgotten"] {
        machine.expect(&["evonic", "agent", "add", name, "--model", name]);
    }
    // Without credentials the service is up, and reports what is missing.
    let message = machine.run(&["evonic", "chat", "remote", "hello"]);
    let message = String::from_utf8_lossy(&[message.stdout, message.stderr].concat()).into_owned();
    assert!(message.contains("models.remote.key_credential"), "{message}");
    assert!(message.contains("LoadCredential=remote:FILE"), "{message}");

    installation.put("/root/remote.key", &format!("{MARKER}\n"));
    installation.drop_in(
        "credentials",
        &format!(
            "[Service]\nLoadCredential=remote:/root/remote.key\nSetCredential=inline:{MARKER}-2\n"
        ),
    );
    machine.expect(&["systemctl", "restart", "evonic"]);
    installation.serves();
    for name in ["remote", "inline"] {
        let message = machine.expect(&["evonic", "chat", name, "hello"]);
        assert!(message.contains("well"), "{message}");
    }
    assert_eq!(server.keys(), [format!("Bearer {MARKER}"), format!("Bearer {MARKER}-2")]);
    let message = machine.run(&["evonic", "chat", "forgotten", "hello"]);
    let message = String::from_utf8_lossy(&[message.stdout, message.stderr].concat()).into_owned();
    assert!(message.contains("models.forgotten.key_credential"), "{message}");
    assert!(message.contains("/run/credentials/evonic.service/forgotten: "), "{message}");

    // Commands have neither the variable nor the files, nor the environment of the service.
    let seen = machine.expect(&["evonic", "chat", "runbook", "$ env"]);
    assert!(seen.contains("EVONIC_CALL=") && !seen.contains("CREDENTIALS_DIRECTORY"), "{seen}");
    let read = "$ cat /run/credentials/evonic.service/* 2>&1; cat /proc/[0-9]*/environ; echo read";
    let seen = machine.expect(&["evonic", "chat", "runbook", read]);
    assert!(seen.contains("read") && !seen.contains(MARKER), "{seen}");
    let journal = machine.expect(&["journalctl", "--no-pager", "-o", "export"]);
    assert!(!journal.contains(MARKER), "the journal has no secret");
    // Both processes write fields, not text.
    for program in ["evonic", "evonic-supervisor"] {
        let filter = format!("SYSLOG_IDENTIFIER={program}");
        let message = machine.expect(&["journalctl", "--no-pager", "-o", "export", &filter]);
        for field in ["PRIORITY=6", "EVONIC_GENERATION=1", "EVONIC_TARGET=evonic"] {
            assert!(
                message.lines().any(|line| line.starts_with(field)),
                "{field} of {program}: {message}"
            );
        }
    }
}

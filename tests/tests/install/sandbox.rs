//! The levels of the local workplace in the unit: what is in force, where that is said, and what a
//! person has set.

use std::time::Duration;

use evonic_tests::{http::Connection, poll};
use serde_json::Value;

use crate::installation::Installation;

/// What the unit allows less than it needs for namespaces, and for Landlock.
const NEITHER: &str = "[Service]\nRestrictNamespaces=yes\n\
                       SystemCallFilter=~landlock_create_ruleset\n";

const LESS: &str = "commands are contained less than at the last start";

#[test]
fn what_the_machine_cannot_is_told_and_what_a_person_has_set_is_kept() {
    let installation = Installation::build("");
    is_told(&installation, "namespaces");

    // Without the program there is a lower level, and nobody has to look for it.
    installation.machine.expect(&["mv", "/usr/bin/bwrap", "/usr/bin/bwrap.away"]);
    restart(&installation);
    is_told(&installation, "landlock");
    assert_eq!(installation.machine.journal().matches(LESS).count(), 1);
    let ran = chat(&installation, "$ cat /var/lib/evonic/admin.key; echo ran");
    assert!(ran.contains("ran") && ran.contains("Permission denied"), "{ran}");
    has_record_of(&installation, "landlock");
    // It is told when it changes.
    restart(&installation);
    assert_eq!(installation.machine.journal().matches(LESS).count(), 1);

    // For this workplace a person wants nothing less.
    let set = ["evonic", "workplace", "set", "local"];
    installation.machine.expect(&[&set[..], &["sandbox=namespaces"]].concat());
    is_refused(&installation, "bwrap is missing; install bubblewrap");
    installation.machine.expect(&[&set[..], &["sandbox=landlock", "network=none"]].concat());
    is_refused(&installation, "\"none\" needs sandbox \"namespaces\"");
    installation.machine.expect(&[&set[..], &["sandbox=namespaces", "network="]].concat());
    installation.machine.expect(&["mv", "/usr/bin/bwrap.away", "/usr/bin/bwrap"]);
    restart(&installation);
    is_told(&installation, "namespaces");
    assert!(chat(&installation, "$ echo ran").contains("ran"));
    installation.machine.expect(&[&set[..], &["sandbox="]].concat());

    // A unit that allows neither: doctor looks from outside of it, and asks the worker.
    installation.drop_in("neither", NEITHER);
    installation.machine.expect(&["systemctl", "restart", "evonic"]);
    installation.serves();
    is_told(&installation, "none");
    let read = chat(&installation, "$ cat /var/lib/evonic/admin.key");
    assert!(read.contains("evk_"), "docs/security.md says what this level lets through: {read}");
    installation.machine.expect(&[&set[..], &["sandbox=landlock"]].concat());
    is_refused(&installation, "Landlock cannot be had");
}

/// A worker tries what the machine can do once.
fn restart(installation: &Installation) {
    installation.machine.expect(&["evonic", "restart"]);
}

fn chat(installation: &Installation, step: &str) -> String {
    let ran = installation.machine.run(&["evonic", "chat", "runbook", step]);
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

/// While a command runs, its record says what keeps it inside.
fn has_record_of(installation: &Installation, level: &str) {
    let step = "$ until [ -e seen ]; do sleep 0.1; done";
    let mut chat = installation.machine.command(&["evonic", "chat", "runbook", step]);
    let mut chat = chat.stdout(std::process::Stdio::null()).spawn().expect("nsenter");
    let records = "grep -ho '\"level\":\"[a-z]*\"' /var/lib/evonic/commands/*/record";
    poll::until(
        "the record of the command",
        Duration::from_secs(30),
        || installation.machine.run(&["sh", "-c", records]),
        |found| {
            let wanted = format!("\"level\":\"{level}\"\n");
            (found.stdout == wanted.as_bytes()).then_some(())
        },
    );
    installation.put("/var/lib/evonic/workplace/seen", "");
    assert!(chat.wait().expect("it ends").success());
}

/// No command starts, and the agent and who checks are told why.
fn is_refused(installation: &Installation, why: &str) {
    let refused = chat(installation, "$ echo ran > proof");
    assert!(refused.contains(why), "{refused}");
    let workplace = installation.machine.path("/var/lib/evonic/workplace");
    assert!(!workplace.join("proof").exists());
    let checked = installation.machine.run(&["evonic", "workplace", "check", "local"]);
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(!checked.status.success() && shown.contains(why), "{shown}");
}

/// The level that is in force is the same wherever it stands, and less than the best is a warning.
fn is_told(installation: &Installation, level: &str) {
    let machine = &installation.machine;
    poll::until(
        "the level in force",
        Duration::from_secs(30),
        || installation.status()["worker"]["sandbox"].clone(),
        |told| (told == level).then_some(()),
    );
    let shown = machine.expect(&["evonic", "status"]);
    assert!(shown.lines().any(|line| line == format!("sandbox      {level}")), "{shown}");
    let metrics = Connection::tcp(installation.address)
        .and_then(|mut connection| connection.request("GET", "/metrics", &[], None));
    let metrics = metrics.expect("an answer").text();
    assert!(metrics.contains(&format!("evonic_sandbox_info{{level=\"{level}\"}} 1")), "{metrics}");
    let best = level == "namespaces";
    let checked = machine.expect(&["evonic", "workplace", "check", "local"]);
    let verdict = if best { "ok" } else { "warning" };
    let line = checked.lines().find(|line| line.contains(" sandbox ")).expect("the step");
    assert!(line.starts_with(verdict) && line.contains(&format!(" {level}: ")), "{checked}");
    let logged = if best { "are contained" } else { "have no namespaces" };
    let logged = format!("commands of local workplaces {logged} sandbox={level} ");
    assert!(machine.journal().contains(&logged), "{}", machine.journal());
    let doctor = machine.run(&["evonic", "doctor", "--json"]).stdout;
    let doctor: Value = serde_json::from_slice(&doctor).expect("JSON");
    let findings = doctor["checks"].as_array().expect("checks");
    let found = findings.iter().find(|found| found["check"] == "sandbox in force").expect("it");
    assert_eq!(found["verdict"], verdict, "{found}");
    assert!(found["detail"].as_str().expect("text").contains(level), "{found}");
}

#[test]
fn a_toolchain_in_opt_and_one_in_a_home_are_used_where_they_are_named() {
    let installation = Installation::build(
        "[workplace]\npaths = [\"/opt/tool\", \"/home/ops/sdk\", \"/var/cache/build:rw\"]\n",
    );
    for (folder, name) in [("/opt/tool/bin", "hammer"), ("/home/ops/sdk/bin", "saw")] {
        let program = format!("{folder}/{name}");
        installation.put(&program, &format!("#!/bin/sh\necho {name} works\n"));
        installation.machine.expect(&["chmod", "755", &program]);
    }
    let own = ["install", "-d", "-o", "evonic", "/var/cache/build"];
    installation.machine.expect(&own);
    // As docs/workplaces.md says.
    installation.drop_in(
        "tools",
        "[Service]\nReadWritePaths=/var/cache/build\nProtectHome=tmpfs\n\
         BindReadOnlyPaths=/home/ops/sdk\n\
         Environment=PATH=/opt/tool/bin:/home/ops/sdk/bin:/usr/bin:/bin\n",
    );
    installation.machine.expect(&["systemctl", "restart", "evonic"]);
    installation.serves();
    is_told(&installation, "namespaces");
    let step = "$ hammer && saw && echo made > /var/cache/build/made && ls /opt /home/ops; \
                touch /opt/tool/here || echo read only";
    let ran = chat(&installation, step);
    for shown in ["hammer works", "saw works", "read only"] {
        assert!(ran.contains(shown), "{shown}: {ran}");
    }
    assert!(installation.machine.path("/var/cache/build/made").exists(), "{ran}");
}

//! Hardening of the unit that hides parts of `/proc`: commands run, outlive a restart, and end with
//! what they started; what is missing is told in a sentence, wherever one looks.

use std::time::{Duration, Instant};

use evonic_tests::{poll, troubleshooting::assert_documented};

use crate::installation::Installation;

const OVERFLOW: &str = "/proc/sys/kernel/overflowuid cannot be read (No such file or directory): \
                        commands get no namespaces without it";
const BOOT: &str = "/proc/sys/kernel/random/boot_id cannot be read (No such file or directory): a \
                    command that a start of the machine ended may pass for one that runs";

#[test]
fn commands_run_where_the_unit_hides_parts_of_proc() {
    let installation = Installation::build("");
    for hardening in ["ProtectProc=invisible\nPrivateUsers=yes", "ProcSubset=pid"] {
        set(&installation, hardening);
        works(&installation, hardening);
        let hidden = hardening.contains("ProcSubset");
        for sentence in [OVERFLOW, BOOT] {
            is_told(&installation, sentence, hidden);
        }
    }
    set(&installation, "ProcSubset=pid\nProtectProc=invisible\nPrivateUsers=yes");
    works(&installation, "all of it");
    assert_documented(
        "… cannot be read (No such file or directory): commands get no namespaces without it",
        &check(&installation),
    );
}

fn set(installation: &Installation, hardening: &str) {
    installation.drop_in("hardening", &format!("[Service]\n{hardening}\n"));
    installation.machine.expect(&["systemctl", "restart", "evonic"]);
    installation.serves();
}

/// A command is no shorter than it is, is followed by the next worker, and nothing of it is left.
fn works(installation: &Installation, hardening: &str) {
    let began = Instant::now();
    // A program that its own user may not read cannot be looked at by it while it runs.
    let step = "$ cp /bin/sleep closed && chmod 111 closed && (setsid ./closed 4711 </dev/null \
                >/dev/null 2>&1 &); touch began; sleep 2; rm -f closed; echo ran";
    let mut chat = installation.machine.command(&["evonic", "chat", "runbook", step]);
    let chat = chat.stdout(std::process::Stdio::piped()).spawn().expect("nsenter");
    let began_file = installation.machine.path("/var/lib/evonic/workplace/began");
    poll::until(
        "the command has begun",
        Duration::from_secs(30),
        || began_file.exists(),
        |there| there.then_some(()),
    );
    installation.machine.expect(&["evonic", "restart"]);
    let output = chat.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("ran") && shown.contains("1 ok"), "{hardening}: {shown}");
    // Counted by the first process inside, before a control group would end it.
    let ended = "1 process left in the background and killed";
    assert!(shown.contains(ended), "{hardening}: {shown}");
    assert!(began.elapsed() >= Duration::from_secs(2), "{hardening}: {shown}");
    std::fs::remove_file(began_file).expect("it was made");
    poll::until(
        "nothing of it is left",
        Duration::from_secs(10),
        || installation.machine.run(&["pgrep", "-fa", "closed 4711"]).stdout,
        |left| left.is_empty().then_some(()),
    );
}

/// In the log, by the check, and by the doctor, which looks from outside of the unit.
fn is_told(installation: &Installation, sentence: &str, hidden: bool) {
    let doctor = installation.machine.run(&["evonic", "doctor"]).stdout;
    let doctor = String::from_utf8_lossy(&doctor).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(installation.machine.journal().contains(sentence), hidden, "{sentence}");
    assert_eq!(check(installation).contains(sentence), hidden, "{sentence}");
    assert_eq!(doctor.contains(sentence), hidden, "{sentence}: {doctor}");
}

fn check(installation: &Installation) -> String {
    let checked = installation.machine.expect(&["evonic", "workplace", "check", "local"]);
    checked.split_whitespace().collect::<Vec<_>>().join(" ")
}

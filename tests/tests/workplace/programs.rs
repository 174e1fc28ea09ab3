//! Ordinary programs notice nothing of the sandbox: they say the same as outside.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use evonic_tests::{
    pair::{Options, Pair},
    size,
    testbed::Testbed,
};
use serde_json::json;

/// What keeps commands inside: a workplace each.
const LEVELS: [&str; 3] = ["namespaces", "landlock", "none"];

const NOBODY: (u32, u32) = (65534, 65534);

/// Sources: each is in the folder of whoever builds it.
const FILES: [(&str, &str); 5] = [
    ("main.c", include_str!("programs/main.c")),
    ("main.go", include_str!("programs/main.go")),
    ("main.js", include_str!("programs/main.js")),
    ("Main.java", include_str!("programs/Main.java")),
    ("Makefile", include_str!("programs/Makefile")),
];

/// Built and run, each as one command.
const PROGRAMS: [(&str, &str); 5] = [
    ("C", "cc -O1 -Wall -o c main.c -pthread && ./c"),
    ("Go", "go build -o g main.go && ./g && go vet main.go"),
    ("Node", "node main.js"),
    // Of Landlock alone /tmp is not its own, and Java does not ask for TMPDIR.
    ("Java", "javac Main.java && java -Djava.io.tmpdir=${TMPDIR:-/tmp} Main"),
    ("make", "nice make -j3 && nice -n 3 nice && sort made"),
];

/// What a program says outside of any sandbox, in this folder.
fn outside(folder: &Path, script: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", &format!("exec 2>&1; {script}")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var("PATH").expect("it is set"))
        .env("HOME", folder)
        .env("LANG", "C.UTF-8")
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .output()
        .expect("bash is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}, outside: {said}");
    said
}

/// A folder with the sources, for a user.
fn put(folder: &Path, owner: Option<(u32, u32)>) {
    fs::create_dir_all(folder).expect("a folder");
    let (user, group) = owner.unzip();
    for (name, text) in FILES {
        fs::write(folder.join(name), text).expect("a file");
        chown(folder.join(name), user, group).expect("it is given");
    }
    chown(folder, user, group).expect("it is given");
}

/// Runs every program at a level, and compares what it says with `expected`.
fn compare(testbed: &Testbed, level: &str, expected: &[String]) {
    for ((name, script), expected) in PROGRAMS.iter().zip(expected) {
        let began = Instant::now();
        let ran = testbed.run(level, &format!("$ {script}"));
        assert!(ran.is_completed(), "{ran:#?}");
        let results = ran.results();
        let (outcome, said) = &results[0];
        assert_eq!((outcome.as_str(), said), ("ok", expected), "{name}, {level}");
        println!("  {level}: {name} in {:.1} s", began.elapsed().as_secs_f64());
    }
}

/// The levels, each in a workplace of its own that holds the sources.
fn programs_notice_nothing(user: Option<(u32, u32)>, levels: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), None);
    let expected = PROGRAMS.map(|(_, script)| outside(folder.path(), script));
    let pair = Pair::start(&Options { user, ..Options::default() });
    // Without namespaces the user of root's commands must reach the folder by itself.
    fs::set_permissions(pair.folder(), fs::Permissions::from_mode(0o711)).expect("ours");
    let testbed = Testbed { pair, server: None, engine: None };
    let is_root = rustix::process::geteuid().is_root();
    for level in levels {
        let root = testbed.pair.folder().join(level);
        put(&root, is_root.then_some(user.unwrap_or(NOBODY)));
        testbed.workplace(level, "local", &json!({"sandbox": level, "root": root}));
        compare(&testbed, level, &expected);
    }
}

#[test]
fn ordinary_programs_notice_nothing_of_the_sandbox() {
    programs_notice_nothing(None, &LEVELS);
}

#[test]
fn nor_do_they_where_the_service_is_an_ordinary_user() {
    // Without root the test before is the same.
    if rustix::process::geteuid().is_root() {
        let levels = if size::is_full() { &LEVELS[..] } else { &LEVELS[..1] };
        programs_notice_nothing(Some(NOBODY), levels);
    }
}

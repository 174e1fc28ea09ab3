//! `make run` as a new user calls it, twice.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it").to_owned()
}

fn make_run(folder: &Path) -> Child {
    let mut command = Command::new("make");
    // What cargo tells a test of its package: build scripts that see it run again, and again without.
    let of_a_package =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|it| name.starts_with(it));
    for (name, _) in std::env::vars().filter(|(name, _)| of_a_package(name)) {
        command.env_remove(name);
    }
    command
        .args(["--no-print-directory", "run"])
        .current_dir(repository())
        .env("EVONIC_STATE_DIR", folder.join("state"))
        .env("EVONIC_RUNTIME_DIR", folder.join("run"))
        .env("EVONIC_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("make is installed")
}

/// Reads until the first command to try is printed; returns it.
fn first_command(run: &mut Child) -> String {
    let lines = BufReader::new(run.stdout.take().expect("a pipe")).lines();
    let mut seen = Vec::new();
    for line in lines.map_while(Result::ok) {
        if line.contains("evonic chat") {
            assert!(
                seen.iter().any(|line: &String| line.contains("http://127.0.0.1:")),
                "{seen:#?}"
            );
            return line;
        }
        seen.push(line);
    }
    panic!("it ended without a command to try: {seen:#?}");
}

#[test]
fn make_run_prints_the_first_command_and_it_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut took = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        let mut run = make_run(folder.path());
        let command = first_command(&mut run);
        took.push(began.elapsed());
        let output = Command::new("sh")
            .args(["-c", command.trim()])
            .current_dir(repository())
            .env("EVONIC_STATE_DIR", folder.path().join("state"))
            .env("EVONIC_RUNTIME_DIR", folder.path().join("run"))
            .output()
            .expect("a shell");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("Linux"), "{command}: {output:?}");

        // Ctrl-C reaches the whole group of the terminal.
        let group = Pid::from_raw(i32::try_from(run.id()).expect("a pid"));
        killpg(group, Signal::SIGINT).expect("a group");
        let stopping = Instant::now();
        while run.try_wait().expect("a child").is_none() {
            assert!(stopping.elapsed() < Duration::from_secs(20), "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    println!("make run, when all is built: {:?}, again {:?}", took[0], took[1]);
}

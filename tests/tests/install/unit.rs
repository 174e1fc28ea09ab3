//! 1. The unit in a real systemd, as the Debian package installs it.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use evonic_tests::{
    http::Connection,
    load::{Load, Tally},
    machine::Machine,
    pair::program,
    poll, size,
};
use serde_json::Value;

/// Clients under load.
const CLIENTS: usize = 12;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it")
}

/// The package, built from the programs beside this test.
fn package(output: &Path) -> PathBuf {
    let programs = program("evonic").parent().expect("a folder").to_owned();
    let built =
        Command::new(root().join("systemd/deb/build.sh")).arg(programs).arg(output).output();
    let built = built.expect("dpkg-deb is installed");
    assert!(built.status.success(), "{built:?}");
    let mut files = fs::read_dir(output).expect("a folder").flatten();
    files.find(|file| file.file_name().to_string_lossy().ends_with(".deb")).expect("it").path()
}

/// A machine with the package, and where it serves.
fn installed() -> (Machine, SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let package = package(folder.path());
    let machine = Machine::boot();
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("a port");
    fs::create_dir_all(machine.path("/etc/evonic")).expect("a folder");
    let config = format!("listen = \"{address}\"\n");
    fs::write(machine.path("/etc/evonic/evonic.toml"), config).expect("a configuration");
    fs::copy(package, machine.path("/root/evonic.deb")).expect("the package");
    machine.expect(&["dpkg", "--force-depends", "-i", "/root/evonic.deb"]);
    machine.wait_for("ActiveState", |state| state == "active");
    serves(&machine, address);
    (machine, address)
}

fn serves(machine: &Machine, address: SocketAddr) {
    poll::until(
        "it serves",
        Duration::from_secs(60),
        || {
            let answer = Connection::tcp(address)
                .and_then(|mut connection| connection.request("GET", "/readyz", &[], None));
            (answer.is_ok_and(|answer| answer.status == 200), machine.journal())
        },
        |(serves, _)| serves.then_some(()),
    );
}

fn status(machine: &Machine) -> Value {
    let told = machine.expect(&["evonic", "status", "--json"]);
    serde_json::from_str(&told).expect("JSON")
}

/// The worker's pid, as the machine numbers it.
fn worker(machine: &Machine) -> Option<String> {
    let told = machine.run(&["evonic", "status", "--json"]);
    let status: Value = serde_json::from_slice(&told.stdout).ok()?;
    (status["state"] == "running").then(|| status["worker"]["pid"].to_string())
}

/// Nobody was refused, and nothing that was answered was cut.
fn assert_served(seen: &Tally, what: &str) {
    println!("{what}: {seen}");
    assert_eq!((seen.refused, seen.unexpected, seen.events_wrong), (0, 0, 0), "{what}: {seen}");
    assert!(seen.answered > 0, "{what}: there was load");
}

#[test]
fn install_1_the_unit_in_a_real_systemd() {
    let (machine, address) = installed();
    let shown = String::from_utf8_lossy(&machine.run(&["systemctl", "status", "evonic"]).stdout)
        .into_owned();
    println!("{}", shown.lines().take(12).collect::<Vec<_>>().join("\n"));
    assert!(shown.contains("Status: \"") && shown.contains("descriptors"), "{shown}");
    assert_eq!(machine.property("NFileDescriptorStore"), "3", "three listeners are kept");

    // Commands, over the real unit's hardening.
    let ran = machine.expect(&["evonic", "chat", "runbook", "$ id -un; pwd"]);
    assert!(ran.contains("evonic"), "{ran}");

    let kills = size::of("unit_kills", 5, 20);
    let load = Load::mixed(address, CLIENTS);
    for _ in 0..kills {
        let pid =
            poll::until("a worker", Duration::from_secs(30), || worker(&machine), Clone::clone);
        machine.expect(&["kill", "-KILL", &pid]);
        poll::until(
            "its successor",
            Duration::from_secs(30),
            || worker(&machine),
            |now| now.as_ref().filter(|now| **now != pid).cloned(),
        );
    }
    assert_served(&load.finish(), &format!("{kills} kills of the worker"));

    let load = Load::mixed(address, CLIENTS);
    for _ in 0..kills {
        let pid = machine.property("MainPID");
        machine.expect(&["kill", "-KILL", &pid]);
        machine.wait_for("MainPID", |now| now != pid && now != "0");
        machine.wait_for("ActiveState", |state| state == "active");
        serves(&machine, address);
    }
    assert_served(&load.finish(), &format!("{kills} kills of the supervisor"));

    let load = Load::mixed(address, CLIENTS);
    let generation = status(&machine)["worker"]["generation"].clone();
    machine.expect(&["systemctl", "reload", "evonic"]);
    assert!(status(&machine)["worker"]["generation"].as_u64() > generation.as_u64());
    let reloaded = load.finish();
    assert_served(&reloaded, "a reload");
    assert_eq!(reloaded.faults(), 0, "{reloaded}");

    let load = Load::mixed(address, CLIENTS);
    let before = machine.property("MainPID");
    machine.expect(&["dpkg", "--force-depends", "-i", "/root/evonic.deb"]);
    machine.wait_for("MainPID", |now| now != before && now != "0");
    serves(&machine, address);
    assert_served(&load.finish(), "an upgrade");
}

#[test]
fn install_1_a_supervisor_that_hangs_is_replaced() {
    let (machine, address) = installed();
    let pid = machine.property("MainPID");
    machine.expect(&["kill", "-STOP", &pid]);
    let began = Instant::now();
    machine.wait_for("MainPID", |now| now != pid && now != "0");
    println!("the watchdog replaced it after {:.1} s", began.elapsed().as_secs_f64());
    serves(&machine, address);
}

#[test]
fn install_1_a_stop_leaves_nothing_and_a_purge_leaves_less() {
    let (machine, address) = installed();
    let _turn = machine.expect(&["evonic", "chat", "runbook", "$ echo kept > kept.txt"]);
    machine.expect(&["systemctl", "stop", "evonic"]);
    let left =
        || String::from_utf8_lossy(&machine.run(&["pgrep", "-l", "evonic"]).stdout).into_owned();
    assert_eq!(left(), "", "a stop leaves no process");
    assert!(Connection::tcp(address).is_err(), "and no listener");

    // A machine that went down at once leaves files behind.
    machine.expect(&["systemctl", "start", "evonic"]);
    serves(&machine, address);
    machine.expect(&["systemctl", "kill", "--signal=KILL", "evonic"]);
    machine.wait_for("ActiveState", |state| state == "active");
    serves(&machine, address);
    let read = machine.expect(&["evonic", "chat", "runbook", "read kept.txt"]);
    assert!(read.contains("kept"), "{read}");

    machine.expect(&["dpkg", "--remove", "evonic"]);
    assert_eq!(left(), "", "a removal stops the service");
    assert!(machine.path("/etc/evonic/evonic.toml").exists(), "the configuration stays");
    assert!(machine.path("/var/lib/evonic/evonic.db").exists(), "and so do the data");
    machine.expect(&["dpkg", "--purge", "evonic"]);
    for gone in ["/etc/evonic", "/var/lib/evonic", "/usr/bin/evonic", "/usr/share/doc/evonic"] {
        assert!(!machine.path(gone).exists(), "{gone} is left");
    }
}

#[test]
fn install_1_make_install_and_uninstall_are_each_others_reverse() {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = program("evonic").parent().expect("a folder").to_owned();
    let make = |target: &str| {
        let output = Command::new("make")
            .args(["--no-print-directory", target, "PREFIX=/opt/evonic"])
            .arg(format!("DESTDIR={}", folder.path().display()))
            .arg(format!("PROGRAMS={}", programs.display()))
            .current_dir(root())
            .output()
            .expect("make is installed");
        assert!(output.status.success(), "{output:?}");
    };
    make("install");
    let unit = folder.path().join("opt/evonic/lib/systemd/system/evonic.service");
    let text = fs::read_to_string(unit).expect("the unit");
    assert!(text.contains("ExecStart=/opt/evonic/bin/evonic-supervisor"), "{text}");
    make("uninstall");
    let mut left = Vec::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path).expect("a folder").flatten() {
            match entry.file_type().expect("a type").is_dir() {
                true => folders.push(entry.path()),
                false => left.push(entry.path()),
            }
        }
    }
    assert!(left.is_empty(), "{left:?}");
}

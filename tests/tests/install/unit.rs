//! The unit in a real systemd, as the Debian package installs it.

use std::{
    fs,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use evonic_tests::{http::Connection, load::Load, pair::program, poll, size};

use crate::installation::{CLIENTS, Installation, assert_served, root};

/// Where the control groups of commands are.
const GROUPS: &str = "/sys/fs/cgroup/system.slice/evonic.service/commands";

#[test]
fn kills_a_reload_and_an_upgrade_under_load_refuse_nobody() {
    // Many kills in a row are no reason to wait here.
    let installation =
        Installation::build("[supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n");
    let machine = &installation.machine;
    let shown = String::from_utf8_lossy(&machine.run(&["systemctl", "status", "evonic"]).stdout)
        .into_owned();
    println!("{}", shown.lines().take(12).collect::<Vec<_>>().join("\n"));
    let (_, pid) = installation.worker_after(0);
    let line = installation.wait_for_status(&format!("running: worker {pid}, generation 1, "));
    let threshold = installation.status()["worker"]["fd"]["threshold"].clone();
    assert!(line.ends_with(&format!(" of {threshold} descriptors")), "{line}");
    assert_eq!(machine.property("NFileDescriptorStore"), "3", "three listeners are kept");
    assert!(!machine.journal().contains("different"), "{}", machine.journal());

    // Commands, over the real unit's hardening: in namespaces.
    let checked = machine.expect(&["evonic", "workplace", "check", "local"]);
    assert!(checked.contains("namespaces: commands run in namespaces"), "{checked}");
    let ran = machine.expect(&["evonic", "chat", "runbook", "$ echo ran by $(id -un)"]);
    assert!(ran.contains("ran by evonic"), "{ran}");
    // Each has a control group of its own, and nothing that hides from its runner outlives it.
    let hidden = "$ setsid env -i sleep 4711 </dev/null >/dev/null 2>&1 & sleep 0.3; \
                  cat /proc/self/cgroup";
    let ran = machine.expect(&["evonic", "chat", "runbook", hidden]);
    assert!(ran.contains("/evonic.service/commands/call_"), "{ran}");
    poll::until(
        "what a command left is killed",
        Duration::from_secs(30),
        || {
            let left = machine.run(&["pgrep", "-f", "^sleep 4711"]).stdout;
            let groups = machine.run(&["find", GROUPS, "-mindepth", "1", "-type", "d"]).stdout;
            [left, groups].map(|message| String::from_utf8_lossy(&message).into_owned())
        },
        |[left, groups]| (left.is_empty() && groups.is_empty()).then_some(()),
    );

    let kills = size::of("unit_kills", 5, 20);
    let load = Load::flowing(installation.address, CLIENTS);
    for _ in 0..kills {
        let (generation, pid) = installation.worker_after(0);
        machine.expect(&["kill", "-KILL", &pid]);
        installation.worker_after(generation);
    }
    assert_served(&load.finish(), kills, &format!("{kills} kills of the worker"));
    installation.wait_for_status(", crash: killed by SIGKILL, at ");

    let load = Load::flowing(installation.address, CLIENTS);
    for _ in 0..kills {
        let pid = machine.property("MainPID");
        machine.expect(&["kill", "-KILL", &pid]);
        machine.wait_for("MainPID", |now| now != pid && now != "0");
        machine.wait_for("ActiveState", |state| state == "active");
        installation.serves();
    }
    // systemd ends its worker, which finishes what it has, and takes nothing new; what
    // comes meanwhile waits.
    assert_served(&load.finish(), 0, &format!("{kills} kills of the supervisor"));
    installation.wait_for_status(", crash: killed by SIGKILL, at ");

    let load = Load::flowing(installation.address, CLIENTS);
    let (generation, _) = installation.worker_after(0);
    machine.expect(&["systemctl", "reload", "evonic"]);
    assert!(installation.status()["worker"]["generation"].as_u64() > Some(generation));
    assert_served(&load.finish(), 0, "a reload");
    installation.wait_for_status(", requested: ");

    installation.bring(Some("99.0"));
    let load = Load::flowing(installation.address, CLIENTS);
    let before = machine.property("MainPID");
    // While one worker takes over from another.
    machine.expect(&["evonic", "restart", "--no-wait"]);
    installation.install();
    machine.wait_for("MainPID", |now| now != before && now != "0");
    installation.serves();
    assert_served(&load.finish(), 0, "an upgrade");
    let (generation, pid) = installation.worker_after(generation);
    installation.wait_for_status(&format!("worker {pid}, generation {generation}, "));
    assert_eq!(machine.property("NFileDescriptorStore"), "3");
}

#[test]
fn the_unit_is_sound_and_hardened_where_it_is_installed() {
    let installation = Installation::build("");
    let output = installation.machine.run(&[
        "systemd-analyze",
        "verify",
        "--man=no",
        "evonic.service",
        "evonic.socket",
    ]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !message.contains("evonic"), "{message}");
    let message = installation.machine.expect(&[
        "systemd-analyze",
        "security",
        "--no-pager",
        "--threshold=35",
        "evonic.service",
    ]);
    println!("{}", message.lines().last().unwrap_or(""));
    for (name, value) in [("UMask", "0077"), ("RemoveIPC", "yes"), ("TasksMax", "6144")] {
        assert_eq!(installation.machine.property(name), value, "{name}");
    }

    // A supervisor that hangs is found by systemd's watchdog.
    let pid = installation.machine.property("MainPID");
    installation.machine.expect(&["kill", "-STOP", &pid]);
    let began = Instant::now();
    installation.machine.wait_for("MainPID", |now| now != pid && now != "0");
    println!("the watchdog replaced it after {:.1} s", began.elapsed().as_secs_f64());
    installation.serves();
}

#[test]
fn a_socket_unit_starts_the_service_and_a_corrected_configuration_is_taken() {
    let installation = Installation::build("");
    let machine = &installation.machine;
    machine.expect(&["systemctl", "stop", "evonic"]);
    let port = format!("[Socket]\nListenStream=\nListenStream={}\n", installation.address);
    installation.put("/etc/systemd/system/evonic.socket.d/port.conf", &port);
    // Where the service itself would listen is taken: the socket's address counts.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address");
    installation.put("/etc/evonic/evonic.toml", &format!("listen = \"{taken}\"\n"));
    machine.expect(&["systemctl", "daemon-reload"]);
    machine.expect(&["systemctl", "start", "evonic.socket"]);
    assert_eq!(machine.property("ActiveState"), "inactive");
    // The first who connects starts the service.
    installation.serves();
    let pid = machine.property("MainPID");
    machine.expect(&["kill", "-KILL", &pid]);
    machine.wait_for("MainPID", |now| now != pid && now != "0");
    installation.serves();
    machine.expect(&["systemctl", "stop", "evonic.socket", "evonic"]);

    // A configuration with a fault is tried for as long as it takes.
    installation.put("/etc/evonic/evonic.toml", "nonsense = 1\n");
    machine.expect(&["systemctl", "start", "--no-block", "evonic"]);
    // More than systemd's own limit would allow.
    machine.wait_for("NRestarts", |count| count.parse::<u32>().is_ok_and(|count| count > 6));
    assert!(machine.journal().contains("nonsense"), "{}", machine.journal());
    installation
        .put("/etc/evonic/evonic.toml", &format!("listen = \"{}\"\n", installation.address));
    machine.wait_for("ActiveState", |state| state == "active");
    installation.serves();
}

#[test]
fn a_stop_leaves_nothing_and_a_purge_leaves_less() {
    let installation = Installation::build("");
    let machine = &installation.machine;
    let _turn =
        machine.expect(&["evonic", "chat", "runbook", "$ echo the same as ever > kept.txt"]);
    let sessions = machine.expect(&["evonic", "session", "list", "--json"]);
    machine.expect(&["evonic", "backup", "/root/copy.db"]);
    machine.expect(&["systemctl", "stop", "evonic"]);
    assert_eq!(installation.processes(), "", "a stop leaves no process");
    assert!(Connection::tcp(installation.address).is_err(), "and no listener");

    // The copy is put back as docs/install.md says.
    machine.expect(&["sh", "-c", "rm /var/lib/evonic/evonic.db*"]);
    let put_back = "install -o evonic -g evonic -m 600 /root/copy.db /var/lib/evonic/evonic.db";
    machine.expect(&["sh", "-c", put_back]);
    machine.expect(&["systemctl", "start", "evonic"]);
    installation.serves();
    assert_eq!(machine.expect(&["evonic", "session", "list", "--json"]), sessions);

    // A service that went down at once leaves files behind.
    machine.expect(&["systemctl", "kill", "--signal=KILL", "evonic"]);
    machine.wait_for("ActiveState", |state| state == "active");
    installation.serves();
    let read = machine.expect(&["evonic", "chat", "runbook", "read kept.txt"]);
    assert!(read.contains("the same as ever"), "{read}");

    machine.expect(&["dpkg", "--remove", "evonic"]);
    assert_eq!(installation.processes(), "", "a removal stops the service");
    assert!(machine.path("/etc/evonic/evonic.toml").exists(), "the configuration stays");
    assert!(machine.path("/var/lib/evonic/evonic.db").exists(), "and so do the data");

    // Installed again, it uses both.
    installation.install();
    machine.wait_for("ActiveState", |state| state == "active");
    installation.serves();
    let read = machine.expect(&["evonic", "chat", "runbook", "read kept.txt"]);
    assert!(read.contains("the same as ever"), "{read}");

    machine.expect(&["dpkg", "--purge", "evonic"]);
    assert_eq!(installation.processes(), "", "a purge stops the service");
    for gone in [
        "/etc/evonic",
        "/var/lib/evonic",
        "/run/evonic",
        "/usr/bin/evonic",
        "/usr/share/doc/evonic",
        "/etc/systemd/system/multi-user.target.wants/evonic.service",
    ] {
        assert!(!machine.path(gone).exists(), "{gone} is left");
    }
    // Nothing is left to remove, and that is no failure.
    machine.expect(&["dpkg", "--purge", "evonic"]);
}

#[test]
fn make_uninstall_removes_what_make_install_put_there() {
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

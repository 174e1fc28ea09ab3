//! A worker that leaks, in the real unit.

use std::{fs, time::Duration};

use evonic_tests::{
    fault::{Fault, Leaked, Plan, VARIABLE},
    load::Load,
    pair::{NO_LIMITS, program},
    poll,
};

use crate::installation::{CLIENTS, Installation, assert_served};

#[test]
fn a_leak_under_the_unit_is_found_reported_and_ended() {
    let installation = Installation::build("");
    let machine = &installation.machine;
    fs::copy(program("evonic-faulty"), machine.path("/usr/bin/evonic-faulty")).expect("a copy");
    let (generation, _) = installation.worker_after(0);
    let leak = Fault::Leak { leaked: Leaked::Sockets, per_second: 100, after_ms: 3000 };
    let plan = Plan { until_generation: generation + 1, fault: leak };
    let plan = serde_json::to_string(&plan).expect("a plan is JSON").replace('"', "\\\"");
    let config = format!(
        "listen = \"{}\"\n[supervisor]\nworker = \"/usr/bin/evonic-faulty\"\n{NO_LIMITS}",
        installation.address
    );
    installation.put("/etc/evonic/evonic.toml", &config);
    installation.drop_in("leak", &format!("[Service]\nEnvironment=\"{VARIABLE}={plan}\"\n"));
    machine.expect(&["systemctl", "restart", "evonic"]);
    let (leaking, pid) = installation.worker_after(generation);
    installation.wait_for_status(&format!("worker {pid}, generation {leaking}, "));
    let supervisor = machine.property("MainPID");

    let load = Load::flowing(installation.address, CLIENTS);
    let (successor, _) = installation.worker_after(leaking);
    assert_served(&load.finish(), 0, "a leak");

    let line = installation.wait_for_status(&format!("; last replaced: generation {leaking}, fd_"));
    println!("systemctl status: {line}");
    assert!(line.contains(&format!("generation {successor}, ")), "{line}");
    assert_eq!(machine.property("MainPID"), supervisor, "the supervisor stays");
    assert_eq!(machine.property("NRestarts"), "0");
    let wanted = ["worker is to be replaced", "udp grew by"];
    poll::until(
        "the journal has the post-mortem",
        Duration::from_secs(30),
        || machine.expect(&["journalctl", "-u", "evonic", "--no-pager", "-o", "export"]),
        |journal| wanted.iter().all(|wanted| journal.contains(wanted)).then_some(()),
    );
    let history = machine.expect(&["evonic", "history", "--json"]);
    assert!(history.contains("post_mortem"), "{history}");
    poll::until(
        "one leak, one post-mortem",
        Duration::from_secs(10),
        || fs::read_dir(machine.path("/var/lib/evonic/post-mortems")).map(Iterator::count).ok(),
        |kept| (*kept == Some(1)).then_some(()),
    );
}

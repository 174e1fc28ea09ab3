//! All attempts of the table, in namespaces, against the unit in a real systemd.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use evonic_tests::{
    escape::{Folders, Inside, Level, Running, Stage, Tried, User, attempts, differences},
    installation::Installation,
    machine::Machine,
};

use crate::secrets;

/// A machine with the package.
struct In<'m>(&'m Machine);

impl Inside for In<'_> {
    fn sh(&self, script: &str) -> String {
        self.0.expect(&["bash", "-c", script])
    }

    fn chat(&self, runbook: &str) -> String {
        format!("{:?}", self.0.run(&["evonic", "chat", "runbook", runbook]))
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.0.path(&path.display().to_string())
    }
}

#[test]
fn nothing_gets_out_of_namespaces_in_the_unit() {
    let installation = Installation::build("");
    let began = Instant::now();
    let machine = &installation.machine;
    machine.expect(&["systemctl", "stop", "evonic"]);
    let id = |what| machine.expect(&["id", what, "evonic"]).trim().to_owned();
    let service = format!("{}:{}", id("-u"), id("-g"));
    let folders = Folders {
        state: "/var/lib/evonic".into(),
        runtime: "/run/evonic".into(),
        config: "/etc/evonic/evonic.toml".into(),
        root: "/var/lib/evonic/workplace".into(),
        around: "/srv/around".into(),
    };
    let inside = In(machine);
    let more = folders.around.join("more");
    let mut stage = Stage::set_up(&inside, folders.clone(), &service, &service);
    let config = format!(
        "listen = \"{}\"\n[workplace]\nsandbox = \"namespaces\"\npaths = [{more:?}]\n{}",
        installation.address,
        secrets::of_models(&folders, &more),
    );
    installation.put("/etc/evonic/evonic.toml", &config);
    machine.expect(&["chown", "root:evonic", "/etc/evonic/evonic.toml"]);
    machine.expect(&["chmod", "640", "/etc/evonic/evonic.toml"]);
    machine.expect(&["systemctl", "start", "evonic"]);
    installation.serves();
    let (_, worker) = installation.worker_after(0);
    let mut add = vec!["evonic", "workplace", "add", "host", "--kind", "ssh", "--settings"];
    let settings = secrets::of_host(&more);
    add.push(&settings);
    machine.expect(&add);
    let pid = |text: &str| text.parse().expect("a pid");
    stage.runs(Running {
        supervisor: pid(&machine.property("MainPID")),
        worker: pid(&worker),
        port: installation.address.port(),
        evonic: "evonic".to_owned(),
        server: format!("--server http://{}", installation.address),
    });

    let tried = attempts();
    let Tried { outcomes, changed, .. } = stage.attempt(&tried, &[]);
    let mut differences =
        differences(&tried, &outcomes, (Level::Namespaces, User::Own), stage.landlock());
    differences.extend(changed);
    differences.extend(stage.race());
    println!("namespaces, in the unit: {} attempts in {:?}", tried.len(), began.elapsed());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

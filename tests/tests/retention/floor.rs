//! A disk with less room than is to stay free.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use evonic_parts::Folder;
use evonic_tests::{
    pair::{Options, Pair},
    poll,
    scripted::{Scripted, Server},
    troubleshooting::assert_documented,
};
use serde_json::json;

use crate::{CONFIG, metric, text, wait_for_storage};

/// A file system of its own on a folder, as large as this; gone with it.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
}

impl Disk {
    fn mount(folder: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&folder).expect("a folder");
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "evonic-test"])
            .arg(&folder)
            .status();
        assert!(mount.expect("mount").success());
        Self { folder }
    }

    /// Takes so many MiB.
    fn take(&self, mib: usize) {
        fs::write(self.folder.join("filler"), vec![1; mib << 20]).expect("room");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

#[test]
fn below_the_floor_nothing_new_comes_and_running_turns_end_well() {
    let pieces: Vec<String> = (0..20).map(|number| format!("piece {number} ")).collect();
    let model = Server::start(vec![
        Scripted::Call("bash".to_owned(), json!({"command": "sleep 2; echo done"})),
        Scripted::Text(pieces, Duration::from_millis(20)),
        Scripted::Call("bash".to_owned(), json!({"command": "sleep 3; echo done"})),
        Scripted::Text(vec!["after all".to_owned()], Duration::ZERO),
    ]);
    let folder = Folder::with_prefix("evonic-").unwrap();
    let disk = Disk::mount(folder.path().join("state"), "64m");
    let config = format!(
        "{CONFIG}[retention]\nmin_free = 33554432\n\
         [models.m]\nbase_url = \"http://{}/v1\"\nmodel = \"m\"\n",
        model.address
    );
    let pair = Pair::spawn_in(folder, &Options::config(&config)).answering();
    pair.wait("it serves", |status| status.state == evonic_shared::status::State::Running);
    let agent = json!({"name": "m", "model": "m"});
    let _ = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let (session, waiting) = (pair.session("m"), pair.session("runbook"));
    let turn = pair.post(&session, "work");
    wait_for_call(&pair, &session);

    // Between the floor and half of it the turn that runs goes on.
    disk.take(40);
    let storage = wait_for_storage(&pair, "it is low", |storage| storage["is_low"] == true);
    assert_eq!(storage["min_free_bytes"], 33_554_432);
    for (path, body) in [
        ("/api/v1/sessions".to_owned(), json!({"agent": "runbook"})),
        (format!("/api/v1/sessions/{waiting}/blobs"), json!("an attachment")),
        (format!("/api/v1/sessions/{waiting}/messages"), json!({"content": "$ echo hi"})),
    ] {
        let refused = pair.request("POST", &path, Some(&body)).unwrap();
        assert_eq!(refused.status, 507, "{}", refused.text());
        assert_eq!(refused.json()["type"], "urn:evonic:problem:low_space");
        let folder = pair.state_dir().display().to_string();
        assert!(refused.text().contains(&folder), "{}", refused.text());
        assert_documented("bytes are free in …, fewer than retention.min_free", &refused.text());
    }
    let lines = pair.folder().join("lines");
    fs::write(&lines, "{}\n").unwrap();
    let refused = pair.evonic(&["session", "import", &lines.display().to_string()]);
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_documented("bytes are free in …, fewer than retention.min_free", &refused);
    let ready = pair.request("GET", "/readyz", None).unwrap();
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(ready.json()["parts"]["store"]["low_space"].is_string(), "{}", ready.text());
    let status = text(&pair.evonic(&["status"]));
    assert_documented("left on its disk, less than retention.min_free", &status);
    let doctor = text(&pair.evonic(&["doctor"]));
    assert_documented("free on the database's disk; retention.min_free is …", &doctor);
    assert_eq!(metric(&pair, "evonic_disk_low"), Some(1.0));
    let ended = pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "completed", "{ended}");
    assert!(pair.log().contains("too little room: new messages and sessions are refused"));

    // All is well again by itself.
    fs::remove_file(pair.state_dir().join("filler")).unwrap();
    let turn = poll::until(
        "messages are taken again",
        Duration::from_secs(20),
        || {
            pair.request(
                "POST",
                &format!("/api/v1/sessions/{session}/messages"),
                Some(&json!({"content": "more"})),
            )
        },
        |answer| {
            let answer = answer.as_ref().ok().filter(|answer| answer.status == 202)?;
            answer.json()["turn"]["id"].as_str().map(str::to_owned)
        },
    );
    assert!(pair.log().contains("enough room again"), "{}", pair.log());
    wait_for_call(&pair, &session);
    // Below half of it a turn asks no model any more; what its call did is kept.
    disk.take(52);
    let ended = pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "failed", "{ended}");
    assert_eq!(ended["error"]["code"], "disk_floor", "{ended}");
    let events = crate::events(&pair, &session);
    let done = events.iter().filter(|(_, name)| name == "tool.completed").count();
    assert_eq!(done, 2, "{events:?}");
}

/// Waits until a call of the session's last turn runs.
fn wait_for_call(pair: &Pair, session: &str) {
    poll::until(
        "a command runs",
        Duration::from_secs(30),
        || crate::events(pair, session),
        |events| events.last().filter(|(_, name)| name == "tool.started").map(drop),
    );
}

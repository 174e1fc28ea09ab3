//! What an agent and an operator are told of containers: of what was lost, and of images that do
//! not fit.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use evonic_tests::{
    pair::Options,
    poll,
    testbed::{Ran, Testbed, docker_settings},
    troubleshooting::assert_documented,
};
use serde_json::json;
use tempfile::TempDir;

use super::images::{Image, Shell};

fn last(ran: &Ran) -> (String, String) {
    ran.results().pop().expect("a result")
}

#[test]
fn a_lost_container_and_its_workspace_are_told_with_the_next_result() {
    let testbed = Testbed::docker(&Options::default());
    let engine = testbed.engine.as_ref().expect("an engine");
    let session = testbed.pair.session("docker");
    assert!(testbed.run_in(&session, "write kept.txt \"x\"").is_completed());
    let name = testbed.containers().first().expect("one").clone();
    let _removed = engine.docker(&["rm", "-f", &name]);
    let (_, said) = last(&testbed.run_in(&session, "$ ls"));
    assert_documented("The container of this session was removed by somebody and made anew", &said);
    assert!(said.contains("the workspace is as it was") && said.contains("kept.txt"), "{said}");
    let _removed = engine.docker(&["rm", "-f", &name]);
    let _removed = engine.docker(&["volume", "rm", &name]);
    let (_, said) = last(&testbed.run_in(&session, "on failure continue\nread kept.txt"));
    assert!(
        said.starts_with("[The container") && said.contains("its files are gone too"),
        "{said}"
    );
    let (_, said) = last(&testbed.run_in(&session, "$ true"));
    assert!(!said.contains("container"), "it is told once: {said}");
}

#[test]
fn what_the_memory_limit_killed_is_told_with_the_limit() {
    let testbed = Testbed::docker(&Options::default());
    let mut settings = docker_settings(testbed.engine.as_ref().expect("an engine"));
    settings["memory_bytes"] = json!(32 << 20);
    testbed.workplace("small", "docker", &settings);
    let session = testbed.pair.session("small");
    for killed in ["exec tail -c 100000000 /dev/zero", "tail -c 100000000 /dev/zero; exit 3"] {
        let (_, said) =
            last(&testbed.run_in(&session, &format!("on failure continue\n$ {killed}")));
        assert_documented("The container ran out of memory (… MiB with everything in it)", &said);
        assert!(said.contains("32 MiB"), "{said}");
    }
    let (_, said) = last(&testbed.run_in(&session, "on failure continue\n$ exit 3"));
    assert!(!said.contains("memory"), "an exit code alone is no news: {said}");
}

#[test]
fn volumes_of_an_image_go_with_their_containers() {
    let testbed =
        Testbed::docker_on_own_engine(&Options::config("[docker]\nreconcile_interval = \"1s\"\n"));
    let engine = testbed.engine.as_ref().expect("an engine");
    let changes = ["VOLUME [\"/data\", \"/cache\"]"];
    let image =
        Image { name: "evonic-volumes:1", changes: &changes, without: &[], shell: Shell::Busybox };
    image.import(|arguments| drop(engine.docker(arguments)));
    let mut settings = docker_settings(engine);
    settings["image"] = json!(image.name);
    testbed.workplace("volumes", "docker", &settings);
    let session = testbed.pair.session("volumes");
    let ran = testbed.run_in(&session, "$ ls -d /data /cache");
    assert_eq!(ran.output(), "/cache\n/data\n", "{ran:#?}");
    let volumes = || engine.docker(&["volume", "ls", "-q"]).lines().count();
    assert_eq!(volumes(), 3, "the workspace, and those of one container");
    let path = format!("/api/v1/sessions/{session}");
    let _deleted = testbed.pair.expect(204, "DELETE", &path, None);
    poll::until("no volume is left", Duration::from_secs(30), volumes, |left| {
        (*left == 0).then_some(())
    });
}

#[test]
fn an_image_that_does_not_fit_is_one_sentence_or_works() {
    let testbed = Testbed::docker(&Options::default());
    let engine = testbed.engine.as_ref().expect("an engine");
    let with = |name: &str, image: &Image<'_>| {
        image.import(|arguments| {
            let mut arguments = arguments.to_vec();
            if matches!(image.shell, Shell::Foreign) {
                arguments.splice(1..1, ["--platform", "linux/arm64"]);
            }
            drop(engine.docker(&arguments));
        });
        let mut settings = docker_settings(engine);
        settings["image"] = json!(image.name);
        settings["user"] = json!("4321:4321");
        testbed.workplace(name, "docker", &settings);
    };
    let base = Image { name: "", changes: &[], without: &[], shell: Shell::Busybox };
    with("foreign", &Image { name: "evonic-foreign:1", shell: Shell::Foreign, ..base });
    let (outcome, said) = last(&testbed.run("foreign", "on failure continue\n$ true"));
    assert_eq!(outcome, "error", "{said}");
    assert_documented("is made for arm64, and the engine's machine is … name an image for", &said);

    let base = Image { name: "", changes: &[], without: &[], shell: Shell::Busybox };
    with(
        "sleepless",
        &Image { name: "evonic-sleepless:1", without: &["sleep"], shell: Shell::Dash, ..base },
    );
    let (outcome, said) = last(&testbed.run("sleepless", "on failure continue\n$ true"));
    assert_eq!(outcome, "error", "{said}");
    assert_documented("has no program sleep that works", &said);

    let base = Image { name: "", changes: &[], without: &[], shell: Shell::Busybox };
    with("homeless", &Image { name: "evonic-homeless:1", ..base });
    let ran = testbed.run("homeless", "write ~/a.txt \"x\"\n$ echo $HOME; cat ~/a.txt; id -u");
    assert!(ran.is_completed(), "{ran:#?}");
    assert_eq!(ran.output(), "/workspace\nx4321\n");
}

/// Podman's service with the API of Docker.
struct Podman {
    folder: TempDir,
    service: Child,
}

impl Podman {
    fn command(folder: &TempDir) -> Command {
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut podman = Command::new("podman");
        podman.args(["--root", &at("root"), "--runroot", &at("run"), "--storage-driver", "vfs"]);
        podman.args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        podman.args(["--tmpdir", &at("tmp")]);
        podman
    }

    fn start() -> Self {
        let folder = TempDir::with_prefix_in("evp-", "/tmp").expect("a folder");
        let socket = folder.path().join("podman.sock");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut service = Self::command(&folder);
        service.args(["system", "service", "--time=0"]).arg(format!("unix://{}", socket.display()));
        service.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let service = service.spawn().expect("podman is installed");
        let there = || socket.exists();
        poll::until("podman listens", Duration::from_secs(60), there, |there| there.then_some(()));
        Self { folder, service }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let ran = Self::command(&self.folder).args(arguments).output().expect("podman");
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("text")
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _removed = Self::command(&self.folder).args(["rm", "-af", "-t", "0"]).output();
        let _killed = self.service.kill();
        let _status = self.service.wait();
    }
}

#[test]
fn podman_serves_as_an_engine() {
    let podman = Podman::start();
    let changes = ["VOLUME /data"];
    let image =
        Image { name: "evonic-podman:1", changes: &changes, without: &[], shell: Shell::Busybox };
    image.import(|arguments| drop(podman.run(arguments)));
    let testbed = Testbed::local(&Options::config("[docker]\nreconcile_interval = \"1s\"\n"));
    let socket = podman.folder.path().join("podman.sock");
    let settings = json!({"engine": format!("unix://{}", socket.display()), "image": image.name});
    testbed.workplace("podman", "docker", &settings);
    let session = testbed.pair.session("podman");
    let ran = testbed.run_in(
        &session,
        "write a/b.txt \"one\\n\"\nedit a/b.txt replace \"one\" with \"two\"\n$ cat a/b.txt; id -u\n\
         read a/b.txt\nlist\nsearch two",
    );
    assert!(ran.is_completed(), "{ran:#?}\n{}", testbed.pair.log());
    assert_eq!(ran.output(), "two\n1000\n");
    let path = format!("/api/v1/sessions/{session}");
    let _deleted = testbed.pair.expect(204, "DELETE", &path, None);
    let left = || podman.run(&["ps", "-aq"]) + &podman.run(&["volume", "ls", "-q"]);
    poll::until("nothing of it is left", Duration::from_secs(60), left, |left| {
        left.trim().is_empty().then_some(())
    });
}

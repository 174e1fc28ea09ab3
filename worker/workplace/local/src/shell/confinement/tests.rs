//! What the kernel lets a confined command do, and that what it cannot do is told.

use std::{fs, os::unix::fs::PermissionsExt, time::Instant};

use evonic_shared::config::Config;
use tokio_util::sync::CancellationToken;

use super::{Confinement, Found};
use crate::{
    fixture::{Fixture, bash},
    protections,
};
use evonic_backend::{CommandSpec, Ended};

/// Whether this kernel enforces it: the other tests show one of two branches.
fn enforced() -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::defaults(folder.path().join("state"), folder.path().join("run"));
    let found = Confinement::new(&config).probe(folder.path()).expect("it is tried");
    let told = protections(&config).into_iter().find(|told| told.name == "landlock");
    let told = told.expect("it is told of");
    println!("{}: {}", told.active, told.detail);
    assert_eq!(told.active, matches!(found, Found::Enforced(_)), "{told:?}");
    assert!(told.detail.contains(&found.describe()), "{told:?}");
    told.active
}

async fn succeeds(fixture: &Fixture, script: &str) -> bool {
    let (finished, output) = fixture.run(bash(script), &CancellationToken::new()).await;
    let ended = finished.expect("it starts").ended;
    println!("{script}: {ended:?} {output}");
    ended == Ended::Exited(0)
}

#[tokio::test]
async fn a_confined_command_works_in_its_root() {
    let fixture = Fixture::new();
    fixture.put("old", "old");
    for script in [
        "echo x > new && mkdir -p a/b && mv new a/b/ && cat a/b/new && ln -s a/b link && rm -r a",
        "echo x > /dev/null; head -c 4 /dev/urandom | od; cat /proc/self/status /etc/hosts",
        "cat <<END\nhere\nEND",
        "cd \"$HOME\" && f=$(mktemp) && echo x > \"$f\" && rm \"$f\" && [ -x /bin/sh ] && ls /etc /usr",
        "(exec sleep 100) & kill $! && : > /dev/stderr",
    ] {
        assert!(succeeds(&fixture, script).await, "{script}");
    }
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_confined_command_gets_nowhere_else_where_the_kernel_has_landlock() {
    let kept_out = enforced();
    let fixture = Fixture::new();
    fs::write(fixture.outside("state"), "secret").expect("it is written");
    let outside = fixture.outside("");
    let outside = outside.display();
    let other = bash("");
    assert!(succeeds(&fixture, "sleep 0").await);
    for script in [
        &format!("cat {outside}/state"),
        &format!("echo x > {outside}/written"),
        &format!("echo x >> {outside}/state"),
        &format!("rmdir {outside}/empty"),
        &format!("mkdir {}/spool/{}", fixture.state().display(), other.command_id),
        &format!("ls {}/spool", fixture.state().display()),
        &format!("ln {outside}/state stolen && cat stolen"),
        &format!("kill -0 {}", std::process::id()),
        "cat /etc/shadow",
        &format!("cat /proc/{}/environ >/dev/null", std::process::id()),
    ] {
        fs::create_dir_all(fixture.outside("empty")).expect("a folder");
        let root_only = script.contains("shadow") && !rustix::process::geteuid().is_root();
        let signals = script.starts_with("kill") && !scopes();
        if root_only || signals {
            continue;
        }
        assert_eq!(!succeeds(&fixture, script).await, kept_out, "{script}");
    }
    fixture.assert_given_back().await;
}

/// Whether signals are confined, too.
fn scopes() -> bool {
    let config = Config::defaults("/nowhere".into(), "/nowhere".into());
    let found = Confinement::new(&config).probe("/".as_ref()).expect("it is tried");
    matches!(found, Found::Enforced(version) if version >= 6)
}

#[tokio::test]
async fn what_is_not_confined_may_go_where_the_user_may() {
    let fixture = Fixture::with(|config| config.workplace.confined = false);
    let script = format!("echo x > {}/written", fixture.outside("").display());
    assert!(succeeds(&fixture, &script).await);
    let config = Config::defaults("/nowhere".into(), "/nowhere".into());
    let mut open = config;
    open.workplace.confined = false;
    assert!(!protections(&open)[0].active);
}

#[tokio::test]
async fn more_is_read_and_written_when_it_is_configured() {
    let more = tempfile::tempdir().expect("a folder");
    fs::create_dir(more.path().join("read")).expect("a folder");
    fs::create_dir(more.path().join("write")).expect("a folder");
    fs::write(more.path().join("read/file"), "x").expect("a file");
    let fixture = Fixture::with(|config| {
        config.workplace.read = vec![more.path().join("read"), more.path().join("missing")];
        config.workplace.write = vec![more.path().join("write")];
    });
    let more = more.path().display();
    assert!(succeeds(&fixture, &format!("cat {more}/read/file && echo x > {more}/write/x")).await);
    let written = succeeds(&fixture, &format!("echo x > {more}/read/file")).await;
    assert_eq!(!written, enforced());
}

#[tokio::test]
async fn a_folder_that_commands_cannot_read_is_not_in_their_path() {
    if !enforced() {
        return;
    }
    let fixture = Fixture::new();
    let hidden = fixture.outside("bin");
    fs::create_dir(&hidden).expect("a folder");
    fs::write(hidden.join("tool"), "#!/bin/sh\n").expect("a file");
    fs::set_permissions(hidden.join("tool"), fs::Permissions::from_mode(0o755)).expect("ours");
    let config = Config::defaults(fixture.outside(""), fixture.outside("run"));
    let confinement = Confinement::new(&config);
    assert!(!confinement.is_readable(&hidden));
    assert!(confinement.is_readable("/usr/bin".as_ref()));
    assert!(!confinement.is_readable("/root".as_ref()));
}

#[tokio::test]
async fn limits_hold_from_the_first_instruction_on() {
    let fixture = Fixture::with(|config| {
        config.workplace.max_file_bytes = 1 << 20;
        config.workplace.max_open_files = 64;
        config.workplace.max_memory_bytes = 256 << 20;
        config.workplace.max_processes = 3000;
        config.workplace.max_cpu_time = Some(std::time::Duration::from_secs(1));
    });
    let script = "ulimit -c; ulimit -n; ulimit -f; ulimit -d; ulimit -u; ulimit -t; \
                  ulimit -Hn; cat /proc/self/oom_score_adj";
    let (finished, output) = fixture.run(bash(script), &CancellationToken::new()).await;
    assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
    let limits: Vec<_> = output.split_whitespace().collect();
    assert_eq!(limits[..7], ["0", "64", "1024", "262144", "3000", "1", "64"], "{output}");
    let big = "head -c 2000000 /dev/zero > big";
    assert!(!succeeds(&fixture, big).await);
    assert_eq!(fs::metadata(fixture.path("big")).expect("it is cut").len(), 1 << 20);
    let (finished, _) = fixture.run(bash("while :; do :; done"), &CancellationToken::new()).await;
    assert!(matches!(finished.expect("it starts").ended, Ended::Signalled(9 | 24)));
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_launch_costs_little() {
    let mut took = Vec::new();
    for confined in [false, true] {
        let fixture = Fixture::with(|config| config.workplace.confined = confined);
        let mut times = Vec::new();
        for _ in 0..30 {
            let spec = CommandSpec { argv: vec!["true".to_owned()], ..bash("") };
            let begin = Instant::now();
            let (finished, _) = fixture.run(spec, &CancellationToken::new()).await;
            assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
            times.push(begin.elapsed());
        }
        times.sort();
        println!("confined {confined}: median {:?}, slowest {:?}", times[15], times[29]);
        took.push(times[15]);
        fixture.assert_given_back().await;
    }
    assert!(took[1] < took[0] * 3 + std::time::Duration::from_millis(50), "{took:?}");
}

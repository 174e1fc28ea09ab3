//! Commands whose runner was killed, or never came.

use super::*;

/// Whoever finds that a runner was killed says so, and nothing of its command lives.
#[tokio::test]
async fn a_runner_that_is_killed_takes_its_command_with_it() {
    use evonic_shared::config::Sandbox as Wanted;
    for wanted in [Wanted::Namespaces, Wanted::Landlock] {
        let fixture = Fixture::with(|config| config.workplace.sandbox = wanted);
        let outside = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(fixture.outside(""), outside).expect("ours");
        let spec = bash("echo $$ > pids; setsid sleep 1000 & sleep 1000");
        let command_id = spec.command_id.clone();
        let kill = async {
            begun(&fixture, "pids", 1).await;
            let record = fixture.state().join("commands").join(&command_id).join("record");
            let claim = std::fs::read_to_string(record).expect("it is claimed");
            let pid = claim.split("\"pid\":").nth(1).expect("a pid");
            let pid: i32 = pid.split(',').next().and_then(|pid| pid.parse().ok()).expect("a pid");
            let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it lives");
        };
        let cancel = CancellationToken::new();
        let ((result, _), ()) = tokio::join!(fixture.run(spec, &cancel), kill);
        let ended = result.expect("it is known").ended;
        assert_eq!(ended, Ended::Unknown(Unknown::WatcherKilled), "{wanted}");
        eventually("nothing of it lives", || processes(&command_id).is_empty()).await;
        let (again, _) = follow(&fixture, &command_id).await;
        assert_eq!(again, ended, "who asks later is told the same");
        fixture.assert_given_back().await;
    }
}

/// Who made the folder of a record before the command began, and died, left an answer to what became
/// of it.
#[tokio::test]
async fn a_command_that_was_reserved_and_not_started_never_began() {
    let fixture = Fixture::new();
    let commands = fixture.local.commands();
    let cancel = CancellationToken::new();
    let effect = bash("echo once >> counter");
    let count = || std::fs::read_to_string(fixture.path("counter")).unwrap_or_default();

    commands.reserve(&effect.command_id).await.expect("it is made");
    let (finished, _) = fixture.run(effect.clone(), &cancel).await;
    assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
    assert_eq!(count(), "once\n");

    // Found by a successor, or by who kills: then it never starts.
    for kill in [false, true] {
        let late = CommandSpec { command_id: format!("late-{kill}"), ..effect.clone() };
        commands.reserve(&late.command_id).await.expect("it is made");
        if kill {
            assert_eq!(commands.kill(&late.command_id).await.expect("it is killed"), 0);
        } else {
            let (ended, _) = follow(&fixture, &late.command_id).await;
            let Ended::NotStarted(why) = ended else { panic!("{ended:?}") };
            assert!(why.contains("never began"), "{why}");
        }
        let (finished, _) = fixture.run(late, &cancel).await;
        let ended = finished.expect("it is told").ended;
        assert!(matches!(ended, Ended::NotStarted(_) | Ended::Cancelled), "{ended:?}");
        assert_eq!(count(), "once\n");
    }
    // Nothing at all may have been removed.
    let (ended, _) = follow(&fixture, "nowhere").await;
    assert_eq!(ended, Ended::Unknown(Unknown::NoRecord));
    fixture.assert_given_back().await;
}

/// Processes that have to do with a folder: that name it, work in it or have it mounted.
fn of_folder(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.to_str().expect("it is UTF-8");
    let has = |process: &std::path::Path| {
        let texts =
            ["cmdline", "environ", "mountinfo"].map(|file| std::fs::read(process.join(file)));
        let cwd = std::fs::read_link(process.join("cwd")).unwrap_or_default();
        let mut texts = texts.iter().flatten().map(|text| String::from_utf8_lossy(text));
        texts.any(|text| text.contains(folder)) || cwd.to_string_lossy().contains(folder)
    };
    let entries = std::fs::read_dir("/proc").expect("/proc is there").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let living = pids.filter(|pid| *pid != std::process::id() && crate::fixture::lives(*pid));
    let processes = living.map(|pid| std::path::PathBuf::from(format!("/proc/{pid}")));
    let name = |process: std::path::PathBuf| std::fs::read_to_string(process.join("comm")).ok();
    processes.filter(|process| has(process)).filter_map(name).collect()
}

/// Kills the runners of this process.
fn kill_runners() {
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let is_runner = stat.contains("(evonic-runner) ")
            && stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(2)?.parse().ok())
                == Some(std::process::id());
        let pid = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw).filter(|_| is_runner) {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Also while the sandbox is being made, and while the command is being started.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_killed_at_any_moment_leaves_nothing() {
    use evonic_shared::config::Sandbox as Wanted;
    for wanted in [Wanted::Namespaces, Wanted::Landlock, Wanted::None] {
        let fixture = Fixture::with(|config| config.workplace.sandbox = wanted);
        let outside = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(fixture.outside(""), outside).expect("ours");
        let cancel = CancellationToken::new();
        assert_eq!(fixture.run(bash("true"), &cancel).await.0.expect("it").ended, Ended::Exited(0));
        for round in 0..30 {
            let spec = bash("(env -i setsid sleep 1000 &); sleep 1000");
            let kill = async {
                tokio::time::sleep(Duration::from_micros(round * 600)).await;
                while fixture.budget.usage()[Kind::Child.slot()].permits > 0 {
                    kill_runners();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let ((result, _), ()) = tokio::join!(fixture.run(spec, &cancel), kill);
            let ended = result.expect("it is known").ended;
            assert!(matches!(ended, Ended::Unknown(_) | Ended::NotStarted(_)), "{ended:?}");
        }
        let left = || of_folder(&fixture.outside(""));
        let deadline = Instant::now() + Duration::from_secs(20);
        while !left().is_empty() {
            assert!(Instant::now() < deadline, "{wanted}: {:?}", left());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fixture.assert_given_back().await;
    }
}

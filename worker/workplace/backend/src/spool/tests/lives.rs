//! How commands live, end and are killed.

use std::time::Instant;

use super::{machine::Transport, *};

/// Scripts that leave something behind, and how many processes that is at least.
const LEFT: [(&str, u32); 4] = [
    ("sleep 1000 & sleep 1000 & echo done", 2),
    ("setsid sleep 1000 & echo done", 1),
    ("(setsid sh -c '(setsid sleep 1000 >/dev/null 2>&1 </dev/null &)' &); echo done", 1),
    // Long enough for the whole of /proc to be looked at.
    ("(setsid sh -c 'sleep 1000 & sleep 1000' &); sleep 2.1; echo done", 2),
];

#[tokio::test]
async fn what_a_command_leaves_behind_is_killed_and_counted() {
    let machines = Machine::all();
    let every = machines.iter().flat_map(|machine| {
        LEFT.map(move |(script, least)| async move {
            let command_id =
                format!("left{}", LEFT.iter().position(|left| left.0 == script).unwrap());
            let (finished, output) =
                run(&machine.spool(), spec(&command_id, &["sh", "-c", script])).await;
            assert_eq!(finished.ended, exited(0), "{machine:?} {script}");
            assert!(finished.left_behind >= least, "{finished:?} {machine:?} {script}");
            assert_eq!(output, b"done\n", "{machine:?} {script}");
            assert_eq!(machine.marked(&command_id), Vec::<u32>::new());
        })
    });
    futures_util::future::join_all(every).await;
}

#[tokio::test]
async fn what_holds_the_output_at_the_end_may_finish() {
    let scripts = [
        "echo before; (sleep 0.02; echo after) &",
        "echo before; setsid sh -c 'sleep 0.02; echo after' &",
        "exec bash -c 'echo before; exec > >(sleep 0.02; exec cat); echo after'",
    ];
    let machines = Machine::all();
    let every = machines.iter().flat_map(|machine| {
        scripts.iter().enumerate().map(move |(number, script)| async move {
            let command_id = format!("linger{number}");
            let (finished, output) =
                run(&machine.spool(), spec(&command_id, &["sh", "-c", script])).await;
            // What has closed the output, and is slow to die, may be counted as left behind.
            assert_eq!(finished.ended, exited(0), "{machine:?}");
            assert_eq!(output, b"before\nafter\n", "{machine:?} {script}");
        })
    });
    futures_util::future::join_all(every).await;
}

#[tokio::test]
async fn a_command_whose_folder_is_removed_dies_with_everything_it_started() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let removing = async {
            until("it began", || read(&machine.record("r").join("out")) == "begun\n").await;
            std::fs::remove_dir_all(machine.record("r")).unwrap();
        };
        let script = "setsid sleep 1000 & sleep 1000 & echo begun; sleep 1000";
        let ((finished, _), ()) =
            tokio::join!(run(&spool, spec("r", &["sh", "-c", script])), removing);
        assert_eq!(finished.ended, Ended::Unknown(Unknown::NoRecord), "{machine:?}");
        until("nothing of it lives", || machine.processes().is_empty()).await;
    }
}

#[tokio::test]
async fn a_command_that_is_cancelled_as_it_is_launched_is_cancelled() {
    let machines = Machine::all();
    let every = machines.iter().map(|machine| async move {
        let spool = machine.spool();
        for number in 0..15 {
            let command_id = format!("early{number}");
            let (sender, _receiver) = mpsc::channel(4);
            let cancel = CancellationToken::new();
            let running =
                spool.run(own(&spool, spec(&command_id, &["sleep", "1000"])), sender, &cancel);
            let cancelling = async {
                tokio::time::sleep(Duration::from_millis(number)).await;
                cancel.cancel();
            };
            let (finished, ()) = tokio::join!(running, cancelling);
            assert_eq!(finished.unwrap().ended, Ended::Cancelled, "{machine:?} {number}");
            assert_eq!(
                attach(&spool, &command_id, 0).await.0.ended,
                Ended::Cancelled,
                "{machine:?}"
            );
            assert_eq!(machine.marked(&command_id), Vec::<u32>::new(), "{machine:?}");
        }
    });
    futures_util::future::join_all(every).await;
}

#[tokio::test]
async fn the_time_limit_holds_while_nobody_follows() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let spec = CommandSpec {
            timeout: Duration::from_millis(600),
            ..spec("late", &["sh", "-c", "sleep 1000 & echo begun; sleep 1000"])
        };
        let (sender, mut receiver) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        {
            let running = spool.run(own(&spool, spec), sender, &cancel);
            tokio::pin!(running);
            tokio::select! {
                result = &mut running => panic!("{result:?} {machine:?}"),
                begun = receiver.recv() => assert_eq!(begun.unwrap(), "begun\n"),
            }
        }
        until("nothing of it lives", || machine.marked("late").is_empty()).await;
        let (finished, output) = attach(&spool, "late", 0).await;
        assert_eq!(finished.ended, Ended::TimedOut, "{machine:?}");
        assert!(finished.left_behind >= 1, "{finished:?} {machine:?}");
        assert_eq!(output, b"begun\n");
    }
}

#[tokio::test]
async fn a_clock_that_cannot_be_read_is_no_time_that_has_passed() {
    let shells = ["dash", "bash", "busybox"].into_iter();
    let machines = shells.flat_map(|shell| {
        ["/proc/uptime", "/proc/sys/kernel/random/boot_id"]
            .map(|hidden| Machine::hiding(shell, hidden))
    });
    let every = machines.map(|machine| async move {
        let spool = machine.spool();
        let took = spec("takes", &["sh", "-c", "sleep 1.2; echo ran; exit 3"]);
        let (finished, output) = run(&spool, took).await;
        assert_eq!(finished.ended, exited(3), "{machine:?}");
        assert_eq!(output, b"ran\n", "{machine:?}");
        let spec = CommandSpec {
            timeout: Duration::from_millis(600),
            ..spec("late", &["sh", "-c", "sleep 1000"])
        };
        let began = Instant::now();
        assert_eq!(run(&spool, spec).await.0.ended, Ended::TimedOut, "{machine:?}");
        assert!(began.elapsed() >= Duration::from_millis(600), "{machine:?}");
        assert_eq!(machine.marked("late"), Vec::<u32>::new(), "{machine:?}");
    });
    futures_util::future::join_all(every).await;
}

#[tokio::test]
async fn the_output_limit_holds() {
    for shell in ["dash", "bash", "busybox"] {
        let machine = Machine::with(shell, Transport::Arguments, 65_536);
        let (finished, output) = run(&machine.spool(), spec("yes", &["yes"])).await;
        assert_eq!(finished.ended, Ended::TooMuchOutput, "{machine:?}");
        assert!(output.len() > 65_536);
        assert_eq!(machine.marked("yes"), Vec::<u32>::new());
    }
}

/// A machine that is busy lets `yes` write gigabytes before its watcher looks.
#[tokio::test]
async fn a_command_whose_watcher_is_late_has_too_much_output_all_the_same() {
    let machine = Machine::with("dash", Transport::Arguments, 65_536);
    let mut spool = machine.spool();
    spool.spool.overshoot = 1 << 20;
    let (finished, output) = run(&spool, spec("yes", &["yes"])).await;
    assert_eq!(finished.ended, Ended::TooMuchOutput);
    assert!(output.len() > 1 << 20, "{}", output.len());
    assert_eq!(machine.marked("yes"), Vec::<u32>::new());
}

#[tokio::test]
async fn a_cancelled_command_dies_with_everything_it_started() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let (sender, mut receiver) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let script = "trap '' TERM; setsid sleep 1000 & sleep 1000 & echo begun; sleep 1000";
        let following = spool.run(own(&spool, spec("c", &["sh", "-c", script])), sender, &cancel);
        let reading = async {
            assert_eq!(receiver.recv().await.unwrap(), "begun\n");
            cancel.cancel();
            Instant::now()
        };
        let (finished, cancelled) = tokio::join!(following, reading);
        println!("cancelled: {:?} {machine:?}", cancelled.elapsed());
        assert_eq!(finished.unwrap().ended, Ended::Cancelled, "{machine:?}");
        assert_eq!(machine.marked("c"), Vec::<u32>::new());
        assert_eq!(attach(&spool, "c", 0).await.0.ended, Ended::Cancelled);
    }
}

#[tokio::test]
async fn a_command_that_was_killed_first_never_starts() {
    let machine = Machine::dash();
    let spool = machine.spool();
    assert_eq!(spool.kill(&machine.command_id("never")).await.unwrap(), 0);
    let (finished, output) = run(&spool, spec("never", &["touch", "effect"])).await;
    assert_eq!((finished.ended, output), (Ended::Cancelled, Vec::new()));
    let (finished, _) = attach(&spool, "nobody", 0).await;
    assert_eq!(finished.ended, Ended::Unknown(Unknown::NoRecord));
    let (finished, _) = run(&spool, spec("nobody", &["touch", "effect"])).await;
    assert_eq!(finished.ended, Ended::Unknown(Unknown::NoRecord));
    assert!(!machine.path().join("effect").exists());
}

#[tokio::test]
async fn a_command_whose_watcher_was_killed_is_unknown_and_dead() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let script = "sleep 1000 & echo begun; sleep 1000";
        let killing = async {
            until("it began", || read(&machine.record("w").join("out")) == "begun\n").await;
            let watcher = read(&machine.record("w").join("watcher"));
            machine::kill(watcher.split(' ').next().unwrap().parse().unwrap());
        };
        let ((finished, _), ()) =
            tokio::join!(run(&spool, spec("w", &["sh", "-c", script])), killing);
        assert_eq!(finished.ended, Ended::Unknown(Unknown::WatcherKilled), "{machine:?}");
        assert!(finished.left_behind >= 2, "{finished:?}");
        assert_eq!(machine.marked("w"), Vec::<u32>::new());
        assert_eq!(attach(&spool, "w", 6).await, (finished, Vec::new()));
    }
}

#[tokio::test]
async fn a_command_of_an_earlier_boot_is_unknown() {
    let machine = Machine::dash();
    std::fs::create_dir_all(machine.record("old")).unwrap();
    std::fs::write(machine.record("old").join("watcher"), "1 7 another-boot.8\n").unwrap();
    std::fs::write(machine.record("old").join("out"), "half").unwrap();
    let (finished, output) = attach(&machine.spool(), "old", 1).await;
    assert_eq!(finished.ended, Ended::Unknown(Unknown::Restarted));
    assert_eq!(output, b"alf");
}

#[tokio::test]
async fn a_signal_is_told_from_an_exit_code() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let end = async |command_id: &str, script| {
            run(&spool, spec(command_id, &["sh", "-c", script])).await.0.ended
        };
        assert_eq!(end("a", "exit 137").await, exited(137), "{machine:?}");
        assert_eq!(end("b", "kill -9 $$").await, Ended::Signalled(9), "{machine:?}");
        assert_eq!(end("c", "kill -15 $$").await, Ended::Signalled(15), "{machine:?}");
        assert_eq!(end("d", "exit 143").await, exited(143), "{machine:?}");
    }
}

#[tokio::test]
async fn a_command_that_cannot_start_says_why() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let why = async |command_id: &str, argv: &[&str], folder: &str| {
            let spec = CommandSpec { folder: folder.to_owned(), ..spec(command_id, argv) };
            match run(&spool, spec).await.0.ended {
                Ended::NotStarted(why) => why,
                other => panic!("{other:?} {machine:?}"),
            }
        };
        std::fs::write(machine.path().join("plain"), "x").unwrap();
        std::fs::write(machine.path().join("odd"), "#!/no/such\n").unwrap();
        machine::make_executable(&machine.path().join("odd"));
        let found = why("a", &["no-such-program"], "").await;
        assert_eq!(found, "no-such-program: program not found");
        let found = why("b", &["./plain"], "").await;
        assert_eq!(found, "./plain may not be executed: permission denied");
        let found = why("c", &["./odd"], "").await;
        assert!(found.contains("./odd") && found.contains("No such file"), "{found}");
        let found = why("d", &["true"], "missing").await;
        assert!(found.ends_with("missing does not exist"), "{found}");
        let found = why("e", &["true"], "plain").await;
        assert!(found.ends_with("plain is no folder"), "{found}");
        let long = "x".repeat(200_000);
        let found = why("f", &["true", &long], "").await;
        assert!(found.contains("200000 bytes"), "{found}");
        let (finished, _) = run(&spool, spec("g", &["sh", "-c", "exit 127"])).await;
        assert_eq!(finished.ended, exited(127));
    }
}

#[tokio::test]
async fn spools_that_cannot_be_made_are_told() {
    let machine = Machine::dash();
    std::fs::write(machine.spools_path(), "a file").unwrap();
    let (finished, _) = run(&machine.spool(), spec("a", &["true"])).await;
    let Ended::NotStarted(why) = finished.ended else { panic!("{finished:?}") };
    assert!(why.contains("mkdir"), "{why}");
}

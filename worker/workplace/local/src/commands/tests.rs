//! Commands as real processes. Every process that is looked for was started by the test itself.

mod followed;
mod lost;
mod previous;

use std::time::{Duration, Instant};

use evonic_shared::kind::Kind;
use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fixture::{Fixture, bash, eventually, processes};
use evonic_backend::{Backend, CommandSpec, Ended, Finished, Unknown, WorkplaceError};

/// Runs a script to its end; everything must be given back.
async fn check(spec: CommandSpec) -> (Finished, String) {
    let fixture = Fixture::new();
    let (finished, output) = fixture.run(spec, &CancellationToken::new()).await;
    fixture.assert_given_back().await;
    (finished.expect("it starts"), output)
}

/// How a script ended, with nothing left behind.
async fn ended(script: &str) -> Ended {
    let (finished, _) = check(bash(script)).await;
    assert_eq!(finished.left_behind, 0);
    finished.ended
}

/// Until a script has written so many lines to a file: one for each of its processes.
async fn begun(fixture: &Fixture, file: &str, count: usize) {
    let path = fixture.path(file);
    let lines = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
    eventually("the script's processes run", || lines() == count).await;
}

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    assert_eq!(ended("exit 0").await, Ended::Exited(0));
    assert_eq!(ended("exit 3").await, Ended::Exited(3));
    assert_eq!(ended("kill -TERM $$").await, Ended::Signalled(15));
}

/// The worker's threads block what its control thread reads.
#[tokio::test]
async fn signals_that_the_worker_blocks_reach_commands() {
    let blocked = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    let fixture = std::thread::spawn(move || {
        blocked.thread_block().expect("they are blocked");
        Fixture::new()
    });
    let fixture = fixture.join().expect("it is made, with the threads that start scripts");
    // It runs for longer than a launcher waits before it follows the output.
    let script = "timeout 0.3 sleep 60; echo $?; grep SigBlk /proc/self/status";
    let (finished, output) = fixture.run(bash(script), &CancellationToken::new()).await;
    assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
    assert_eq!(output, "124\nSigBlk:\t0000000000000000\n");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn output_and_errors_keep_their_order() {
    let (_, output) = check(bash("for i in 1 2 3; do echo out$i; echo err$i >&2; done")).await;
    assert_eq!(output, "out1\nerr1\nout2\nerr2\nout3\nerr3\n");
}

#[tokio::test]
async fn standard_input_is_given_and_ends() {
    let stdin = vec![b'x'; 1_000_000];
    let (_, output) = check(CommandSpec { stdin: stdin.into(), ..bash("cat | wc -c; cat") }).await;
    assert_eq!(output.trim(), "1000000");
    let (_, output) = check(bash("cat; echo end")).await;
    assert_eq!(output, "end\n");
}

#[tokio::test]
async fn environment_is_scrubbed() {
    let mut expected =
        ["EVONIC_CALL", "HOME", "LANG", "PATH", "TMPDIR"].map(str::to_owned).to_vec();
    let mut unattended = Vec::new();
    evonic_backend::unattended::complete(&mut unattended);
    expected.extend(unattended.into_iter().map(|(name, _)| name));
    if std::env::var_os("TZ").is_some() {
        expected.push("TZ".to_owned());
    }
    let is_other = |name: &String| {
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_plain && !expected.contains(name) && !["PWD", "OLDPWD", "SHLVL"].contains(&&**name)
    };
    let another = std::env::vars().map(|(name, _)| name).find(is_other).expect("this has more");
    let fixture = Fixture::with(|config| {
        config.tools.environment = vec![another.clone(), "NOT_SET".to_owned()];
    });
    expected.push(another);
    expected.sort();
    let spec =
        bash("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | cut -d= -f1 | LC_ALL=C sort");
    let (finished, output) = fixture.run(spec, &CancellationToken::new()).await;
    assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);

    let spec = bash("echo $HOME; pwd; echo $TERM $EVONIC_CALL");
    let command_id = spec.command_id.clone();
    let (_, output) = fixture.run(spec, &CancellationToken::new()).await;
    let root = fixture.path("").canonicalize().expect("the root is there");
    let root = root.display();
    assert_eq!(output, format!("{root}\n{root}\ndumb {command_id}\n"));
}

/// A field of `/proc/PID/status`, in hexadecimal.
fn mask(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
    let mask = u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a mask");
    // Signals 32 and 33 are the C library's own business.
    mask & 0x7fff_ffff
}

#[tokio::test]
async fn signals_are_at_their_defaults() {
    const SIGPIPE: u64 = 1 << 12;
    let own = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    assert_ne!(mask(&own, "SigIgn") & SIGPIPE, 0, "the standard library ignores it");
    let argv = ["cat", "/proc/self/status"].map(str::to_owned).to_vec();
    let (_, status) = check(CommandSpec { argv, ..bash("") }).await;
    assert_eq!(mask(&status, "SigBlk"), 0);
    assert_eq!(mask(&status, "SigIgn"), mask(&own, "SigIgn") & !SIGPIPE);
}

#[tokio::test]
async fn no_descriptor_of_this_process_is_inherited() {
    // A harness may have left descriptors open to every child; they are not this room's.
    let left_open = |number: &String| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
        let flags =
            info.ok()?.lines().find_map(|line| line.strip_prefix("flags:").map(str::to_owned))?;
        let flags = u32::from_str_radix(flags.trim(), 8).ok()?;
        Some(flags & 0o2_000_000 == 0)
    };
    let argv = ["ls", "/proc/self/fd"].map(str::to_owned).to_vec();
    let (_, output) = check(CommandSpec { argv, ..bash("") }).await;
    // The three, and the folder that `ls` reads.
    let more: Vec<_> = output.lines().map(str::to_owned).collect();
    let more = more.into_iter().filter(|number| !left_open(number).unwrap_or(false)).count();
    assert!(more <= 4, "{output}");
}

/// A script that starts a tree: a child of the group, one in a session of its own, and one of
/// those that is stopped. Each writes its number; the leader waits.
const TREE: &str = "
    sleep 1000 & echo $! >> pids
    setsid bash -c 'echo $$ >> pids; exec sleep 1000' &
    setsid bash -c 'echo $$ >> pids; kill -STOP $$' &
    setsid bash -c '(setsid sleep 1000 & echo $! >> pids); exit' &
    echo $$ >> pids
    wait; sleep 1000";

#[tokio::test]
async fn cancelling_kills_the_whole_tree_within_a_second() {
    let fixture = Fixture::new();
    let cancel = CancellationToken::new();
    let spec = bash(TREE);
    let command_id = spec.command_id.clone();
    let watch = async {
        begun(&fixture, "pids", 5).await;
        assert!(processes(&command_id).len() >= 5);
        let since = Instant::now();
        cancel.cancel();
        since
    };
    let ((result, _), since) = tokio::join!(fixture.run(spec, &cancel), watch);
    let took = since.elapsed();
    assert_eq!(result.expect("it starts").ended, Ended::Cancelled);
    let alive = processes(&command_id);
    assert!(alive.is_empty(), "{alive:?} live after {took:?}");
    println!("cancelled and told within {took:?}");
    // A second, on a machine that does nothing else.
    assert!(took < Duration::from_secs(4), "took {took:?}");
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_timeout_kills_the_whole_tree() {
    let fixture = Fixture::new();
    let spec = CommandSpec { timeout: Duration::from_millis(500), ..bash(TREE) };
    let command_id = spec.command_id.clone();
    let (result, _) = fixture.run(spec, &CancellationToken::new()).await;
    assert_eq!(result.expect("it starts").ended, Ended::TimedOut);
    begun(&fixture, "pids", 5).await;
    assert!(processes(&command_id).is_empty());
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn output_before_a_timeout_is_not_lost() {
    let spec = CommandSpec { timeout: Duration::from_millis(300), ..bash("echo first; sleep 9") };
    let (finished, output) = check(spec).await;
    assert_eq!((finished.ended, output.as_str()), (Ended::TimedOut, "first\n"));
}

#[tokio::test]
async fn what_is_left_in_the_background_is_killed_and_counted() {
    let fixture = Fixture::new();
    let script = "sleep 1000 & echo $! >> pids; setsid sleep 1000 >/dev/null 2>&1 & echo done";
    let since = Instant::now();
    let spec = bash(script);
    let command_id = spec.command_id.clone();
    let (result, output) = fixture.run(spec, &CancellationToken::new()).await;
    let finished = result.expect("it starts");
    assert_eq!(finished, Finished { ended: Ended::Exited(0), left_behind: 2 });
    assert_eq!(output, "done\n");
    assert!(since.elapsed() < Duration::from_secs(8), "took {:?}", since.elapsed());
    begun(&fixture, "pids", 1).await;
    assert!(processes(&command_id).is_empty());
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_noisy_process_in_the_background_does_not_keep_the_call() {
    let since = Instant::now();
    let script = "echo first; while :; do echo noise; sleep 0.05; done &";
    let (finished, output) = check(bash(script)).await;
    assert_eq!(finished.ended, Ended::Exited(0));
    assert!(finished.left_behind > 0);
    assert!(output.contains("first\n") && output.contains("noise\n"), "{output}");
    assert!(since.elapsed() < Duration::from_secs(8), "took {:?}", since.elapsed());
}

#[tokio::test]
async fn every_byte_reaches_a_slow_reader() {
    let fixture = Fixture::new();
    let (sender, mut receiver) = mpsc::channel::<bytes::Bytes>(1);
    let spec = bash("head -c 300000 /dev/zero | tr '\\0' x");
    let read = async {
        let mut bytes = 0;
        while let Some(piece) = receiver.recv().await {
            bytes += piece.len();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bytes
    };
    let cancel = CancellationToken::new();
    let (finished, bytes) = tokio::join!(fixture.local.commands().run(spec, sender, &cancel), read);
    assert_eq!((finished.expect("it starts").ended, bytes), (Ended::Exited(0), 300_000));
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_reader_that_is_gone_does_not_stop_the_command() {
    let fixture = Fixture::new();
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let spec = bash("head -c 1000000 /dev/zero; exit 4");
    let finished = fixture.local.commands().run(spec, sender, &CancellationToken::new()).await;
    assert_eq!(finished.expect("it starts").ended, Ended::Exited(4));
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn commands_wait_for_a_permit_and_can_be_cancelled_meanwhile() {
    let fixture = Fixture::with(|config| config.budget.child = 1);
    let permit = fixture.budget.try_acquire(Kind::Child).expect("it is free");
    let cancel = CancellationToken::new();
    let later = async {
        tokio::task::yield_now().await;
        cancel.cancel();
    };
    let ((result, _), ()) = tokio::join!(fixture.run(bash("echo never"), &cancel), later);
    assert_eq!(result.expect("no error").ended, Ended::Cancelled);
    drop(permit);
    fixture.assert_given_back().await;
    assert_eq!(fixture.peak(Kind::Child), 0);
}

#[tokio::test]
async fn folder_must_be_inside_and_a_folder() {
    let fixture = Fixture::new();
    fixture.put("sub/file", "");
    let run = async |folder: &str| {
        let spec = CommandSpec { folder: folder.to_owned(), ..bash("basename $PWD") };
        fixture.run(spec, &CancellationToken::new()).await
    };
    let (finished, output) = run("sub").await;
    assert_eq!((finished.expect("it starts").ended, output.as_str()), (Ended::Exited(0), "sub\n"));
    assert!(matches!(run("..").await.0, Err(WorkplaceError::Outside { .. })));
    assert!(matches!(run("sub/file").await.0, Err(WorkplaceError::WrongType { .. })));
    assert!(matches!(run("~/sub").await.0, Err(WorkplaceError::Tilde { .. })));
    let (missing, _) = run("missing").await;
    assert!(matches!(missing, Err(WorkplaceError::Path { operation: "enter", .. })));
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_command_leads_its_session() {
    let (_, output) = check(bash("echo $$; ps -o pgid=,sid= -p $$")).await;
    let numbers: Vec<_> = output.split_whitespace().collect();
    assert_eq!((numbers[0], numbers[0]), (numbers[1], numbers[2]));
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let fixture = Fixture::new();
    for program in ["no-such-program", "/etc/passwd"] {
        let spec = CommandSpec { argv: vec![program.to_owned()], ..bash("") };
        let (result, _) = fixture.run(spec, &CancellationToken::new()).await;
        let Ok(Finished { ended: Ended::NotStarted(why), .. }) = &result else {
            panic!("{result:?}")
        };
        assert!(why.contains(program), "{why}");
    }
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_command_owns_what_its_kind_allows() {
    let fixture = Fixture::new();
    let cancel = CancellationToken::new();
    let (sender, _unread) = mpsc::channel(1);
    let owned = || {
        let usage = fixture.budget.usage()[Kind::Child.slot()];
        (usage.permits, usage.descriptors)
    };
    let watch = async {
        begun(&fixture, "pids", 1).await;
        eventually("it runs with its connection", || owned() == (1, 1)).await;
        cancel.cancel();
    };
    let run = fixture.local.commands().run(bash("echo $$ > pids; sleep 1000"), sender, &cancel);
    let (finished, ()) = tokio::join!(run, watch);
    assert_eq!(finished.expect("it starts").ended, Ended::Cancelled);
    fixture.assert_given_back().await;
    assert!(fixture.peak(Kind::Child) <= 2 * Kind::Child.descriptors_per_handle());
}

#[tokio::test]
async fn what_is_forgotten_is_removed() {
    let fixture = Fixture::new();
    let spec = bash("mkdir -p \"${TMPDIR:-.}/a/b\"; echo x");
    let command_id = spec.command_id.clone();
    let (finished, _) = fixture.run(spec, &CancellationToken::new()).await;
    assert_eq!(finished.expect("it starts").ended, Ended::Exited(0));
    let record = fixture.state().join("commands").join(&command_id);
    assert!(record.join("status").exists());
    fixture.local.commands().forget(&command_id);
    fixture.assert_given_back().await;
    assert!(!record.exists());
}

/// Follows a command to its end, from the second byte of its output on.
async fn follow(fixture: &Fixture, command_id: &str) -> (Ended, String) {
    let (sender, mut receiver) = mpsc::channel(8);
    let cancel = CancellationToken::new();
    let read = async {
        let mut output = Vec::new();
        while let Some(piece) = receiver.recv().await {
            output.extend(piece);
        }
        String::from_utf8(output).expect("text")
    };
    let follow = fixture.local.commands().attach(command_id, 1, sender, &cancel);
    let (finished, output) = tokio::join!(follow, read);
    (finished.expect("it is known").ended, output)
}

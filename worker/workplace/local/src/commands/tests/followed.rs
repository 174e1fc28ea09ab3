//! Commands that outlive who started them.

use super::*;

/// A script that writes its number, and ends when its input says so.
const PATIENT: &str = "echo $$ > pids; echo begun; until [ -e go ]; do sleep 0.02; done; echo end";

/// Starts [`PATIENT`], waits until it has begun, and goes; its id.
async fn left_running(fixture: &Fixture) -> String {
    let (spec, cancel) = (bash(PATIENT), CancellationToken::new());
    let command_id = spec.command_id.clone();
    tokio::select! {
        finished = fixture.run(spec, &cancel) => panic!("it ended: {finished:?}"),
        () = begun(fixture, "pids", 1) => {}
    }
    command_id
}

#[tokio::test]
async fn a_command_whose_caller_is_gone_goes_on_and_is_followed_again() {
    let fixture = Fixture::new();
    let (command_id, cancel) = (left_running(&fixture).await, CancellationToken::new());
    fixture.assert_given_back().await;
    assert!(!processes(&command_id).is_empty());
    let (sender, mut receiver) = mpsc::channel(8);
    let read = async {
        let mut output = Vec::new();
        while let Some(piece) = receiver.recv().await {
            output.extend(piece);
            fixture.put("go", "");
        }
        String::from_utf8(output).expect("text")
    };
    let follow = fixture.local.commands().attach(&command_id, 0, sender, &cancel);
    let (finished, output) = tokio::join!(follow, read);
    assert_eq!(finished.expect("it is known").ended, Ended::Exited(0));
    assert_eq!(output, "begun\nend\n");
    fixture.assert_given_back().await;
}

/// A command without namespaces reaches the sockets of runners, and has no token.
#[tokio::test]
async fn who_shows_no_token_keeps_nobody_from_a_command() {
    let fixture = Fixture::new();
    let (command_id, cancel) = (left_running(&fixture).await, CancellationToken::new());
    let socket = fixture.state().join("commands").join(&command_id).join("socket");
    let stranger = || {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket as make};
        let stranger = make(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
        connect(&stranger, &SocketAddrUnix::new(&socket).expect("short")).expect("it is taken");
        stranger
    };
    let strangers: Vec<_> = (0..40).map(|_| stranger()).collect();
    fixture.put("go", "");
    let (sender, _unread) = mpsc::channel(8);
    let follow = fixture.local.commands().attach(&command_id, 0, sender, &cancel);
    let finished = tokio::time::timeout(Duration::from_secs(10), follow).await;
    assert_eq!(finished.expect("in time").expect("it is known").ended, Ended::Exited(0));
    drop(strangers);
    fixture.assert_given_back().await;
}

#[tokio::test]
async fn a_caller_that_is_gone_at_once_loses_no_command_that_began() {
    let fixture = Fixture::new();
    for round in 0..10 {
        let spec = bash("echo once >> counter");
        let (command_id, cancel) = (spec.command_id.clone(), CancellationToken::new());
        let pause = tokio::time::sleep(Duration::from_millis(round * 2));
        tokio::select! {
            biased;
            _finished = fixture.run(spec, &cancel) => {}
            () = pause => {}
        }
        let (sender, _unread) = mpsc::channel(8);
        let finished = fixture.local.commands().attach(&command_id, 0, sender, &cancel).await;
        let ended = finished.expect("it is known").ended;
        assert!(matches!(ended, Ended::Exited(0) | Ended::Unknown(Unknown::NoRecord)), "{ended:?}");
        let count = std::fs::read_to_string(fixture.path("counter")).unwrap_or_default();
        assert_eq!(count.lines().count(), usize::from(ended == Ended::Exited(0)), "{round}");
        let _absent = std::fs::remove_file(fixture.path("counter"));
    }
    fixture.assert_given_back().await;
}

#[test]
fn a_runtime_that_ends_leaves_the_command_and_no_script() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let fixture = Fixture::new();
    let spec = bash(PATIENT);
    let command_id = spec.command_id.clone();
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        tokio::select! {
            finished = fixture.run(spec, &cancel) => panic!("it ended: {finished:?}"),
            () = begun(&fixture, "pids", 1) => {}
        }
    });
    drop(runtime);
    assert!(!processes(&command_id).is_empty());
    let other = tokio::runtime::Runtime::new().expect("a runtime");
    let killed = other.block_on(fixture.local.commands().kill(&command_id)).expect("it is killed");
    assert!(killed >= 1, "{killed}");
    assert!(processes(&command_id).is_empty());
}

#[tokio::test]
async fn a_reader_that_does_not_read_does_not_keep_the_command_alive() {
    let fixture = Fixture::new();
    let (sender, mut unread) = mpsc::channel(1);
    let spec =
        CommandSpec { timeout: Duration::from_millis(300), ..bash("while :; do echo y; done") };
    let cancel = CancellationToken::new();
    let run = fixture.local.commands().run(spec, sender, &cancel);
    let later = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        while unread.recv().await.is_some() {}
    };
    let (finished, ()) = tokio::join!(run, later);
    assert_eq!(finished.expect("it starts").ended, Ended::TimedOut);
    fixture.assert_given_back().await;
}

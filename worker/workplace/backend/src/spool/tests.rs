//! Real shells as children of this process.

mod lives;
mod machine;
mod passes;
mod strange;

use std::{path::Path, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::machine::{Machine, Own};
use super::*;

fn spec(command_id: &str, argv: &[&str]) -> CommandSpec {
    CommandSpec {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        stdin: Bytes::new(),
        folder: String::new(),
        timeout: Duration::from_secs(30),
        command_id: command_id.to_owned(),
    }
}

fn exited(code: i32) -> Ended {
    Ended::Exited(code)
}

/// The same with a command id that no other machine has.
fn own(spool: &Own, spec: CommandSpec) -> CommandSpec {
    CommandSpec { command_id: spool.machine.command_id(&spec.command_id), ..spec }
}

/// Runs a command; returns how it ended and its output.
async fn run(spool: &Own, spec: CommandSpec) -> (Finished, Vec<u8>) {
    let spec = own(spool, spec);
    let (sender, receiver) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let (finished, output) = tokio::join!(spool.run(spec, sender, &cancel), collect(receiver));
    (finished.unwrap(), output)
}

async fn attach(spool: &Own, command_id: &str, from: u64) -> (Finished, Vec<u8>) {
    let (sender, receiver) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let command_id = spool.machine.command_id(command_id);
    let following = spool.attach(&command_id, from, sender, &cancel);
    let (finished, output) = tokio::join!(following, collect(receiver));
    (finished.unwrap(), output)
}

async fn collect(mut receiver: mpsc::Receiver<Bytes>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = receiver.recv().await {
        all.extend_from_slice(&bytes);
    }
    all
}

/// Waits, at most for 20 s, until `what` holds.
async fn until(state: &str, mut what: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(tokio::time::Instant::now() < deadline, "still not: {state}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_command_runs_in_every_shell() {
    for machine in Machine::all() {
        let spool = machine.spool();
        let (finished, output) =
            run(&spool, spec("a", &["sh", "-c", "echo out; echo err >&2; exit 7"])).await;
        assert_eq!(finished, Finished { ended: exited(7), left_behind: 0 }, "{machine:?}");
        assert_eq!(output, b"out\nerr\n", "{machine:?}");
        assert_eq!(attach(&spool, "a", 4).await, (finished, b"err\n".to_vec()), "{machine:?}");
    }
}

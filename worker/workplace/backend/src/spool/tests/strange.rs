//! Records in which somebody replaced every file by something else.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    time::Instant,
};

use super::*;
use crate::{Result, WorkplaceError};

/// The files of a record, and the record itself.
const FILES: [&str; 8] = ["watcher", "out", "status", "command", "exit", "why", "swept", ""];

/// What may stand in a file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Link,
    LinkToNothing,
    LinkToZero,
    Fifo,
    Folder,
    Socket,
    Nothing,
    Nonsense,
}

const KINDS: [Kind; 8] = [
    Kind::Link,
    Kind::LinkToNothing,
    Kind::LinkToZero,
    Kind::Fifo,
    Kind::Folder,
    Kind::Socket,
    Kind::Nothing,
    Kind::Nonsense,
];

/// Those that other shells are tried with.
const FEW: [Kind; 3] = [Kind::Link, Kind::LinkToZero, Kind::Fifo];

/// A line that is a status, a watcher and a secret at once.
const SECRET: &str = "exited 42 7 secret\n";

fn replace(path: &Path, kind: Kind, outside: &Path) {
    let is_folder = path.is_dir();
    let _missing = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match kind {
        Kind::Link => symlink(outside.join("secret"), path).unwrap(),
        Kind::LinkToNothing => symlink(outside.join("nothing"), path).unwrap(),
        Kind::LinkToZero => symlink("/dev/zero", path).unwrap(),
        Kind::Fifo => {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        }
        Kind::Folder => fs::create_dir(path).unwrap(),
        Kind::Socket => {
            // A socket's path is short; the folder's is reached by its descriptor's name.
            let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap());
            let place = std::env::temp_dir().join(format!("s{:x}", fastrand::u64(..)));
            drop(UnixListener::bind(&place).unwrap());
            fs::rename(&place, folder.join(name)).unwrap();
        }
        Kind::Nothing => {}
        Kind::Nonsense => fs::write(path, [b'x'; 100_000]).unwrap(),
    }
}

/// Whether nothing outside was written, and nothing of it read.
fn is_untouched(outside: &Path, output: &[u8]) -> bool {
    let names = fs::read_dir(outside).unwrap().count();
    names == 1
        && read(&outside.join("secret")) == SECRET
        && !String::from_utf8_lossy(output).contains("secret")
}

/// Follows, reads, kills and tidies; none may take long.
async fn use_all(machine: &Arc<Machine>, name: &str) -> (Result<Finished>, Vec<u8>) {
    let spool = machine.spool();
    let command_id = machine.command_id(name);
    let (sender, receiver) = mpsc::channel(4);
    let cancel = CancellationToken::new();
    let following = spool.attach(&command_id, 0, sender, &cancel);
    let (finished, mut output) = tokio::join!(following, collect(receiver));
    if let Ok(bytes) = spool.output(&command_id, 0, 1000).await {
        output.extend_from_slice(&bytes);
    }
    spool.kill(&command_id).await.unwrap();
    spool.tidy().await.unwrap();
    (finished, output)
}

async fn check(shell: &str, kinds: &[Kind]) {
    let every = kinds.iter().map(|kind| check_kind(shell, *kind));
    futures_util::future::join_all(every).await;
}

async fn check_kind(shell: &str, kind: Kind) {
    let machine = Machine::new(shell, machine::Transport::Arguments);
    let outside = machine.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), SECRET).unwrap();
    let each = FILES.map(|file| {
        let (machine, outside) = (&machine, &outside);
        async move {
            let name = format!("c{}", FILES.iter().position(|other| *other == file).unwrap());
            run(&machine.spool(), spec(&name, &["echo", "said"])).await;
            // As if its watcher had been killed.
            let record = machine.record(&name);
            if file != "status" {
                fs::write(record.join("status"), " ".repeat(299)).unwrap();
            }
            let path = if file.is_empty() { record } else { record.join(file) };
            replace(&path, kind, outside);
            let began = Instant::now();
            let (finished, output) = use_all(machine, &name).await;
            let took = began.elapsed();
            let place = format!("{shell} {kind:?} {file:?}: {finished:?} {output:?}");
            assert!(is_untouched(outside, &output), "{place}");
            // 0.5 to 4 s of looking around; 60 s of silence if it hung.
            assert!(took < Duration::from_secs(45), "{place}: {took:?}");
            assert!(
                matches!(
                    finished,
                    Ok(Finished { ended: Ended::Unknown(_) | Ended::Cancelled, .. })
                ),
                "{place}"
            );
        }
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn no_file_of_a_record_leads_anywhere_or_hangs_in_dash() {
    check("dash", &KINDS).await;
}

#[tokio::test]
async fn no_file_of_a_record_leads_anywhere_or_hangs_in_bash() {
    check("bash", &FEW).await;
}

#[tokio::test]
async fn no_file_of_a_record_leads_anywhere_or_hangs_in_busybox() {
    check("busybox", &FEW).await;
}

/// The command itself does it, while it runs: its time limit and a cancel hold all the same.
#[tokio::test]
async fn a_command_that_breaks_its_record_is_ended_all_the_same() {
    let machines = Machine::all();
    let every = machines.iter().flat_map(|machine| {
        FILES.iter().enumerate().map(move |(number, file)| async move {
            let name = format!("own{number}");
            let path = machine.record(&name).join(file);
            let script = "rm -rf \"$1\"; mkfifo \"$1\"; echo begun; exec sleep 1000";
            let argv = ["sh", "-c", script, "sh", path.to_str().unwrap()];
            let spec = CommandSpec { timeout: Duration::from_secs(2), ..spec(&name, &argv) };
            let began = Instant::now();
            let (finished, _) = run(&machine.spool(), spec).await;
            let place = format!("{machine:?} {file:?} {finished:?}");
            assert!(began.elapsed() < Duration::from_secs(30), "{place} {:?}", began.elapsed());
            assert!(
                matches!(
                    finished.ended,
                    Ended::TimedOut | Ended::Unknown(_) | Ended::Cancelled | Ended::Signalled(9)
                ),
                "{place}"
            );
            assert_eq!(machine.marked(&name), Vec::<u32>::new(), "{place}");
        })
    });
    futures_util::future::join_all(every).await;
}

#[tokio::test]
async fn a_folder_of_spools_that_is_a_link_is_not_used() {
    for shell in ["dash", "bash", "busybox"] {
        let machine = Machine::new(shell, machine::Transport::Arguments);
        let elsewhere = machine.path().join("elsewhere");
        fs::create_dir_all(elsewhere.join("old")).unwrap();
        fs::remove_dir_all(machine.spools_path()).unwrap_or_default();
        symlink(&elsewhere, machine.spools_path()).unwrap();
        let spool = machine.spool();
        spool.forget("old");
        let error: WorkplaceError = spool.kill("old").await.unwrap_err();
        assert!(crate::error::Cause(format!("{error:?}")).0.contains("is a link"), "{error:?}");
        spool.tidy().await.unwrap();
        assert!(elsewhere.join("old").exists(), "{shell}");
    }
}

//! Commands that a worker of the version before started: their record is
//! `state_dir/spool/COMMAND_ID/COMMAND_ID/`, which the command itself can write to. So it is read as
//! a stranger's: below the folder, regular files of this user only, bounded, and no number in it is
//! taken for a process.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    process::{Pid, Signal, geteuid, getpid, kill_process},
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use evonic_backend::{Ended, Finished, Result, Unknown, WorkplaceError};
use evonic_handles::blocking::BlockingPool;

/// Between two looks at such a record.
const LOOK: Duration = Duration::from_millis(100);

/// How much of an output is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// The most bytes of a status.
const STATUS_BYTES: u64 = 4096;

/// Where the version before would have kept the record of a command.
fn folder(record: &Path) -> Option<PathBuf> {
    let command_id = record.file_name()?;
    Some(record.parent()?.parent()?.join("spool").join(command_id).join(command_id))
}

/// Whether there is such a record.
pub(super) fn exists(record: &Path) -> bool {
    folder(record).is_some_and(|folder| fs::symlink_metadata(folder).is_ok_and(|it| it.is_dir()))
}

/// A file of it.
fn open(record: &Path, name: &str) -> io::Result<Option<File>> {
    let Some(folder) = folder(record) else { return Ok(None) };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat2(CWD, folder.join(name), flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
    let Ok(file) = opened else { return Ok(None) };
    let stat = fstat(&file)?;
    let is_ours = stat.st_uid == geteuid().as_raw() && stat.st_nlink == 1;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok((is_ours && is_file).then(|| file.into()))
}

/// See [`evonic_runner::record::Record::output`].
pub(super) fn output(record: &Path, from: u64, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(record, "out")? else { return Ok(None) };
    let size = usize::try_from(file.metadata()?.len().saturating_sub(from)).unwrap_or(limit);
    let mut bytes = vec![0; size.min(limit)];
    let read = file.read_at(&mut bytes, from)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

fn status(record: &Path) -> io::Result<Option<Finished>> {
    let Some(file) = open(record, "status")? else { return Ok(None) };
    let mut text = String::new();
    if file.take(STATUS_BYTES).read_to_string(&mut text).is_err() {
        return Ok(None);
    }
    Ok(text.lines().next().and_then(evonic_backend::spool::read_status))
}

/// Follows such a command.
pub(super) struct Follow<'a> {
    pub(super) pool: &'a BlockingPool,
    pub(super) record: PathBuf,
    pub(super) command_id: &'a str,
}

impl Follow<'_> {
    /// To its end; when nothing of it runs any more and it has no status, nobody knows.
    pub(super) async fn to_end(
        &self,
        mut at: u64,
        reader: &mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        loop {
            if cancel.is_cancelled() {
                let left_behind = kill(self.pool, self.command_id).await?;
                return Ok(Finished { ended: Ended::Cancelled, left_behind });
            }
            let (record, command_id) = (self.record.clone(), self.command_id.to_owned());
            let (ended, runs, piece) = self
                .pool
                .run(move |_| {
                    let ended = status(&record)?;
                    let runs = ended.is_some() || !processes(&command_id).is_empty();
                    Ok::<_, io::Error>((ended, runs, output(&record, at, PIECE_BYTES)?))
                })
                .await
                .map_err(unreadable)?;
            let piece = piece.unwrap_or_default();
            if !piece.is_empty() {
                at += piece.len() as u64;
                let _gone = reader.send(piece.into()).await;
                continue;
            }
            match ended {
                Some(finished) => return Ok(finished),
                None if !runs => {
                    let ended = Ended::Unknown(Unknown::WatcherKilled);
                    return Ok(Finished { ended, left_behind: 0 });
                }
                None => sleep(LOOK).await,
            }
        }
    }
}

/// Kills what carries the command's id in its environment; returns how many there were.
pub(super) async fn kill(pool: &BlockingPool, command_id: &str) -> Result<u32> {
    let command_id = command_id.to_owned();
    Ok(pool
        .run(move |_| {
            // Those that die are there for a moment longer; those that fork are looked for again.
            let mut killed = HashSet::new();
            for _ in 0..10 {
                let left = processes(&command_id);
                if left.is_empty() {
                    break;
                }
                for process in left {
                    let _gone = kill_process(process, Signal::KILL);
                    killed.insert(process);
                }
            }
            u32::try_from(killed.len()).unwrap_or(u32::MAX)
        })
        .await)
}

/// Processes of a command, by their environment: which a command cannot give to others.
fn processes(command_id: &str) -> Vec<Pid> {
    let variable = format!("EVONIC_CALL={command_id}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw)
        .filter(|pid| *pid != getpid())
        .filter(|pid| {
            let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
            let environment = fs::read(path).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
        })
        .collect()
}

fn unreadable(source: io::Error) -> WorkplaceError {
    WorkplaceError::Start { program: "the version before".to_owned(), source }
}

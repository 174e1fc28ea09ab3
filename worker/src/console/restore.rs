//! `evonic restore`.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use evonic_agent::{Generation, generations_folder};
use evonic_shared::config::Config;
use jiff::tz::TimeZone;
use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::{
    error::{ConsoleError, Result},
    format::{bytes, local_time},
    output::Console,
};
use crate::lifecycle::database;

/// The lock of the supervisor that serves a state folder.
const LOCK: &str = "supervisor.lock";

/// Puts a copy in the place of the database; the folder stays locked until it is there, so that no
/// service starts meanwhile.
pub(super) fn run(file: &Path, force: bool, config: &Config, console: &mut Console<'_>) -> Result {
    let folder = &config.state_dir;
    let lock = lock(folder)?;
    require_no_worker(folder)?;
    let restored = evonic_store::restore(file, &folder.join(database::FILE), force)
        .map_err(|error| ConsoleError::Restore(Box::new(error)))?;
    drop(lock);
    let of = restored
        .last_change
        .map(|at| format!(", last changed {}", local_time(&at, &TimeZone::system())))
        .unwrap_or_default();
    console.line(format!("Restored {} ({}{of}).", file.display(), bytes(restored.bytes)))?;
    if let Some(former) = restored.former {
        console.line(format!("The former database is {}.", former.display()))?;
    }
    Ok(())
}

/// Takes the lock that every supervisor of the folder takes.
fn lock(folder: &Path) -> Result<OwnedFd> {
    let path = folder.join(LOCK);
    let failed = |errno: Errno| ConsoleError::Written {
        path: path.display().to_string(),
        source: errno.into(),
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(ConsoleError::Runs { folder: folder.to_owned() }),
        Err(errno) => Err(failed(errno)),
    }
}

/// A worker may outlive its supervisor for a while.
fn require_no_worker(folder: &Path) -> Result {
    let locks: PathBuf = generations_folder(folder);
    let Ok(entries) = std::fs::read_dir(&locks) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".lock")?.parse().ok());
        // One that cannot be tried is taken for one that lives.
        if let Some(number) = number
            && !Generation::is_dead(&locks, number).unwrap_or(false)
        {
            return Err(ConsoleError::Runs { folder: folder.to_owned() });
        }
    }
    Ok(())
}

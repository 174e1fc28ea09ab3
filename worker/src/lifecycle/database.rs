//! The database at a worker's start: which one it must be, and how a worker starts without it.
//!
//! The identifier of the database stands in the state folder, too. So a database that is gone is
//! not taken for one that never was, and the log says when another one is put there, as when a copy
//! is brought to another machine. A worker starts whatever
//! is wrong with its database: no replacement mends it, and what can be read, and why nothing is
//! written, somebody has to say.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use evonic_process::{
    file,
    folder::{FILE as FILE_MODE, Folder},
};
use evonic_shared::config::Config;
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{error::StartError, first_key};
use evonic_agent::{Generation, generations_folder};
use evonic_handles::Budget;
use evonic_store::{Memory, Store, StoreError};

/// The database, in the state folder.
pub(crate) const FILE: &str = "evonic.db";

/// What remembers its identifier, in the state folder.
pub(crate) const MEMORY: &str = "database-id";

/// More than an identifier is none.
const MAX_ID_BYTES: u64 = 128;

/// The open database and what it is called.
pub(super) struct Database {
    pub(super) store: Store,
    /// What this installation is called in labels and spools.
    pub(super) instance: String,
}

/// Refuses a state folder in which nothing can be made: no worker could even say that it lives.
pub(super) fn require_writable(folder: &Path) -> Result<(), StartError> {
    accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .map_err(|errno| StartError::Unwritable { path: folder.to_owned(), source: errno.into() })
}

/// Opens the database; waits for a lock of another process until the deadline. While a predecessor
/// lives, only the file that it has open.
pub(super) async fn open(
    config: &Config,
    budget: &Budget,
    predecessor: Option<u64>,
    deadline: Instant,
) -> Result<Database, StartError> {
    let memory = config.state_dir.join(MEMORY);
    let (known, file) = remembered(&memory).unzip();
    let path = config.state_dir.join(FILE);
    let is_other = |was: u64| was != 0 && inode(&path).is_some_and(|now| now != was);
    let is_replaced = predecessor.is_some() && file.is_some_and(is_other);
    let was_there = known.is_some();
    let wanted = Memory { was_there, is_replaced, file: memory.clone(), deadline };
    let store = Store::open_for_service(&path, &config.store, budget.clone(), wanted)?;
    let read = store.read(|reader| reader.instance()).await;
    let is_read = read.is_ok();
    let instance = match read {
        Ok(instance) => instance,
        // Nothing carries a name that is made up here: what would is written to the database first.
        Err(error) if error.state().is_some() => {
            known.clone().unwrap_or_else(|| format!("unknown-{}", std::process::id()))
        }
        Err(error) => return Err(error.into()),
    };
    let inode = inode(&path);
    let is_known = known.as_ref() == Some(&instance) && file == inode;
    let lasts = store.condition().report().is_some_and(|report| report.state.needs_operator());
    if let (false, false, true, Some(inode)) = (is_known, lasts, is_read, inode) {
        if let Some(before) = known.filter(|before| *before != instance) {
            tracing::warn!(before, now = instance, "database is another one than before");
        }
        let text = format!("{instance} {inode}\n");
        let written = file::replace(&memory, text.as_bytes(), FILE_MODE);
        if let Err(error) = written {
            let path = memory.display().to_string();
            tracing::warn!(path, %error, "identifier of the database is not remembered");
        }
    }
    Ok(Database { store, instance })
}

/// The number of a file within its file system.
fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.ino())
}

/// The identifier that the state folder remembers, and the file that had it; zero where it does not
/// say.
fn remembered(path: &Path) -> Option<(String, u64)> {
    let read = match fs::metadata(path) {
        Ok(found) if found.len() <= MAX_ID_BYTES => fs::read_to_string(path),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error),
    };
    match read {
        Ok(text) => {
            let mut words = text.split_whitespace().map(str::to_owned);
            let id = words.next()?;
            Some((id, words.next().and_then(|word| word.parse().ok()).unwrap_or(0)))
        }
        Err(error) => {
            let path = path.display().to_string();
            tracing::warn!(path, %error, "it cannot be told whether the database is the one of before");
            None
        }
    }
}

/// Registers this worker in the database, which alone knows every generation that ever was, and
/// locks the number it gives. Where nothing can be written the number is above every one that can
/// be read, and is registered with the first turn that is claimed.
pub(super) async fn take_generation(
    store: &Store,
    config: &Config,
    proposed: u64,
    deadline: Instant,
) -> Result<Generation, StartError> {
    let pid = std::process::id();
    let register = || store.write(move |writer| writer.register_generation(proposed, pid));
    let mut refused = store.condition().report().is_some();
    let mut registered = None;
    while registered.is_none() && !refused {
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left.max(SHORTEST_WAIT), register()).await {
            Ok(Ok(number)) => registered = Some(number),
            Ok(Err(StoreError::Locked)) => refused = Instant::now() >= deadline,
            Ok(Err(error)) if error.state().is_some() => refused = true,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => refused = true,
        }
    }
    let number = match registered {
        Some(number) => number,
        None => {
            let last = store.read(|reader| reader.last_generation()).await.unwrap_or(0);
            let generation = proposed.max(last + 1);
            tracing::warn!(generation, "starts although the database cannot be written");
            generation
        }
    };
    Ok(Generation::lock(&generations_folder(&config.state_dir), number)?)
}

/// Registering is tried for as long as this, at the least.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Makes the first key where there never was one; later, where the database does not let it.
pub(super) async fn ensure_first_key(
    store: &Store,
    state: &Folder,
    budget: &Budget,
) -> Result<(), StartError> {
    match first_key::ensure(store, state, budget).await {
        Err(StartError::Store(error)) if error.state().is_some() => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the first key is looked after at the next start");
            Ok(())
        }
        ensured => ensured,
    }
}

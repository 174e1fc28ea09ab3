//! A copy put in the place of the database, while no service runs.
//!
//! ```text
//! copy -> evonic.db.restoring, synchronised -> checked whole, of this program, not later
//!      -> not older than what is there -> former one linked aside -> renamed over it, synchronised
//! ```
//!
//! Until the last step the database is what it was.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension};

use crate::{StoreError, backup, error::During, schema};

/// What SQLite keeps beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What `PRAGMA auto_vacuum` says of a database whose free pages cannot be given back.
const NONE: i64 = 0;

/// Why a copy is not put in the place of the database.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy, or the database, cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in the copy is not what was written.
    #[error("copy {} is damaged: {problem}", path.display())]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// What SQLite says.
        problem: String,
    },
    /// The copy has nothing in it.
    #[error("copy {} is empty", path.display())]
    Empty {
        /// Its path.
        path: PathBuf,
    },
    /// What is there is newer.
    #[error(
        "the database is newer than the copy: its last change is of {database_at}, the copy's of \
         {copy_at}; `--force` puts the copy in its place, and keeps the database beside it"
    )]
    Older {
        /// The database's last change.
        database_at: String,
        /// The copy's.
        copy_at: String,
    },
    /// A file cannot be read or written.
    #[error("{operation} {} failed", path.display())]
    File {
        /// What was done: `copy`.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// The OS error.
        #[source]
        source: io::Error,
    },
}

/// What was put in the place of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was changed last; none where nothing ever was.
    pub last_change: Option<String>,
    /// Where the former database is; none where there was none.
    pub former: Option<PathBuf>,
}

/// Puts a copy in the place of the database. Nobody may have the database open: the caller sees to
/// that. With `force` also one that is older than what is there. Blocks.
///
/// # Errors
/// [`RestoreError`]; the database is what it was.
pub fn restore(copy: &Path, database: &Path, force: bool) -> Result<Restored, RestoreError> {
    let fresh = with_end(database, ".restoring");
    let restored = prepare(copy, database, &fresh, force)
        .and_then(|last_change| replace(database, &fresh, last_change));
    if restored.is_err() {
        remove_all(&fresh);
    }
    restored
}

/// Makes the file that is to be the database. Returns its last change.
fn prepare(
    copy: &Path,
    database: &Path,
    fresh: &Path,
    force: bool,
) -> Result<Option<String>, RestoreError> {
    remove_all(fresh);
    copy_file(copy, fresh, database)?;
    let log = with_end(copy, "-wal");
    if log.exists() {
        copy_file(&log, &with_end(fresh, "-wal"), database)?;
    }
    let named = |error: StoreError| rename_path(error, copy);
    let connection = backup::open(fresh).map_err(named)?;
    if schema::check(&connection, copy)? == 0 {
        return Err(RestoreError::Empty { path: copy.to_owned() });
    }
    let problem: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .during("check the copy")?;
    if problem != "ok" {
        let problem = problem.replace('\n', " ");
        return Err(RestoreError::Damaged { path: copy.to_owned(), problem });
    }
    let copy_at = last_change(&connection)?;
    if !force && let Some(database_at) = change_of(database) {
        let copy_at = copy_at.clone().unwrap_or_default();
        if database_at > copy_at {
            return Err(RestoreError::Older { database_at, copy_at });
        }
    }
    if connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0)) == Ok(NONE) {
        // One of before could not shrink.
        connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM")
            .during("settle the copy")?;
    }
    // The log of it is brought into it with the last handle.
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE")
        .during("settle the copy")?;
    drop(connection);
    Ok(copy_at)
}

/// Puts the file in the database's place, and the former one aside.
fn replace(
    database: &Path,
    fresh: &Path,
    last_change: Option<String>,
) -> Result<Restored, RestoreError> {
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::File { operation, path, source }
    };
    sync(fresh)?;
    let bytes = fs::metadata(fresh).map_err(failed("look at", fresh))?.len();
    let former = if database.exists() {
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let aside = free_name(&with_end(database, &format!(".before-{stamp}")));
        for end in BESIDE {
            let beside = with_end(database, end);
            if beside.exists() {
                let target = with_end(&aside, end);
                fs::rename(&beside, &target).map_err(failed("move aside", &beside))?;
            }
        }
        fs::hard_link(database, &aside).map_err(failed("move aside", database))?;
        Some(aside)
    } else {
        for end in BESIDE {
            // Of a database that is gone: it would be brought into this one.
            let _gone = fs::remove_file(with_end(database, end));
        }
        None
    };
    fs::rename(fresh, database).map_err(failed("rename", fresh))?;
    sync(database.parent().unwrap_or(Path::new(".")))?;
    Ok(Restored { bytes, last_change, former })
}

/// A name that nothing has yet.
fn free_name(path: &Path) -> PathBuf {
    let mut names = (2..).map(|number| with_end(path, &format!("-{number}")));
    let mut name = path.to_owned();
    while name.exists() {
        name = names.next().unwrap_or(name);
    }
    name
}

/// The last change of the database that is there; none where there is none, where nothing was ever
/// done with it, and where it cannot be read: then there is nothing to lose.
fn change_of(database: &Path) -> Option<String> {
    if fs::metadata(database).map_or(0, |found| found.len()) == 0 {
        return None;
    }
    let connection = backup::open(database).ok()?;
    schema::check(&connection, database).ok().filter(|version| *version > 0)?;
    let is_used = connection.query_row("SELECT 1 FROM sessions LIMIT 1", [], |_| Ok(()));
    let changed = "SELECT 1 FROM audit WHERE actor <> 'inside' LIMIT 1";
    let is_changed = connection.query_row(changed, [], |_| Ok(()));
    if is_used.optional().ok()?.is_none() && is_changed.optional().ok()?.is_none() {
        return None;
    }
    last_change(&connection).ok()?
}

/// When something was done last: in a session, or of what is recorded.
fn last_change(connection: &Connection) -> Result<Option<String>, StoreError> {
    let last = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<String>>(0));
    let session = last("SELECT MAX(updated_at) FROM sessions").during("read last change")?;
    let change = "SELECT at FROM audit ORDER BY position DESC LIMIT 1";
    let change = last(change).optional().during("read last change")?.flatten();
    Ok(session.max(change))
}

/// Copies a file for the owner of the folder that it comes into, who alone may read it.
fn copy_file(from: &Path, to: &Path, database: &Path) -> Result<(), RestoreError> {
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::File { operation, path, source }
    };
    let mut source = OpenOptions::new().read(true).open(from).map_err(failed("read", from))?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut target = target.map_err(failed("write", to))?;
    let folder = database.parent().unwrap_or(Path::new("."));
    let owner = fs::metadata(folder).map_err(failed("look at", folder))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::fchown(&target, Some(owner.uid()), Some(owner.gid()))
            .map_err(failed("give away", to))?;
    }
    io::copy(&mut source, &mut target).map_err(failed("write", to))?;
    target.sync_all().map_err(failed("write", to))
}

/// Synchronises a file or a folder.
fn sync(path: &Path) -> Result<(), RestoreError> {
    let failed =
        |source| RestoreError::File { operation: "synchronise", path: path.to_owned(), source };
    OpenOptions::new().read(true).open(path).and_then(|file| file.sync_all()).map_err(failed)
}

fn remove_all(path: &Path) {
    for end in ["", "-wal", "-shm", "-journal"] {
        let _gone = fs::remove_file(with_end(path, end));
    }
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// An error of the file that is made names the copy that it is made of.
fn rename_path(error: StoreError, copy: &Path) -> StoreError {
    match error {
        StoreError::Open { source, .. } => StoreError::Open { path: copy.to_owned(), source },
        other => other,
    }
}

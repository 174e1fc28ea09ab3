//! A copy of the database, made while others read and write it.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{StoreError, error::During, schema};

/// How long a lock of another process is waited for.
const BUSY: Duration = Duration::from_secs(30);

/// Writes what the database holds now into a new file that its owner alone may read, compacted.
/// Returns its size in bytes. Blocks; the service works meanwhile.
///
/// For a process that has no [`crate::Store`] of the database. Holds up to four descriptors.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Copy`] when the file is there already or cannot be written: what
/// was written of it is removed.
pub fn back_up(database: &Path, copy: &Path) -> Result<u64, StoreError> {
    let refused = |source| StoreError::Copy { path: copy.to_owned(), source };
    let connection = open(database)?;
    schema::check(&connection, database)?;
    // What is free in the copy can be given back, also where it cannot in a database of before.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").during("write the copy")?;
    // SQLite fills a file that is there when it is empty.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(copy);
    let file = file.map_err(refused)?;
    let name = copy.to_str().ok_or_else(|| refused(io::ErrorKind::InvalidFilename.into()));
    let written = name.and_then(|name| {
        connection.execute("VACUUM INTO ?1", [name]).during("write the copy")?;
        file.sync_all().map_err(refused)?;
        Ok(file.metadata().map_err(refused)?.len())
    });
    if written.is_err() {
        let _gone = fs::remove_file(copy);
    }
    written
}

#[expect(clippy::disallowed_methods, reason = "the opener of a process without a store")]
pub(super) fn open(database: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::open(database, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    Ok(connection)
}

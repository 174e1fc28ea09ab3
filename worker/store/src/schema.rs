//! The schema and its versions.
//!
//! A database says whose it is (`application_id`) and of which version (`user_version`). Every
//! version is one step; all steps that are missing are done in one transaction, or none.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use crate::{StoreError, column, error::During};
use evonic_domain::{AgentId, WorkplaceId};

/// `evon` in ASCII: the mark of this program's databases.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"evon");

/// Adds what is there from a version on.
type Fill = fn(&Connection) -> rusqlite::Result<()>;

/// What leads from each version to the next: statements, and what is there from then on.
const STEPS: [(&str, Fill); 14] = [
    (include_str!("schema/0001.sql"), first_agent),
    (include_str!("schema/0002.sql"), first_workplace),
    (include_str!("schema/0003.sql"), |_| Ok(())),
    (include_str!("schema/0004.sql"), |_| Ok(())),
    (include_str!("schema/0005.sql"), |_| Ok(())),
    (include_str!("schema/0006.sql"), |_| Ok(())),
    (include_str!("schema/0007.sql"), |_| Ok(())),
    (include_str!("schema/0008.sql"), |_| Ok(())),
    (include_str!("schema/0009.sql"), |_| Ok(())),
    (include_str!("schema/0010.sql"), |_| Ok(())),
    (include_str!("schema/0011.sql"), |_| Ok(())),
    (include_str!("schema/0012.sql"), |_| Ok(())),
    (include_str!("schema/0013.sql"), |_| Ok(())),
    (include_str!("schema/0014.sql"), |_| Ok(())),
];

/// The version that this program writes.
pub(super) const KNOWN: u32 = STEPS.len() as u32;

/// Makes the database this program's own, in write-ahead logging, at the latest version. Leaves
/// one that belongs to another program or to a later version as it is.
pub(super) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let open = |source| StoreError::open(path, source);
    if check(connection, path)? == 0 {
        // Before anything is written: what is free can be given back later only where this says so.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(open)?;
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(open)?;
    if mode != "wal" {
        return Err(StoreError::NoWal { path: path.to_owned(), mode });
    }
    if check(connection, path)? == KNOWN {
        // Nothing to write: a lock of another process is in nobody's way.
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(open)?;
    // Once more, under the lock: another process may have been faster.
    let version = check(&transaction, path)?;
    if version < KNOWN {
        for (statements, fill) in &STEPS[version as usize..] {
            transaction.execute_batch(statements).during("migrate schema")?;
            fill(&transaction).during("migrate schema")?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(open)?;
        transaction.pragma_update(None, "user_version", KNOWN).map_err(open)?;
    }
    transaction.commit().during("migrate schema")
}

/// The version of a database of this program; 0 for an empty file.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let number = |pragma| {
        connection
            .pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
            .map_err(|source| StoreError::open(path, source))
    };
    let alien = || StoreError::Alien { path: path.to_owned() };
    let version = u32::try_from(number("user_version")?).map_err(|_| alien())?;
    match number("application_id")? {
        APPLICATION_ID if version > KNOWN => {
            Err(StoreError::Newer { path: path.to_owned(), found: version, known: KNOWN })
        }
        APPLICATION_ID => Ok(version),
        0 if version == 0 && number("schema_version")? == 0 => Ok(0),
        _ => Err(alien()),
    }
}

/// The agent that is there on a fresh machine.
fn first_agent(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO agents (id, name, model, instructions, tools, created_at, updated_at)
         VALUES (?1, 'runbook', 'runbook', '', NULL, ?2, ?2)",
            params![AgentId::new().as_str(), column::now()],
        )
        .map(drop)
}

/// The workplace that is there on every machine.
fn first_workplace(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO workplaces (id, name, kind, settings, created_at, updated_at)
         VALUES (?1, 'local', 'local', '{}', ?2, ?2)",
        params![WorkplaceId::new().as_str(), column::now()],
    )?;
    let instance = uuid::Uuid::now_v7().simple().to_string();
    connection.execute("INSERT INTO instance (id) VALUES (?1)", params![instance]).map(drop)
}

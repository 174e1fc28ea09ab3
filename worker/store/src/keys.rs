//! Keys: what they may do, and the hashes that prove them.

use rusqlite::{Row, params};

use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError, Writer, column, page::Entry,
};
use evonic_domain::{Action, AgentId, AgentName, Hash, Key, KeyId, Scope};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, scope, agents, created_at, expires_at, last_used_at, revoked_at,
             hash FROM api_keys ",
            $rest
        )
    };
}

fn key(row: &Row<'_>) -> rusqlite::Result<Key> {
    Ok(Key {
        id: column::parsed(row, "id")?,
        name: column::parsed(row, "name")?,
        scope: column::word(row, "scope")?,
        agents: column::json_or_null(row, "agents")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
        revoked_at: row.get("revoked_at")?,
    })
}

impl Entry for Key {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn bytes(&self) -> usize {
        0
    }
}

/// A key that is to be stored.
#[derive(Clone, Debug)]
pub struct KeyRow {
    /// Its identifier.
    pub id: KeyId,
    /// Its name.
    pub name: AgentName,
    /// Of the key itself.
    pub hash: Hash,
    /// What it may do.
    pub scope: Scope,
    /// The only agents it may see and use.
    pub agents: Option<Vec<AgentId>>,
    /// After how long it ends to be valid.
    pub expires_in: Option<std::time::Duration>,
}

impl Reader<'_> {
    /// A key by its identifier, and what proves it. One that is revoked or expired too.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn key_and_hash(&self, id: &KeyId) -> Result<Option<(Key, Hash)>, StoreError> {
        self.first("read key", select!("WHERE id = ?1"), [id.as_str()], |row| {
            Ok((key(row)?, row.get("hash")?))
        })
    }

    /// A key by its identifier, or by its name if it is not revoked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn key(&self, which: &str) -> Result<Key, StoreError> {
        let sql = select!("WHERE id = ?1 OR (name = ?1 AND revoked_at IS NULL)");
        self.first("read key", sql, [which], key)?
            .ok_or_else(|| StoreError::not_found("key", which))
    }

    /// Keys, oldest first, revoked ones too.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn keys(&self, paging: &Paging) -> Result<List<Key>, StoreError> {
        let sql = select!("WHERE id > ?1 ORDER BY id LIMIT ?2");
        self.page("list keys", sql, params![paging.after_id(), paging.rows()], key, paging)
    }

    /// Whether a key was ever made here.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn has_keys(&self) -> Result<bool, StoreError> {
        self.one("read keys", "SELECT EXISTS (SELECT 1 FROM api_keys) AS any_key", [], |row| {
            row.get("any_key")
        })
    }
}

impl AuditedWriter<'_, '_> {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken`.
    pub fn create_key(&mut self, new: KeyRow) -> Result<Key, StoreError> {
        if let Ok(taken) = self.key(new.name.as_str()) {
            let message = format!("a key is named {} already", taken.name);
            return Err(StoreError::conflict(Conflict::NameTaken, message));
        }
        let key = Key {
            id: new.id,
            name: new.name,
            scope: new.scope,
            agents: new.agents,
            created_at: column::now(),
            expires_at: new.expires_in.map(column::after),
            last_used_at: None,
            revoked_at: None,
        };
        self.execute(
            "create key",
            "INSERT INTO api_keys (id, name, hash, scope, agents, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                key.id.as_str(),
                key.name.as_str(),
                new.hash,
                key.scope.name(),
                key.agents.as_ref().map(column::to_json),
                key.created_at,
                key.expires_at,
            ],
        )?;
        self.record(Action::KeyCreate, key.id.as_str(), Some(key.name.as_str()), &[])?;
        Ok(key)
    }

    /// Revokes a key; one that is revoked stays so, since when it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn revoke_key(&mut self, which: &str) -> Result<Key, StoreError> {
        let mut key = self.key(which)?;
        let now = column::now();
        let revoked = self.execute(
            "revoke key",
            "UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            params![key.id.as_str(), now],
        )?;
        if revoked > 0 {
            self.record(Action::KeyRevoke, key.id.as_str(), Some(key.name.as_str()), &[])?;
        }
        key.revoked_at.get_or_insert(now);
        Ok(key)
    }
}

impl Writer<'_> {
    /// Notes that a key is in use.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn note_key_use(&mut self, id: &KeyId) -> Result<(), StoreError> {
        self.execute(
            "note use of key",
            "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1",
            params![id.as_str(), column::now()],
        )?;
        Ok(())
    }
}

//! Keys: what they may do, and the hashes that prove them.

use std::time::Duration;

use rusqlite::params;

use crate::{
    AuditedWriter, List, Paging, Reader, StoreError, Writer, column, days, page::Entry,
    record::Record,
};
use evonic_domain::{Action, AgentId, AgentName, Hash, Key, KeyId, Scope};

impl Record for Key {
    const NAME: &'static str = "key";
    const TABLE: &'static str = "api_keys";
    const JSON: &'static [&'static str] = &["agents"];
}

impl Entry for Key {
    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// How many days are seen before a key goes that was revoked or has expired, for whoever asks why it is refused.
/// What was done with keys stays in the audit log.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
    pub expires_in: Option<Duration>,
}

impl Reader<'_> {
    /// A key by its identifier, and what proves it. One that is revoked or expired too.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn key_and_hash(&self, id: &KeyId) -> Result<Option<(Key, Hash)>, StoreError> {
        let sql = "SELECT * FROM api_keys WHERE id = ?1";
        self.first("read key", sql, [id.as_str()], |row| {
            Ok((Key::from_row(row)?, row.get("hash")?))
        })
    }

    /// A key by its identifier, or by its name if it is not revoked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn key(&self, which: &str) -> Result<Key, StoreError> {
        self.find("read key", "id = ?1 OR (name = ?1 AND revoked_at IS NULL)", which)
    }

    /// Keys, oldest first, revoked ones too.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn keys(&self, paging: &Paging) -> Result<List<Key>, StoreError> {
        self.list("list keys", None, paging)
    }

    /// Whether a key was ever made here.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn has_keys(&self) -> Result<bool, StoreError> {
        self.exists("read keys", "SELECT 1 FROM api_keys", [])
    }
}

impl AuditedWriter<'_, '_> {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken`.
    pub fn create_key(&mut self, new: KeyRow) -> Result<Key, StoreError> {
        self.require_free("a key", new.name.as_str(), Reader::key)?;
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
        self.insert("create key", &key, vec![("hash".to_owned(), new.hash.to_vec().into())])?;
        self.record(Action::KeyCreate, key.id.as_str(), Some(key.name.as_str()), &[])?;
        self.purge_keys()?;
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
        self.purge_keys()?;
        Ok(key)
    }
}

impl Writer<'_> {
    /// Deletes keys that have not been good for long. The last that was made stays: where there was
    /// a key, no first one is made.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn purge_keys(&mut self) -> Result<(), StoreError> {
        let day = self.see_day()?;
        // Where the clock was wrong a key may only seem to have expired.
        self.execute(
            "note ended keys",
            "UPDATE api_keys
             SET ended_day = iif(revoked_at IS NULL AND ifnull(expires_at > ?1, TRUE), NULL,
                                 ifnull(ended_day, ?2))",
            params![column::now(), day],
        )?;
        let deleted = self.execute(
            "purge keys",
            "DELETE FROM api_keys
             WHERE ended_day + ?1 <= ?2 AND id <>
             (SELECT id FROM api_keys ORDER BY created_at DESC, id DESC LIMIT 1)",
            params![days::of(KEPT_FOR), day],
        )?;
        if deleted > 0 {
            // Their budgets are gone with them.
            self.budget_presence.ask_recheck();
        }
        Ok(())
    }

    /// Notes that a key is in use.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn note_key_use(&mut self, id: &KeyId) -> Result<(), StoreError> {
        self.execute(
            "note use of key",
            "UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1",
            params![id.as_str(), column::now()],
        )
        .map(drop)
    }
}

//! Answers to requests that created something, kept for a client that repeats the request
//! (`Idempotency-Key`).
//!
//! An answer is written in the transaction of what it describes, so there is one exactly when the
//! effect is there. Two requests at once with one key are two transactions: the second one finds
//! the answer of the first.

use std::time::Duration;

use rusqlite::params;

use crate::{AuditedWriter, Reader, StoreError, column};

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The most answers that are kept for one owner; the oldest go first.
const KEPT_FOR_OWNER: u32 = 256;

/// Expired answers that may go for each that comes: more than one, so that their number shrinks.
const PORTION: u32 = 4;

/// A request that its client named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Who asks: keys of others are other keys.
    pub owner: String,
    /// `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of the request: the same key with another request is refused.
    pub fingerprint: [u8; 32],
}

/// The answer to a request that created something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Path of what was created.
    pub location: String,
    /// JSON.
    pub body: String,
}

impl Reader<'_> {
    /// The answer to a named request, if it is known. One that has expired is not known any more.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `key_reused` when the key was used for another request,
    /// [`StoreError::Sql`].
    pub fn answer(&self, request: &RequestKey) -> Result<Option<KeptAnswer>, StoreError> {
        let found = self.first(
            "find answer",
            "SELECT fingerprint, location, body FROM answers
             WHERE owner = ?1 AND key = ?2 AND created_at >= ?3",
            params![request.owner, request.key, column::before(KEPT_FOR)],
            |row| {
                let fingerprint: [u8; 32] = row.get("fingerprint")?;
                let answer = KeptAnswer { location: row.get("location")?, body: row.get("body")? };
                Ok((fingerprint, answer))
            },
        )?;
        if found.as_ref().is_some_and(|(fingerprint, _)| *fingerprint != request.fingerprint) {
            return Err(StoreError::key_reused(&request.key));
        }
        Ok(found.map(|(_, answer)| answer))
    }
}

impl AuditedWriter<'_, '_> {
    /// Keeps the answer to a request that was not known, and lets old ones go.
    ///
    /// # Errors
    /// [`StoreError::Sql`]: what was created is undone, too.
    pub fn keep_answer(
        &mut self,
        request: &RequestKey,
        answer: &KeptAnswer,
    ) -> Result<(), StoreError> {
        self.execute(
            "keep answer",
            "INSERT OR REPLACE INTO answers (owner, key, fingerprint, location, body, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                request.owner,
                request.key,
                request.fingerprint,
                answer.location,
                answer.body,
                column::now(),
            ],
        )?;
        self.execute(
            "forget expired answers",
            "DELETE FROM answers WHERE rowid IN
             (SELECT rowid FROM answers WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
            params![column::before(KEPT_FOR), PORTION],
        )?;
        self.execute(
            "forget old answers",
            "DELETE FROM answers WHERE rowid IN
             (SELECT rowid FROM answers WHERE owner = ?1
              ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?2)",
            params![request.owner, KEPT_FOR_OWNER],
        )
        .map(drop)
    }
}

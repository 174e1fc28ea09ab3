//! Answers to requests that created something, kept for a client that repeats the request
//! (`Idempotency-Key`).
//!
//! An answer is written in the transaction of what it describes, so there is one exactly when the
//! effect is there. Two requests at once with one key are two transactions: the second one finds
//! the answer of the first.

use std::time::Duration;

use rusqlite::params;

use crate::{AuditedWriter, Reader, StoreError, column};

/// How long an answer is kept, at the least.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How many days are seen in the longer of that time and half a day of uptime for each: a clock that
/// steps forwards must not have a request done twice.
const KEPT_DAYS: i64 = 3;

/// Whether an answer has not expired: by the days that were seen since, or, where a worker of before
/// kept it, by the clock.
const IS_KEPT: &str = "(day > 0 AND day + ?1 > ?2 OR day = 0 AND created_at >= ?3)";

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
        let sql = format!(
            "SELECT fingerprint, location, body FROM answers
             WHERE {IS_KEPT} AND owner = ?4 AND key = ?5"
        );
        let before = column::before(KEPT_FOR);
        let found = self.first(
            "find answer",
            &sql,
            params![KEPT_DAYS, self.day()?, before, request.owner, request.key],
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
        let day = self.see_day()?;
        self.execute(
            "keep answer",
            "INSERT OR REPLACE INTO answers
             (owner, key, fingerprint, location, body, created_at, day)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                request.owner,
                request.key,
                request.fingerprint,
                answer.location,
                answer.body,
                column::now(),
                day,
            ],
        )?;
        let sql = format!(
            "DELETE FROM answers WHERE rowid IN
             (SELECT rowid FROM answers ORDER BY rowid LIMIT ?4) AND NOT {IS_KEPT}"
        );
        let parameters = params![KEPT_DAYS, day, column::before(KEPT_FOR), PORTION];
        self.execute("forget expired answers", &sql, parameters)?;
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

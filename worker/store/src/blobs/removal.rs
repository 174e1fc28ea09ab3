//! Contents on their way out: a bounded number of pieces in each transaction, for SQLite goes through
//! all bytes of what it deletes, and others write meanwhile.
//!
//! A content that has begun to go has no hash any more, so that nobody finds a part of it, and
//! `bytes` below 0, so that nothing is added to it. What is still there of it hangs on the reference
//! of the session that it goes with.

use std::time::Duration;

use rusqlite::params;

use super::Upload;
use crate::{StoreError, Writer, column};

/// Pieces that go in one transaction: 4 MiB.
pub(crate) const PIECES: u32 = 16;

/// Unused contents that are looked at in one transaction.
const PORTION: u32 = 16;

impl Writer<'_> {
    /// Takes a session's reference to a content away, with the content where no other session has
    /// one: of that as many pieces as there is room for, which becomes less by them. Returns whether
    /// the reference is gone; it stays while there are pieces.
    pub(crate) fn release_blob(
        &mut self,
        session: &str,
        blob: i64,
        room: &mut u32,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM session_blobs WHERE blob = ?1 AND session_id <> ?2";
        if !self.exists("release attachment", sql, params![blob, session])? {
            let sql = "UPDATE blobs SET sha256 = NULL, bytes = -1 WHERE id = ?1";
            self.execute("release attachment", sql, [blob])?;
            let removed = self.execute(
                "release attachment",
                "DELETE FROM blob_pieces WHERE blob = ?1 AND position IN (
                     SELECT position FROM blob_pieces WHERE blob = ?1
                     ORDER BY position DESC LIMIT ?2)",
                params![blob, *room],
            )?;
            *room = room.saturating_sub(u32::try_from(removed).unwrap_or(u32::MAX));
            let sql = "SELECT 1 FROM blob_pieces WHERE blob = ?1";
            if self.exists("release attachment", sql, [blob])? {
                return Ok(false);
            }
        }
        let sql = "DELETE FROM session_blobs WHERE session_id = ?1 AND blob = ?2";
        self.execute("release attachment", sql, params![session, blob])?;
        Ok(true)
    }

    /// Gives up a content that is being stored. What of a long one is left goes with the unused ones.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn abandon_upload(&mut self, upload: &Upload) -> Result<(), StoreError> {
        let (session, mut room) = (upload.session.as_str(), PIECES);
        if !self.release_blob(session, upload.blob, &mut room)? {
            // As one that has been unused for long.
            let sql = "UPDATE session_blobs SET is_used = 0, created_at = ''
                 WHERE session_id = ?1 AND blob = ?2";
            self.execute("give attachment up", sql, params![session, upload.blob])?;
        }
        Ok(())
    }

    /// Removes contents that no message has and that wait for longer than this; a few at once.
    /// Returns whether there may be more.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn remove_unused_blobs(&mut self, keep: Duration) -> Result<bool, StoreError> {
        let unused = self.all(
            "remove unused attachments",
            "SELECT session_id, blob FROM session_blobs
             WHERE is_used = 0 AND created_at < ?1 ORDER BY created_at LIMIT ?2",
            params![column::before(keep), PORTION],
            |row| Ok((row.get::<_, String>("session_id")?, row.get::<_, i64>("blob")?)),
        )?;
        let mut room = PIECES;
        for (session, blob) in &unused {
            if !self.release_blob(session, *blob, &mut room)? {
                return Ok(true);
            }
        }
        Ok(unused.len() >= PORTION as usize)
    }
}

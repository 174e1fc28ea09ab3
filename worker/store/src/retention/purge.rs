//! Hidden sessions on their way out, some rows at a time.

use rusqlite::params;

use crate::{StoreError, Writer, blobs::PIECES, column};

/// Rows of a hidden session that go in one transaction.
const ROWS: usize = 512;

/// Turns that do, with all that is of them.
const TURNS: usize = 16;

/// References to contents that do, with as much of the contents as goes at once.
const BLOBS: usize = 16;

impl Writer<'_> {
    /// Takes rows of a hidden session away: some hundreds. Returns whether nothing is left of it.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn purge_some(&mut self, id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM sessions WHERE id = ?1 AND hidden IS NOT NULL";
        if !self.exists("purge session", sql, [id])? {
            return Ok(true);
        }
        if !self.purge_blobs(id)? {
            return Ok(false);
        }
        for (sql, most) in [
            (
                "DELETE FROM events WHERE session_id = ?1 AND sequence IN (
                     SELECT sequence FROM events WHERE session_id = ?1 ORDER BY sequence LIMIT ?2)",
                ROWS,
            ),
            (
                "DELETE FROM messages WHERE position IN (
                     SELECT position FROM messages WHERE session_id = ?1 LIMIT ?2)",
                ROWS,
            ),
            (
                "DELETE FROM compactions WHERE session_id = ?1 AND number IN (
                     SELECT number FROM compactions WHERE session_id = ?1 LIMIT ?2)",
                ROWS,
            ),
            (
                "DELETE FROM turns WHERE position IN (
                     SELECT position FROM turns WHERE session_id = ?1 LIMIT ?2)",
                TURNS,
            ),
        ] {
            let parameters = params![id, column::integer(most as u64)];
            if self.execute("purge session", sql, parameters)? == most {
                return Ok(false);
            }
        }
        self.execute("purge session", "DELETE FROM sessions WHERE id = ?1", [id])?;
        Ok(true)
    }

    /// Takes contents of a hidden session away. Returns whether none is left.
    fn purge_blobs(&mut self, id: &str) -> Result<bool, StoreError> {
        let blobs = self.all(
            "purge session",
            "SELECT blob FROM session_blobs WHERE session_id = ?1 LIMIT ?2",
            params![id, column::integer(BLOBS as u64)],
            |row| row.get::<_, i64>("blob"),
        )?;
        let mut room = PIECES;
        for blob in &blobs {
            if !self.release_blob(id, *blob, &mut room)? {
                return Ok(false);
            }
        }
        Ok(blobs.len() < BLOBS)
    }
}

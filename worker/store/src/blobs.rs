//! Contents of attachments: stored once by their hash, in pieces, for as long as a session refers
//! to them.
//!
//! A content comes piece by piece, each in a transaction of its own, before its hash is known; until
//! then it counts to its session like any other. What is never finished, or never attached to a
//! message, is removed after a time; `removal` says how.

mod removal;

use rusqlite::{Row, params};

pub(crate) use self::removal::PIECES;
use crate::{AuditedWriter, Conflict, Reader, StoreError, Writer, column};
use evonic_domain::{Action, SessionId};

/// The bytes of a piece; the last one of a content may have fewer.
pub const PIECE_BYTES: usize = 256 * 1024;

/// A content that a session refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Lower-case hexadecimal.
    pub sha256: String,
    pub media_type: String,
    pub bytes: u64,
}

/// A content that is being stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    session: SessionId,
    blob: i64,
    pieces: u32,
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredBlob> {
    Ok(StoredBlob {
        sha256: row.get("sha256")?,
        media_type: row.get("media_type")?,
        bytes: column::natural(row, "bytes")?,
    })
}

impl Reader<'_> {
    /// A content that this session refers to. That of another session is not there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn blob(&self, session: &SessionId, sha256: &str) -> Result<StoredBlob, StoreError> {
        let found = self.first(
            "read attachment",
            "SELECT sha256, media_type, bytes FROM blobs
             JOIN session_blobs ON blob = blobs.id WHERE session_id = ?1 AND sha256 = ?2",
            [session.as_str(), sha256],
            stored,
        )?;
        found.ok_or_else(|| StoreError::not_found("attachment", sha256))
    }

    /// The contents that a session refers to, by their hash.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn session_blobs(&self, session: &SessionId) -> Result<Vec<StoredBlob>, StoreError> {
        self.all(
            "list attachments",
            "SELECT sha256, media_type, bytes FROM blobs
             JOIN session_blobs ON blob = blobs.id
             WHERE session_id = ?1 AND sha256 IS NOT NULL ORDER BY sha256",
            [session.as_str()],
            stored,
        )
    }

    /// What a content of this session has from this byte on: at most [`PIECE_BYTES`], nothing at
    /// its end.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn blob_piece(
        &self,
        session: &SessionId,
        sha256: &str,
        offset: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let (piece, within) = (offset / PIECE_BYTES as u64, offset % PIECE_BYTES as u64);
        let found = self.first(
            "read attachment",
            "SELECT substr(data, ?4) AS data FROM blobs
             JOIN session_blobs ON session_blobs.blob = blobs.id
             JOIN blob_pieces ON blob_pieces.blob = blobs.id
             WHERE session_id = ?1 AND sha256 = ?2 AND position = ?3",
            params![session.as_str(), sha256, column::integer(piece), column::integer(within + 1)],
            |row| row.get("data"),
        )?;
        match found {
            Some(data) => Ok(data),
            None => self.blob(session, sha256).map(|_| Vec::new()),
        }
    }

    /// The bytes that a session refers to, of contents that are being stored too.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn blob_bytes(&self, session: &SessionId) -> Result<u64, StoreError> {
        self.one(
            "measure attachments",
            "SELECT COALESCE(SUM(MAX(bytes, 0)), 0) AS bytes FROM session_blobs
             JOIN blobs ON blobs.id = blob WHERE session_id = ?1",
            [session.as_str()],
            |row| column::natural(row, "bytes"),
        )
    }

    /// Whether there are contents that no message has.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn has_unused_blobs(&self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM session_blobs WHERE is_used = 0 LIMIT 1";
        self.exists("look for unused attachments", sql, [])
    }
}

impl Writer<'_> {
    /// Begins or continues to store a content with this piece, which has [`PIECE_BYTES`] unless it
    /// is the last.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the session or what was stored so far is gone;
    /// [`StoreError::Conflict`] `attachments_full` beyond `max_session_bytes`.
    pub fn store_piece(
        &mut self,
        session: &SessionId,
        upload: Option<Upload>,
        data: &[u8],
        max_session_bytes: u64,
    ) -> Result<Upload, StoreError> {
        let before = self.blob_bytes(session)?;
        if before.saturating_add(data.len() as u64) > max_session_bytes {
            let message = format!(
                "session {session} refers to {before} bytes of attachments, and may refer to \
                 {max_session_bytes} (attachments.max_session_bytes)"
            );
            return Err(StoreError::conflict(Conflict::AttachmentsFull, message));
        }
        let mut upload = match upload {
            Some(upload) => upload,
            None => {
                self.session(session)?;
                self.begin_upload(session)?
            }
        };
        self.add_piece(&mut upload, data)?;
        Ok(upload)
    }

    fn add_piece(&mut self, upload: &mut Upload, data: &[u8]) -> Result<(), StoreError> {
        let bytes = column::integer(data.len() as u64);
        let sql = "UPDATE blobs SET bytes = bytes + ?2
             WHERE id = ?1 AND sha256 IS NULL AND bytes >= 0";
        if self.execute("store attachment", sql, [upload.blob, bytes])? == 0 {
            return Err(StoreError::not_found("upload", upload.blob));
        }
        self.execute(
            "store attachment",
            "INSERT INTO blob_pieces (blob, position, data) VALUES (?1, ?2, ?3)",
            params![upload.blob, upload.pieces, data],
        )?;
        upload.pieces += 1;
        Ok(())
    }

    fn begin_upload(&mut self, session: &SessionId) -> Result<Upload, StoreError> {
        let sql = "INSERT INTO blobs (bytes) VALUES (0) RETURNING id";
        let blob: i64 = self.one("store attachment", sql, [], |row| row.get("id"))?;
        self.refer(session, blob, "")?;
        Ok(Upload { session: session.clone(), blob, pieces: 0 })
    }

    fn refer(
        &mut self,
        session: &SessionId,
        blob: i64,
        media_type: &str,
    ) -> Result<(), StoreError> {
        self.execute(
            "refer to attachment",
            "INSERT INTO session_blobs (session_id, blob, media_type, is_used, created_at)
             VALUES (?1, ?2, ?3, 0, ?4)
             ON CONFLICT (session_id, blob) DO UPDATE SET
                 media_type = excluded.media_type, created_at = excluded.created_at",
            params![session.as_str(), blob, media_type, column::now()],
        )
        .map(drop)
    }

    /// Names a content that is stored: by its hash, under which it may be there already.
    pub(super) fn name_upload(
        &mut self,
        upload: &Upload,
        sha256: &str,
        media_type: &str,
    ) -> Result<StoredBlob, StoreError> {
        self.session(&upload.session)?;
        self.settle_upload(upload, sha256, media_type)?;
        self.blob(&upload.session, sha256)
    }

    fn settle_upload(
        &mut self,
        upload: &Upload,
        sha256: &str,
        media_type: &str,
    ) -> Result<(), StoreError> {
        let Upload { session, blob, .. } = upload;
        let sql = "SELECT id FROM blobs WHERE sha256 = ?1";
        let known =
            self.first("finish attachment", sql, [sha256], |row| row.get::<_, i64>("id"))?;
        match known {
            Some(known) => {
                self.refer(session, known, media_type)?;
                self.abandon_upload(upload)
            }
            None => {
                let sql = "UPDATE blobs SET sha256 = ?2
                     WHERE id = ?1 AND sha256 IS NULL AND bytes >= 0";
                if self.execute("finish attachment", sql, params![blob, sha256])? == 0 {
                    return Err(StoreError::not_found("upload", blob));
                }
                self.refer(session, *blob, media_type)
            }
        }
    }

    /// Begins a content of a session that is being imported, and that nobody sees. It is used from
    /// the beginning: it goes with its session, and not because it is old.
    pub(super) fn begin_import(&mut self, session: &SessionId) -> Result<Upload, StoreError> {
        let upload = self.begin_upload(session)?;
        let sql = "UPDATE session_blobs SET is_used = 1 WHERE session_id = ?1 AND blob = ?2";
        self.execute("import attachment", sql, params![session.as_str(), upload.blob])?;
        Ok(upload)
    }

    /// Continues it, with [`PIECE_BYTES`] unless it is the last piece.
    pub(super) fn import_piece(
        &mut self,
        mut upload: Upload,
        data: &[u8],
    ) -> Result<Upload, StoreError> {
        self.add_piece(&mut upload, data)?;
        Ok(upload)
    }

    /// Names it by the hash of what was stored, and says since when the session refers to it.
    pub(super) fn end_import(
        &mut self,
        upload: &Upload,
        blob: &StoredBlob,
        created_at: &str,
    ) -> Result<(), StoreError> {
        self.settle_upload(upload, &blob.sha256, &blob.media_type)?;
        let sql = "UPDATE session_blobs SET is_used = 1, created_at = ?3
             WHERE session_id = ?1 AND blob = (SELECT id FROM blobs WHERE sha256 = ?2)";
        let parameters = [upload.session.as_str(), blob.sha256.as_str(), created_at];
        self.execute("import attachment", sql, parameters).map(drop)
    }

    /// Says that a message has these contents.
    pub(super) fn use_blobs<'s>(
        &mut self,
        session: &SessionId,
        hashes: impl Iterator<Item = &'s str>,
    ) -> Result<(), StoreError> {
        for sha256 in hashes {
            let used = self.execute(
                "use attachment",
                "UPDATE session_blobs SET is_used = 1
                 WHERE session_id = ?1 AND blob = (SELECT id FROM blobs WHERE sha256 = ?2)",
                [session.as_str(), sha256],
            )?;
            if used == 0 {
                return Err(StoreError::not_found("attachment", sha256));
            }
        }
        Ok(())
    }
}

impl AuditedWriter<'_, '_> {
    /// Finishes a content: it is found by its hash from now on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when what was stored is gone.
    pub fn finish_upload(
        &mut self,
        upload: &Upload,
        sha256: &str,
        media_type: &str,
    ) -> Result<StoredBlob, StoreError> {
        let blob = self.name_upload(upload, sha256, media_type)?;
        let within = Some(upload.session.as_str());
        self.record(Action::BlobCreate, sha256, within, &[])?;
        Ok(blob)
    }
}

//! Contents of attachments on their way in: a piece at a time, and believed once their hash is that
//! of what came. A content that is there already by its hash is shared, but only with who has it
//! too: a hash alone gives nobody anything.

use rusqlite::types::Value as Column;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Fields, ImportError, Importer, Stage, row};
use crate::{PIECE_BYTES, StoredBlob, Upload};

/// A content on its way.
#[derive(Debug)]
pub(super) struct Content {
    blob: StoredBlob,
    created_at: String,
    upload: Upload,
    pieces: u64,
    received: u64,
    hash: Sha256,
}

impl Content {
    /// What is wrong with the line that comes in place of its next piece.
    pub(super) fn missing(&self) -> String {
        let StoredBlob { sha256, bytes, .. } = &self.blob;
        let (received, next) = (self.received, self.pieces);
        format!(
            "attachment {sha256} has {bytes} bytes, of which {received} came: its piece {next} is missing"
        )
    }

    /// Takes the next piece. Returns its bytes.
    fn take(&mut self, mut fields: Fields) -> Result<Vec<u8>, String> {
        if fields.get("position").and_then(Value::as_u64) != Some(self.pieces) {
            return Err(self.missing());
        }
        let Some(Column::Blob(data)) = fields.remove("data").and_then(row::column) else {
            return Err("field 'data' is no bytes".to_owned());
        };
        let (left, bytes) = (self.blob.bytes - self.received, data.len() as u64);
        if bytes != left.min(PIECE_BYTES as u64) {
            return Err(format!(
                "a piece has {PIECE_BYTES} bytes, and the last one what is left: {left} are, and this \
                 one has {bytes}"
            ));
        }
        self.hash.update(&data);
        self.received += bytes;
        self.pieces += 1;
        Ok(data)
    }

    fn is_whole(&self) -> bool {
        self.received == self.blob.bytes
    }
}

impl Importer {
    pub(super) async fn begin_content(&mut self, fields: &Fields) -> Result<(), ImportError> {
        self.only(fields, &["sha256", "media_type", "bytes", "created_at"])?;
        let (sha256, media_type) = (self.text(fields, "sha256")?, self.text(fields, "media_type")?);
        let created_at = self.text(fields, "created_at")?;
        let bytes = fields.get("bytes").and_then(Value::as_u64);
        let bytes = bytes.ok_or_else(|| self.refuse("field 'bytes' is no number"))?;
        self.store.require_room()?;
        let Stage::Within(within) = &self.stage else { return Ok(()) };
        let session = within.id.clone();
        let begun = self.store.write(move |writer| writer.begin_import(&session)).await;
        let upload = begun.map_err(|error| self.sorted(error))?;
        let Stage::Within(within) = &mut self.stage else { return Ok(()) };
        within.lines += 1;
        let blob = StoredBlob { sha256, media_type, bytes };
        let (pieces, received, hash) = (0, 0, Sha256::new());
        within.content = Some(Content { blob, created_at, upload, pieces, received, hash });
        self.end_content().await
    }

    pub(super) async fn add_piece(&mut self, fields: Fields) -> Result<(), ImportError> {
        self.only(&fields, &["position", "data"])?;
        let line = self.line;
        let refuse = |problem: String| ImportError::Line { line, problem };
        let Stage::Within(within) = &mut self.stage else { return Ok(()) };
        let Some(content) = &mut within.content else {
            return Err(refuse("a piece that is of no attachment".to_owned()));
        };
        let data = content.take(fields).map_err(refuse)?;
        let upload = content.upload.clone();
        let added = self.store.write(move |writer| writer.import_piece(upload, &data)).await;
        let added = added.map_err(|error| self.sorted(error))?;
        let Stage::Within(within) = &mut self.stage else { return Ok(()) };
        within.lines += 1;
        if let Some(content) = &mut within.content {
            content.upload = added;
        }
        self.end_content().await
    }

    /// Names the content once all of it came.
    async fn end_content(&mut self) -> Result<(), ImportError> {
        let Stage::Within(within) = &mut self.stage else { return Ok(()) };
        let Some(content) = within.content.take_if(|content| content.is_whole()) else {
            return Ok(());
        };
        let Content { blob, created_at, upload, hash, .. } = content;
        let (sha256, found) = (blob.sha256.clone(), row::hex(&hash.finalize()));
        if found != sha256 {
            let problem =
                format!("attachment {sha256} is another one: what came has the hash {found}");
            return Err(self.refuse(problem));
        }
        let ended =
            self.store.write(move |writer| writer.end_import(&upload, &blob, &created_at)).await;
        ended.map_err(|error| self.sorted(error))?;
        if let Stage::Within(within) = &mut self.stage {
            within.contents.insert(sha256);
        }
        Ok(())
    }

    /// Nothing is passed over silently.
    fn only(&self, fields: &Fields, known: &[&str]) -> Result<(), ImportError> {
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(self.refuse(format!("field '{name}' is not known here"))),
            None => Ok(()),
        }
    }
}

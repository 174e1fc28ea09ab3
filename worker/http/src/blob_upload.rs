//! A content on its way into the store: gathered into pieces, hashed and looked at as it comes.
//! Never more of it is in memory than a piece.

use evonic_agent::Agents;
use evonic_domain::{SIGNATURE_BYTES, SessionId, Signature, media_type};
use evonic_store::{PIECE_BYTES, Store, StoredBlob, Upload, Writer};
use sha2::{Digest, Sha256};

use crate::{
    problem::Problem,
    state::{ApiState, Refusal},
};
use evonic_domain::Origin;

/// The bounds of an upload.
#[derive(Clone, Copy, Debug)]
pub(super) struct UploadLimits {
    pub(super) max_bytes: u64,
    pub(super) max_session_bytes: u64,
}

impl UploadLimits {
    pub(super) fn of(state: &ApiState) -> Self {
        let settings = &state.app.config.attachments;
        Self { max_bytes: settings.max_bytes.into(), max_session_bytes: settings.max_session_bytes }
    }

    /// Refuses what is larger.
    pub(super) fn check(self, bytes: u64) -> Result<(), Problem> {
        if bytes <= self.max_bytes {
            return Ok(());
        }
        let limit = self.max_bytes;
        let detail = format!("an attachment may have {limit} bytes (attachments.max_bytes)");
        Err(Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "", detail).closing())
    }
}

/// A content of which some has come.
pub(super) struct BlobUpload {
    store: Store,
    agents: Agents,
    session: SessionId,
    limits: UploadLimits,
    stored: Option<Upload>,
    piece: Vec<u8>,
    known: Known,
}

/// What is known of a content so far.
#[derive(Default)]
pub(super) struct Known {
    bytes: u64,
    hash: Sha256,
    head: Vec<u8>,
    text: TextCheck,
}

impl Known {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
        self.text.push(bytes);
        let missing = SIGNATURE_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
    }

    /// Its SHA-256 and its media type.
    ///
    /// # Errors
    /// 422 that names `field`, where it is empty or is not what it is said to be.
    pub(super) fn finish(
        self,
        said: Option<&str>,
        field: &str,
    ) -> Result<(String, String), Problem> {
        if self.bytes == 0 {
            return Err(Problem::unusable(field, format!("field '{field}': the content is empty")));
        }
        let media = media_type(said, Signature::of(&self.head), self.text.is_text())
            .map_err(|other| Problem::unusable(field, format!("field '{field}': {other}")))?;
        Ok((hexadecimal(&self.hash.finalize()), media))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl BlobUpload {
    pub(super) fn new(state: &ApiState, session: SessionId) -> Self {
        let (piece, known) = (Vec::with_capacity(PIECE_BYTES), Known::default());
        let (store, agents) = (state.app.store.clone(), state.app.agents.clone());
        Self { store, agents, session, limits: UploadLimits::of(state), stored: None, piece, known }
    }

    /// Takes what came next, and stores each piece that is whole.
    ///
    /// # Errors
    /// 413, 422 `attachments_full`, 507 `low_space`, 404 where the session is gone.
    pub(super) async fn push(&mut self, mut bytes: &[u8]) -> Result<(), Problem> {
        self.limits.check(self.known.bytes + bytes.len() as u64)?;
        self.known.push(bytes);
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = rest;
            if self.piece.len() == PIECE_BYTES {
                self.store_piece().await?;
            }
        }
        Ok(())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.known.bytes == 0
    }

    async fn store_piece(&mut self) -> Result<(), Problem> {
        self.store.require_room()?;
        let data = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let (session, stored) = (self.session.clone(), self.stored.take());
        let most = self.limits.max_session_bytes;
        let before = stored.clone();
        let storing =
            self.store.write(move |writer| writer.store_piece(&session, stored, &data, most));
        match storing.await {
            Ok(stored) => {
                // From now on something is there that may never be attached, however this ends.
                if before.is_none() {
                    self.agents.uploads_began();
                }
                self.stored = Some(stored);
            }
            Err(error) => {
                self.stored = before;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Stores the rest of it, and names it; where that fails, nothing of it stays.
    ///
    /// # Errors
    /// As [`BlobUpload::push`]; 422 for `field` where it is not what it is said to be.
    pub(super) async fn finish(
        mut self,
        state: &ApiState,
        origin: Origin,
        said: Option<&str>,
        field: &str,
    ) -> Result<StoredBlob, Problem> {
        let finished = self.try_finish(state, origin, said, field).await;
        if finished.is_err() {
            self.abandon().await;
        }
        finished
    }

    async fn try_finish(
        &mut self,
        state: &ApiState,
        origin: Origin,
        said: Option<&str>,
        field: &str,
    ) -> Result<StoredBlob, Problem> {
        if !self.piece.is_empty() {
            self.store_piece().await?;
        }
        let (sha256, media) = std::mem::take(&mut self.known).finish(said, field)?;
        let upload = self.stored.clone().expect("what is not empty has a piece");
        let finishing = state.change(origin, move |writer| {
            Ok::<_, Refusal>(writer.finish_upload(&upload, &sha256, &media)?)
        });
        finishing.await
    }

    /// Gives it up: nothing of it stays.
    pub(super) async fn abandon(mut self) {
        let Some(upload) = self.stored.take() else { return };
        let abandoning =
            self.store.write(move |writer: &mut Writer<'_>| writer.abandon_upload(&upload));
        if let Err(error) = abandoning.await {
            // It goes with the unused ones.
            tracing::debug!(error = &error as &dyn std::error::Error, "upload stays for now");
        }
    }
}

/// Whether bytes that come in pieces are UTF-8 without NUL.
#[derive(Debug, Default)]
struct TextCheck {
    is_broken: bool,
    /// The beginning of a character whose end is to come.
    open: Vec<u8>,
}

impl TextCheck {
    fn push(&mut self, bytes: &[u8]) {
        if self.is_broken {
            return;
        }
        if bytes.contains(&0) {
            self.is_broken = true;
            return;
        }
        let mut rest = bytes;
        while let (false, Some((first, after))) = (self.open.is_empty(), rest.split_first()) {
            self.open.push(*first);
            rest = after;
            match std::str::from_utf8(&self.open) {
                Ok(_) => self.open.clear(),
                Err(error) if error.error_len().is_some() => {
                    self.is_broken = true;
                    return;
                }
                Err(_) => {}
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => {}
            Err(error) if error.error_len().is_some() => self.is_broken = true,
            Err(error) => self.open.extend_from_slice(&rest[error.valid_up_to()..]),
        }
    }

    fn is_text(&self) -> bool {
        !self.is_broken && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_text(bytes: &[u8], piece: usize) -> bool {
        let mut check = TextCheck::default();
        bytes.chunks(piece).for_each(|bytes| check.push(bytes));
        check.is_text()
    }

    #[test]
    fn what_is_known_is_its_hash_and_its_type() {
        let mut known = Known::default();
        known.push(b"%PD");
        known.push(b"F-1.7");
        let (sha256, media) = known.finish(None, "data").unwrap_or_else(|_| panic!("it is a PDF"));
        assert_eq!(media, "application/pdf");
        assert_eq!(sha256, hexadecimal(&Sha256::digest(b"%PDF-1.7")));
        assert!(Known::default().finish(None, "data").is_err());
    }

    proptest! {
        #[test]
        fn pieces_are_text_where_the_whole_is(text in "[^\0]{0,40}", piece in 1..7_usize) {
            prop_assert!(is_text(text.as_bytes(), piece));
        }

        #[test]
        fn no_other_bytes_are(bytes in prop::collection::vec(any::<u8>(), 0..40), piece in 1..7_usize) {
            let expected = std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0);
            prop_assert_eq!(is_text(&bytes, piece), expected);
        }
    }
}

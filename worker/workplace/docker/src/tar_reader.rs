//! The archive of one file, read as it comes.

use bollard::errors::Error;
use bytes::{Buf, Bytes, BytesMut};
use evonic_backend::{Stage, WorkplaceError, error::Cause};
use futures_util::stream::BoxStream;
use tar::{EntryType, Header};

use super::{container::Lease, error::Failed, tar_entry::BLOCK};

/// The most bytes of an entry before a file's: long names and numbers.
const MOST_EXTRA_BYTES: u64 = 1 << 20;

/// The most bytes of a piece.
const PIECE_BYTES: usize = 1 << 20;

/// An archive of one file, as it comes.
pub(super) struct TarReader {
    archive: BoxStream<'static, Result<Bytes, Error>>,
    buffer: BytesMut,
    lease: Lease,
}

/// Why a file cannot be read on.
pub(super) enum TarError {
    Engine(Failed),
    Early,
    NoFile,
}

impl TarError {
    pub(super) fn into_workplace(self, path: &str) -> WorkplaceError {
        match self {
            TarError::Engine(failed) => failed.into(),
            // It became shorter while it was read, or the engine was stopped.
            TarError::Early => WorkplaceError::Unreachable {
                host: path.to_owned(),
                stage: Stage::Read,
                source: Cause("it ended early".to_owned()),
            },
            TarError::NoFile => WorkplaceError::WrongType {
                path: path.to_owned(),
                found: "no file any more",
                needed: "a regular file",
            },
        }
    }
}

impl TarReader {
    pub(super) fn new(archive: BoxStream<'static, Result<Bytes, Error>>, lease: Lease) -> Self {
        Self { archive, buffer: BytesMut::new(), lease }
    }

    /// Reads up to the file's first byte; returns its size.
    pub(super) async fn enter(&mut self) -> Result<u64, TarError> {
        loop {
            self.fill(BLOCK).await?;
            let header = Header::from_byte_slice(&self.buffer[..BLOCK]).clone();
            self.buffer.advance(BLOCK);
            let size = header.entry_size().map_err(|_| TarError::Early)?;
            match header.entry_type() {
                EntryType::Regular | EntryType::Continuous => return Ok(size),
                EntryType::XHeader
                | EntryType::XGlobalHeader
                | EntryType::GNULongName
                | EntryType::GNULongLink
                    if size <= MOST_EXTRA_BYTES =>
                {
                    self.skip(size.next_multiple_of(BLOCK as u64)).await?;
                }
                _ => return Err(TarError::NoFile),
            }
        }
    }

    pub(super) async fn skip(&mut self, mut bytes: u64) -> Result<(), TarError> {
        while bytes > 0 {
            bytes -= self.take(bytes).await?.len() as u64;
        }
        Ok(())
    }

    /// At least one byte, at most `most`.
    pub(super) async fn take(&mut self, most: u64) -> Result<Bytes, TarError> {
        self.fill(1).await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let length = self.buffer.len().min(most).min(PIECE_BYTES);
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), TarError> {
        while self.buffer.len() < bytes {
            let engine = &self.lease.container.engine;
            let piece = engine.piece(Stage::Read, &mut self.archive, engine.timeout()).await;
            match piece.map_err(TarError::Engine)? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Err(TarError::Early),
            }
        }
        Ok(())
    }
}

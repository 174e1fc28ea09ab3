//! What is at a path, and a file's bytes, by the archive endpoints.

use std::{io, sync::Arc};

use bollard::{
    container::PathStatResponse,
    errors::Error,
    query_parameters::{ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder},
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream::BoxStream};
use tar::{EntryType, Header};

use super::{
    WorkplaceError, container::Lease, fault::Failed, recipe::WORKSPACE, shell::Sandbox, tape::BLOCK,
};
use evonic_backend::{Download, FileType, Stage, Stat};

/// Links that are followed one after another.
const MOST_LINKS: u32 = 16;

/// The most bytes of an entry before a file's: long names and numbers.
const MOST_EXTRA_BYTES: u64 = 1 << 20;

/// The most bytes of a piece.
const PIECE_BYTES: usize = 1 << 20;

/// Bits of Go's file modes, in which the engine answers.
const GO_FOLDER: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;
const GO_SPECIAL: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

/// What was found at the end of all links.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its whole path, links followed.
    pub(super) path: String,
    pub(super) stat: Stat,
    /// Its last change as the engine wrote it, to the nanosecond.
    pub(super) changed: String,
}

/// A lease, and what is done with it by paths.
pub(super) struct Reading<'a> {
    pub(super) sandbox: &'a Sandbox,
    pub(super) lease: Lease,
    /// The path as the caller wrote it, for errors.
    pub(super) shown: &'a str,
}

impl<'a> Reading<'a> {
    /// # Errors
    /// [`WorkplaceError`] when the container cannot be brought up.
    pub(super) async fn begin(
        sandbox: &'a Sandbox,
        shown: &'a str,
    ) -> Result<Self, WorkplaceError> {
        Ok(Self { sandbox, lease: sandbox.0.lease().await?, shown })
    }

    /// What is at a whole path, links followed; nothing when there is nothing, or a link leads to
    /// nothing: then the second value is where it would be.
    pub(super) async fn look(
        &mut self,
        path: &str,
    ) -> Result<(Option<Target>, String), WorkplaceError> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Some(found) = self.head(&path).await? else { return Ok((None, path)) };
            if found.file_mode & GO_LINK == 0 {
                return Ok((Some(target(path.clone(), &found)), path));
            }
            path = found.link_target;
        }
        Err(self.failed("read", io::Error::from(rustix::io::Errno::LOOP)))
    }

    /// As [`Reading::look`], for what must be there.
    pub(super) async fn find(
        &mut self,
        operation: &'static str,
        path: &str,
    ) -> Result<Target, WorkplaceError> {
        let (found, _) = self.look(path).await?;
        found.ok_or_else(|| self.failed(operation, missing(path)))
    }

    async fn head(&mut self, path: &str) -> Result<Option<PathStatResponse>, WorkplaceError> {
        let engine = &self.sandbox.0.engine;
        for round in 0.. {
            let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
            let asked = engine.docker.get_container_archive_info(&self.lease.id, Some(options));
            match engine.ask(Stage::Stat, asked).await {
                Ok(found) => return Ok(Some(found)),
                Err(failed) if failed.is_missing() => {
                    // Either of the two is missing, and the answer has no words.
                    if round > 0 || !self.sandbox.0.is_lost(&self.lease.id).await? {
                        return Ok(None);
                    }
                    self.lease = self.sandbox.0.lease().await?;
                }
                Err(failed) => return Err(failed.into()),
            }
        }
        Ok(None)
    }

    /// Opens a file from byte `from` on. What is before that passes by and is dropped.
    pub(super) async fn download(
        mut self,
        path: &str,
        from: u64,
    ) -> Result<Download, WorkplaceError> {
        let target = self.find("read", path).await?;
        self.expect_file(&target)?;
        let options = DownloadFromContainerOptionsBuilder::default().path(&target.path).build();
        let engine = Arc::clone(&self.sandbox.0.engine);
        engine.greet().await?;
        let archive = engine.docker.download_from_container(&self.lease.id, Some(options));
        let shown = self.shown.to_owned();
        let mut tape =
            Tape { archive: archive.boxed(), buffer: BytesMut::new(), lease: self.lease };
        let size = tape.enter().await.map_err(|error| error.told(&shown))?;
        let left = size.saturating_sub(from);
        tape.skip(from.min(size)).await.map_err(|error| error.told(&shown))?;
        let bytes = futures_util::stream::unfold(
            (tape, left, shown),
            |(mut tape, left, shown)| async move {
                if left == 0 {
                    return None;
                }
                match tape.take(left).await {
                    Ok(piece) => {
                        let left = left - piece.len() as u64;
                        Some((Ok(piece), (tape, left, shown)))
                    }
                    Err(error) => Some((Err(error.told(&shown)), (tape, 0, shown))),
                }
            },
        );
        let stat = Stat { size_bytes: size, ..target.stat };
        Ok(Download { stat, bytes: bytes.boxed() })
    }

    /// # Errors
    /// [`WorkplaceError::WrongType`].
    pub(super) fn expect_file(&self, target: &Target) -> Result<(), WorkplaceError> {
        let found = match target.stat.file_type {
            FileType::File => return Ok(()),
            FileType::Folder => "a folder",
            FileType::Link | FileType::Other => "neither a file nor a folder",
        };
        let path = self.shown.to_owned();
        Err(WorkplaceError::WrongType { path, found, needed: "a regular file" })
    }

    pub(super) fn failed(&self, operation: &'static str, source: io::Error) -> WorkplaceError {
        WorkplaceError::Path { operation, path: self.shown.to_owned(), source }
    }
}

/// There is nothing; for `/tmp` and its like, why.
pub(super) fn missing(path: &str) -> io::Error {
    let below = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    if ["/tmp", "/proc", "/dev", "/sys"].iter().any(|folder| below(folder)) {
        let said = format!(
            "it is in memory, where only commands see it; files of tools are below {WORKSPACE}"
        );
        return io::Error::new(io::ErrorKind::NotFound, said);
    }
    io::ErrorKind::NotFound.into()
}

fn target(path: String, found: &PathStatResponse) -> Target {
    let mode = found.file_mode;
    let file_type = match mode {
        mode if mode & GO_FOLDER != 0 => FileType::Folder,
        mode if mode & GO_LINK != 0 => FileType::Link,
        mode if mode & GO_SPECIAL != 0 => FileType::Other,
        _ => FileType::File,
    };
    let special = [(GO_SETUID, 0o4000), (GO_SETGID, 0o2000), (GO_STICKY, 0o1000)];
    let special = special.iter().filter(|(go, _)| mode & go != 0).map(|(_, bit)| bit).sum::<u32>();
    let size = u64::try_from(found.size).unwrap_or(0);
    let changed = found.modification_time.clone().unwrap_or_default();
    let seconds = changed.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let stat = Stat {
        file_type,
        size_bytes: if file_type == FileType::File { size } else { 0 },
        mode: mode & 0o777 | special,
        modified: u64::try_from(seconds).unwrap_or(0),
    };
    Target { path, stat, changed }
}

/// An archive of one file, as it comes.
struct Tape {
    archive: BoxStream<'static, Result<Bytes, Error>>,
    buffer: BytesMut,
    lease: Lease,
}

/// Why a file cannot be read on.
enum Torn {
    Engine(Failed),
    Early,
    NoFile,
}

impl Torn {
    fn told(self, path: &str) -> WorkplaceError {
        match self {
            Torn::Engine(failed) => failed.into(),
            // It became shorter while it was read, or the engine was stopped.
            Torn::Early => WorkplaceError::Unreachable {
                host: path.to_owned(),
                stage: Stage::Read,
                source: evonic_backend::error::Cause("it ended early".to_owned()),
            },
            Torn::NoFile => WorkplaceError::WrongType {
                path: path.to_owned(),
                found: "no file any more",
                needed: "a regular file",
            },
        }
    }
}

impl Tape {
    /// Reads up to the file's first byte; returns its size.
    async fn enter(&mut self) -> Result<u64, Torn> {
        loop {
            self.fill(BLOCK).await?;
            let header = Header::from_byte_slice(&self.buffer[..BLOCK]).clone();
            self.buffer.advance(BLOCK);
            let size = header.entry_size().map_err(|_| Torn::Early)?;
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
                _ => return Err(Torn::NoFile),
            }
        }
    }

    async fn skip(&mut self, mut bytes: u64) -> Result<(), Torn> {
        while bytes > 0 {
            bytes -= self.take(bytes).await?.len() as u64;
        }
        Ok(())
    }

    /// At least one byte, at most `most`.
    async fn take(&mut self, most: u64) -> Result<Bytes, Torn> {
        self.fill(1).await?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let length = self.buffer.len().min(most).min(PIECE_BYTES);
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), Torn> {
        while self.buffer.len() < bytes {
            let engine = &self.lease.container.engine;
            let piece = engine.piece(Stage::Read, &mut self.archive, engine.timeout()).await;
            match piece.map_err(Torn::Engine)? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Err(Torn::Early),
            }
        }
        Ok(())
    }
}

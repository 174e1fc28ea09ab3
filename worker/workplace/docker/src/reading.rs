//! What is at a path, and a file's bytes, by the archive endpoints.

use std::{io, sync::Arc};

use bollard::{
    container::PathStatResponse,
    errors::Error,
    query_parameters::{ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder},
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{container::Lease, shell::Sandbox, spec::WORKSPACE};
use evonic_backend::{
    Download, FileType, Result, Stage, Stat, WorkplaceError,
    archive::{Archive, Part},
};

/// Links that are followed one after another.
const MOST_LINKS: u32 = 16;

/// Bytes of a link's target that are believed (`PATH_MAX`).
const PATH_BYTES: usize = 4096;

/// Bits of Go's file modes, in which the engine answers.
const GO_FOLDER: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;
const GO_SPECIAL: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its whole path, links followed.
    pub(super) path: String,
    pub(super) stat: Stat,
    /// Its last change as the engine wrote it, to the nanosecond.
    pub(super) changed: String,
}

pub(super) enum Lookup {
    Found(Target),
    /// Nothing, or a link leads to nothing: where it would be.
    Absent {
        path: String,
    },
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
    pub(super) async fn begin(sandbox: &'a Sandbox, shown: &'a str) -> Result<Self> {
        Ok(Self { sandbox, lease: sandbox.lease().await?, shown })
    }

    /// What is at a whole path, links followed.
    pub(super) async fn look(&mut self, path: &str) -> Result<Lookup> {
        let mut path = path.to_owned();
        for _ in 0..MOST_LINKS {
            let Some(found) = self.head(&path).await? else { return Ok(Lookup::Absent { path }) };
            if found.file_mode & GO_LINK == 0 {
                return Ok(Lookup::Found(target(path, &found)));
            }
            path = found.link_target;
            if path.len() > PATH_BYTES {
                return Err(self.failed("read", rustix::io::Errno::NAMETOOLONG));
            }
        }
        Err(self.failed("read", rustix::io::Errno::LOOP))
    }

    /// As [`Reading::look`], for a path that must exist.
    pub(super) async fn find(&mut self, operation: &'static str, path: &str) -> Result<Target> {
        match self.look(path).await? {
            Lookup::Found(target) => Ok(target),
            Lookup::Absent { .. } => Err(self.failed(operation, missing(path))),
        }
    }

    async fn head(&mut self, path: &str) -> Result<Option<PathStatResponse>> {
        let engine = &self.sandbox.container.engine;
        for round in 0.. {
            let options = ContainerArchiveInfoOptionsBuilder::default().path(path).build();
            let asked = engine.docker.get_container_archive_info(&self.lease.id, Some(options));
            match engine.ask(Stage::Stat, asked).await {
                Ok(found) => return Ok(Some(found)),
                Err(failed) if failed.is_missing() => {
                    // Either of the two is missing, and the answer does not name it.
                    if round > 0 || !self.sandbox.container.is_lost(&self.lease.id).await? {
                        return Ok(None);
                    }
                    self.lease = self.sandbox.lease().await?;
                }
                Err(failed) => return Err(failed.into()),
            }
        }
        Ok(None)
    }

    /// Opens a file from byte `from` on. What is before that passes by and is dropped.
    pub(super) async fn download(mut self, path: &str, from: u64) -> Result<Download> {
        let target = self.find("read", path).await?;
        self.expect_file(&target)?;
        let options = DownloadFromContainerOptionsBuilder::default().path(&target.path).build();
        let engine = Arc::clone(&self.sandbox.container.engine);
        engine.greet().await?;
        let archive = engine.docker.download_from_container(&self.lease.id, Some(options));
        let shown = self.shown.to_owned();
        let (pieces, archive) = (archive.boxed(), Archive::default());
        let mut file = ArchivedFile { pieces, archive, lease: self.lease, shown };
        // What comes before it is its header, and an engine that sends something else has no end.
        let first = tokio::time::timeout(engine.timeout, file.part());
        let late = |_| engine.unreachable(Stage::Read, "no file came");
        let Part::File { size_bytes, .. } = first.await.map_err(late)?? else {
            let (found, needed) = ("no file any more", "a regular file");
            return Err(WorkplaceError::WrongType { path: file.shown, found, needed });
        };
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let bytes = stream::try_unfold((file, skip), |(mut file, mut skip)| async move {
            while let Part::Data(mut data) = file.part().await? {
                let skipped = data.split_to(skip.min(data.len())).len();
                skip -= skipped;
                if !data.is_empty() {
                    return Ok(Some((data, (file, skip))));
                }
            }
            Ok(None)
        });
        let stat = Stat { size_bytes, ..target.stat };
        Ok(Download { stat, bytes: bytes.boxed() })
    }

    /// # Errors
    /// [`WorkplaceError::WrongType`].
    pub(super) fn expect_file(&self, target: &Target) -> Result<()> {
        let found = match target.stat.file_type {
            FileType::File => return Ok(()),
            FileType::Folder => "a folder",
            FileType::Link | FileType::Other => "neither a file nor a folder",
        };
        let path = self.shown.to_owned();
        Err(WorkplaceError::WrongType { path, found, needed: "a regular file" })
    }

    pub(super) fn failed(
        &self,
        operation: &'static str,
        source: impl Into<io::Error>,
    ) -> WorkplaceError {
        WorkplaceError::path(operation, self.shown, source)
    }
}

/// An archive of one file, as it comes.
struct ArchivedFile {
    pieces: BoxStream<'static, Result<Bytes, Error>>,
    archive: Archive,
    lease: Lease,
    shown: String,
}

impl ArchivedFile {
    async fn part(&mut self) -> Result<Part> {
        // It became shorter while it was read, or the engine was stopped.
        let early = || WorkplaceError::unreachable(&self.shown, Stage::Read, "it ended early");
        loop {
            if let Some(part) = self.archive.next().map_err(|_| early())? {
                return Ok(part);
            }
            let engine = &self.lease.container.engine;
            match engine.piece(Stage::Read, &mut self.pieces, engine.timeout).await? {
                Some(piece) => self.archive.push(&piece),
                None => return Err(early()),
            }
        }
    }
}

/// The error for an absent path; for `/tmp` and its like with the reason.
pub(super) fn missing(path: &str) -> io::Error {
    let below = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    if ["/tmp", "/proc", "/dev", "/sys"].iter().any(|folder| below(folder)) {
        let reason = format!(
            "it is in memory, where only commands see it; files of tools are below {WORKSPACE}"
        );
        return io::Error::new(io::ErrorKind::NotFound, reason);
    }
    rustix::io::Errno::NOENT.into()
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

//! Files that are read and written in pieces, for as long as that takes: under one permit each.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat};
use sha2::{Digest, Sha256};

use super::{
    Files,
    attributes::{Attributes, plain_mode},
    change,
    fd_scope::FdScope,
    operation::Operation,
    root::real_path,
    write::{Failure, PRIVATE, find, sync_folder},
};
use evonic_backend::{Class, Download, Result, Stat, Upload, WorkplaceError, Written};
use evonic_handles::Held;

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 * 1024;

/// The mode of a new file, unless one is given.
const DEFAULT_MODE: u32 = 0o644;

/// The longest name of a file on Linux, in bytes.
const NAME_BYTES: usize = 255;

impl Files {
    /// See [`evonic_backend::Backend::download`].
    pub(crate) async fn download(self: &Arc<Self>, path: &str, from: u64) -> Result<Download> {
        let opened = self.keep("read", path, |op| {
            let (file, stat) = op.open_file()?;
            let mode = plain_mode(&*file, stat.st_mode) & 0o7777;
            Ok((file.release(), Stat { mode, ..change::stat_of(&stat) }))
        });
        let (file, stat) = opened.await?;
        let start = (Arc::clone(self), Arc::new(file), path.to_owned(), from);
        let pieces = stream::try_unfold(start, |(files, file, path, offset)| async move {
            let reader = Arc::clone(&file);
            let piece = files.pool.run(move |_| read_at(&reader, offset)).await;
            let piece =
                piece.map_err(|error| WorkplaceError::path("read", path.as_str(), error))?;
            let next = offset + piece.len() as u64;
            let more = !piece.is_empty();
            Ok(more.then_some((piece, (files, file, path, next))))
        });
        Ok(Download { stat, bytes: pieces.boxed() })
    }

    /// See [`evonic_backend::Backend::upload`].
    pub(crate) async fn upload(self: &Arc<Self>, path: &str, id: &str) -> Result<Box<dyn Upload>> {
        let id = id.to_owned();
        let (file, (target, len)) = self.keep("write", path, move |op| open_part(op, &id)).await?;
        Ok(Box::new(Part { files: Arc::clone(self), file: Arc::new(file), target, len }))
    }

    /// Opens a file that outlives the operation, which then owns one permit only.
    async fn keep<T: Send + 'static>(
        &self,
        name: &'static str,
        path: &str,
        open: impl FnOnce(Operation<'_>) -> Result<(File, T)> + Send + 'static,
    ) -> Result<(Held<File>, T)> {
        let keep = |scope: FdScope, opened: Result<(File, T)>| {
            let (file, more) = opened?;
            let mut permit = scope.into_permit();
            permit.owns(1, u32::try_from(file.as_raw_fd()).ok());
            Ok((Held::new(file, permit), more))
        };
        self.operate(name, path, open, keep).await
    }
}

/// Where an unfinished copy stands, and what it will be.
#[derive(Clone, Debug)]
struct Target {
    /// As the caller wrote it.
    path: String,
    /// Without links.
    folder: PathBuf,
    name: PathBuf,
    part: String,
    /// The file that it replaces.
    existing: Option<Attributes>,
}

/// An unfinished copy.
struct Part {
    files: Arc<Files>,
    file: Arc<Held<File>>,
    target: Target,
    len: u64,
}

#[async_trait]
impl Upload for Part {
    fn safe_bytes(&self) -> u64 {
        self.len
    }

    /// Cancel safe: what is dropped half-way is written again, at the same offset.
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let (file, offset, length) = (Arc::clone(&self.file), self.len, bytes.len() as u64);
        let written = self.files.pool.run(move |_| file.write_all_at(&bytes, offset)).await;
        written.map_err(|error| self.target.failed("write", error))?;
        self.len += length;
        Ok(())
    }

    async fn sha256(&mut self) -> Result<String> {
        let (file, length) = (Arc::clone(&self.file), self.len);
        let digest =
            self.files.pool.run(move |waiter| digest(&file, length, &|| waiter.is_waiting()));
        digest.await.map_err(|error| self.target.failed("read", error))
    }

    async fn finish(self: Box<Self>, mode: Option<u32>) -> Result<Written> {
        let Self { files, file, target, len } = *self;
        let existing = target.existing.clone();
        let settling = Arc::clone(&file);
        let settled =
            files.pool.run(move |_| settle(&settling, len, existing.as_ref(), mode)).await;
        let placed = match settled {
            Ok(written) => {
                let placing = target.clone().operate(&files, "write", |folder, target| {
                    renameat(folder, &target.part, folder, &target.name)
                        .map_err(|error| target.of_name(error))?;
                    Ok(sync_folder(folder)?)
                });
                placing.await.map(|()| written)
            }
            Err(failure) => Err(target.error(failure)),
        };
        if let Err(error) = &placed
            && error.class() == Class::Permanent
        {
            drop(file);
            // The first error is reported; that this one may follow from it is not news.
            let _left = target.remove(&files).await;
        }
        placed
    }

    async fn discard(self: Box<Self>) -> Result<()> {
        let Self { files, file, target, .. } = *self;
        drop(file);
        target.remove(&files).await
    }
}

impl Target {
    fn failed(&self, operation: &'static str, error: io::Error) -> WorkplaceError {
        WorkplaceError::path(operation, self.path.as_str(), error)
    }

    fn of_name(&self, error: rustix::io::Errno) -> Failure {
        match self.existing {
            Some(_) => Failure::of_name(error),
            None => Failure::Other(error.into()),
        }
    }

    /// The error of giving the copy what the file has that it replaces.
    fn error(&self, failure: Failure) -> WorkplaceError {
        match failure {
            Failure::NotKeepable(what, error) => {
                WorkplaceError::not_keepable(self.path.as_str(), &what, &error)
            }
            Failure::Folder(error) | Failure::Other(error) => self.failed("write", error),
        }
    }

    async fn remove(self, files: &Files) -> Result<()> {
        let in_folder =
            |folder: &OwnedFd, target: &Self| Ok(unlinkat(folder, &target.part, AtFlags::empty())?);
        self.operate(files, "remove", in_folder).await
    }

    /// Does something in its folder.
    async fn operate(
        self,
        files: &Files,
        name: &'static str,
        work: impl FnOnce(&OwnedFd, &Self) -> Result<(), Failure> + Send + 'static,
    ) -> Result<()> {
        let path = self.path.clone();
        files
            .on_thread(name, &path, move |op| {
                let folder = op.root.open_real_folder(op.scope, &self.folder);
                let folder = folder.map_err(|error| op.failed(error))?;
                work(&folder, &self).map_err(|failure| failure.error(op, &folder))
            })
            .await
    }
}

/// Opens the unfinished copy of a file; also returns its length.
fn open_part(op: Operation<'_>, id: &str) -> Result<(File, (Target, u64))> {
    let target = find(op)?;
    let part = part_name(&target.name, id);
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    // Counted as soon as the folder's permit is free.
    let opened = openat(&*target.folder, &part, flags | OFlags::CLOEXEC, PRIVATE);
    let opened = opened.map_err(|error| match target.existing {
        Some(_) => Failure::of_name(error).error(op, &target.folder),
        None => op.failed(error),
    })?;
    let stat = fstat(&opened).map_err(|error| op.failed(error))?;
    op.expect_type(&stat, FileType::RegularFile)?;
    op.root.give(&opened).map_err(|error| op.failed(error))?;
    let folder = real_path(&target.folder).map_err(|error| op.failed(error))?;
    let path = op.path.to_owned();
    let kept = Target { path, folder, name: target.name, part, existing: target.existing };
    Ok((File::from(opened), (kept, u64::try_from(stat.st_size).unwrap_or(0))))
}

/// `.NAME.ID.part`, with as much of the name as fits.
fn part_name(name: &Path, id: &str) -> String {
    let name = name.to_string_lossy();
    let room = NAME_BYTES.saturating_sub(id.len() + "...part".len());
    let end = (0..=room.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    format!(".{}.{id}.part", &name[..end.unwrap_or(0)])
}

/// Gives a whole copy its length, owner and rights, and makes it survive the machine.
fn settle(
    file: &File,
    len: u64,
    existing: Option<&Attributes>,
    mode: Option<u32>,
) -> Result<Written, Failure> {
    file.set_len(len)?;
    let written = match existing {
        Some(existing) => existing.give(file, mode)?,
        None => {
            fchmod(file, Mode::from_raw_mode(mode.unwrap_or(DEFAULT_MODE) & 0o7777))?;
            Written::default()
        }
    };
    file.sync_all()?;
    Ok(written)
}

fn read_at(file: &File, offset: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; PIECE_BYTES];
    let length = loop {
        match file.read_at(&mut piece, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    piece.truncate(length);
    Ok(piece.into())
}

/// See [`evonic_backend::Backend::sha256`].
pub(in super::super) fn sha256(op: Operation<'_>) -> Result<String> {
    let (file, _) = op.open_file()?;
    digest(&file, u64::MAX, op.is_waiting).map_err(|error| op.failed(error))
}

/// The digest of the first `length` bytes, or of all when there are fewer.
fn digest(file: &File, length: u64, is_waiting: &dyn Fn() -> bool) -> io::Result<String> {
    let (mut digest, mut offset) = (Sha256::new(), 0);
    while offset < length {
        if !is_waiting() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut piece = read_at(file, offset)?;
        if piece.is_empty() {
            break;
        }
        piece.truncate(usize::try_from(length - offset).unwrap_or(usize::MAX));
        digest.update(&piece);
        offset += piece.len() as u64;
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;

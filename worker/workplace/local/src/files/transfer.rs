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
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, openat, renameat, unlinkat,
};
use sha2::{Digest, Sha256};

use super::{
    Files, change,
    error::{expect_type, failed},
    fd_scope::FdScope,
    open::open_file,
    root::{Root, real_path},
    write::{find, keep, sync_folder},
};
use evonic_backend::{Download, Upload, WorkplaceError};
use evonic_handles::Held;
use evonic_handles::blocking::Waiter;

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 * 1024;

/// The longest name of a file on Linux, in bytes.
const NAME_BYTES: usize = 255;

impl Files {
    /// See [`evonic_backend::Backend::download`].
    pub(crate) async fn download(
        self: &Arc<Self>,
        path: &str,
        from: u64,
    ) -> Result<Download, WorkplaceError> {
        let name = path.to_owned();
        let (file, stat) = self
            .keep(move |scope, root| {
                let (file, stat) = open_file(scope, root, "read", &name)?;
                Ok((file.release(), change::stat_of(&stat)))
            })
            .await?;
        let start = (Arc::clone(self), Arc::new(file), path.to_owned(), from);
        let pieces = stream::try_unfold(start, |(files, file, path, offset)| async move {
            let reader = Arc::clone(&file);
            let piece = files.pool.run(move |_| read_at(&reader, offset)).await;
            let piece = piece.map_err(failed("read", &path))?;
            let next = offset + piece.len() as u64;
            let more = !piece.is_empty();
            Ok(more.then_some((piece, (files, file, path, next))))
        });
        Ok(Download { stat, bytes: pieces.boxed() })
    }

    /// See [`evonic_backend::Backend::upload`].
    pub(crate) async fn upload(
        self: &Arc<Self>,
        path: &str,
        id: &str,
    ) -> Result<Box<dyn Upload>, WorkplaceError> {
        let (path, id) = (path.to_owned(), id.to_owned());
        let (file, target) =
            self.keep(move |scope, root| open_part(scope, root, path, &id)).await?;
        let stat = fstat(&*file).map_err(|error| failed("write", &target.path)(error.into()))?;
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        Ok(Box::new(Part { files: Arc::clone(self), file: Arc::new(file), target, len }))
    }

    /// See [`evonic_backend::Backend::sha256`].
    pub(crate) async fn sha256(&self, path: &str) -> Result<String, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, waiter| {
            let (file, _) = open_file(scope, root, "read", &path)?;
            digest(&file, u64::MAX, waiter).map_err(failed("read", &path))
        })
        .await
    }

    /// Opens a file that outlives the operation, which then owns one permit only.
    async fn keep<T: Send + 'static>(
        &self,
        open: impl FnOnce(&FdScope, &Root) -> Result<(File, T), WorkplaceError> + Send + 'static,
    ) -> Result<(Held<File>, T), WorkplaceError> {
        let permits = self.permits().await?;
        let root = Arc::clone(&self.root);
        self.pool
            .run(move |_| {
                let scope = FdScope::new(permits);
                let (file, more) = open(&scope, &root)?;
                let mut permit = scope.into_permit();
                permit.owns(1, u32::try_from(file.as_raw_fd()).ok());
                Ok((Held::new(file, permit), more))
            })
            .await
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
    existing: Option<Stat>,
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
    async fn write(&mut self, bytes: Bytes) -> Result<(), WorkplaceError> {
        let (file, offset, length) = (Arc::clone(&self.file), self.len, bytes.len() as u64);
        let written = self.files.pool.run(move |_| file.write_all_at(&bytes, offset)).await;
        written.map_err(failed("write", &self.target.path))?;
        self.len += length;
        Ok(())
    }

    async fn sha256(&mut self) -> Result<String, WorkplaceError> {
        let (file, length) = (Arc::clone(&self.file), self.len);
        let digest = self.files.pool.run(move |waiter| digest(&file, length, waiter)).await;
        digest.map_err(failed("read", &self.target.path))
    }

    async fn finish(self: Box<Self>, mode: Option<u32>) -> Result<(), WorkplaceError> {
        let Self { files, file, target, len } = *self;
        let failed = failed("write", &target.path);
        let existing = target.existing;
        let settled = files.pool.run(move |_| settle(&file, len, existing.as_ref(), mode)).await;
        settled.map_err(&failed)?;
        files
            .on_thread(move |scope, root, _| {
                let folder = root.open_real_folder(scope, &target.folder).map_err(&failed)?;
                renameat(&*folder, &target.part, &*folder, &target.name)
                    .map_err(io::Error::from)
                    .and_then(|()| sync_folder(&folder))
                    .map_err(failed)
            })
            .await
    }

    async fn discard(self: Box<Self>) -> Result<(), WorkplaceError> {
        let Self { files, file, target, .. } = *self;
        drop(file);
        let failed = failed("remove", &target.path);
        files
            .on_thread(move |scope, root, _| {
                let folder = root.open_real_folder(scope, &target.folder).map_err(&failed)?;
                let removed = unlinkat(&*folder, &target.part, AtFlags::empty());
                removed.map_err(|error| failed(error.into()))
            })
            .await
    }
}

fn open_part(
    scope: &FdScope,
    root: &Root,
    path: String,
    id: &str,
) -> Result<(File, Target), WorkplaceError> {
    let failed = failed("write", &path);
    let target = find(scope, root, &path)?;
    let part = part_name(&target.name, id);
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
    let opened = openat(&*target.folder, &part, flags | OFlags::CLOEXEC, mode);
    // Counted as soon as the folder's permit is free.
    let opened: OwnedFd = opened.map_err(|error| failed(error.into()))?;
    let stat = fstat(&opened).map_err(|error| failed(error.into()))?;
    expect_type(&path, &stat, FileType::RegularFile)?;
    let folder = real_path(&target.folder).map_err(&failed)?;
    let (name, existing) = (target.name.clone(), target.existing);
    drop(target);
    Ok((File::from(opened), Target { path, folder, name, part, existing }))
}

/// `.NAME.ID.part`, with as much of the name as fits.
fn part_name(name: &Path, id: &str) -> String {
    let name = name.to_string_lossy();
    let room = NAME_BYTES.saturating_sub(id.len() + "...part".len());
    let end = (0..=room.min(name.len())).rev().find(|&end| name.is_char_boundary(end));
    format!(".{}.{id}.part", &name[..end.unwrap_or(0)])
}

/// Gives a whole copy its length, owner and mode, and makes it survive the machine.
fn settle(file: &File, len: u64, existing: Option<&Stat>, mode: Option<u32>) -> io::Result<()> {
    file.set_len(len)?;
    if let Some(stat) = existing {
        keep(file, stat)?;
    }
    if let Some(mode) = mode {
        fchmod(file, Mode::from_raw_mode(mode & 0o7777))?;
    }
    file.sync_all()
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

/// The digest of the first `length` bytes, or of all when there are fewer.
fn digest(file: &File, length: u64, waiter: &Waiter<'_>) -> io::Result<String> {
    let (mut digest, mut offset) = (Sha256::new(), 0);
    while offset < length {
        if !waiter.is_waiting() {
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

//! Small files of a folder, many at once: a machine far away is asked once for a batch, not several
//! times for each file.
//!
//! Only into a folder that is new: what stands in it is this copy's own, and gets its name when all
//! is there.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::{
    copying::Copying,
    error::CopyError,
    file::{Copied, File, at},
    paths::join,
    progress::{Progress, ProgressSink},
    retry::retried,
};
use evonic_backend::{
    Class, Result,
    batch::{self, SmallFile},
};
use evonic_domain::WorkplaceKind;

/// Small files that wait to be copied together.
pub(super) struct Batch<'b> {
    copying: &'b Copying,
    progress: &'b ProgressSink,
    /// The new folder.
    root: &'b str,
    is_open: bool,
    /// Relative to the folder.
    paths: Vec<String>,
    bytes: u64,
}

impl<'b> Batch<'b> {
    /// Files go one by one where that is as quick, or where the folder is not new.
    pub(super) fn new(
        copying: &'b Copying,
        progress: &'b ProgressSink,
        root: &'b str,
        is_new: bool,
    ) -> Self {
        let is_far =
            [&copying.from, &copying.to].iter().any(|end| end.kind() != WorkplaceKind::Local);
        let (paths, bytes) = (Vec::new(), 0);
        Self { copying, progress, root, is_open: is_new && is_far, paths, bytes }
    }

    /// Adds a file, if it goes with others.
    pub(super) fn add(&mut self, path: &str, size_bytes: u64) -> bool {
        let fits = self.is_open && batch::fits(path, size_bytes);
        if fits {
            self.paths.push(path.to_owned());
            self.bytes += size_bytes;
        }
        fits
    }

    pub(super) fn is_full(&self) -> bool {
        self.paths.len() >= batch::FILES || self.bytes + batch::FILE_BYTES > batch::BYTES
    }

    /// Copies what waits. `before`: bytes of the files before.
    pub(super) async fn flush(&mut self, before: u64) -> Result<Vec<Copied>, CopyError> {
        let paths = std::mem::take(&mut self.paths);
        self.bytes = 0;
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let files = self.read(&paths).await?;
        let mut hashes = self.write(&files).await?;
        let mut sizes: HashMap<&str, u64> = HashMap::new();
        for file in &files {
            sizes.insert(&file.path, file.content.len() as u64);
            if hashes.get(&file.path).is_some_and(|hash| *hash != sha256(&file.content)) {
                hashes.remove(&file.path);
            }
        }
        let (mut copied, mut bytes) = (Vec::new(), before);
        for path in &paths {
            let from = join(&self.copying.from_path, path);
            let one = match (hashes.remove(path), sizes.get(path.as_str())) {
                (Some(sha256), Some(&size)) => {
                    self.progress.moved(&from, bytes + size);
                    self.progress.send(Progress::Checked { path: from, sha256 }).await;
                    Copied { bytes: size, sent: size }
                }
                // It says for itself what is the matter with it.
                _ => self.alone(&from, path, bytes).await?,
            };
            bytes += one.bytes;
            copied.push(one);
        }
        Ok(copied)
    }

    async fn alone(&self, from: &str, path: &str, before: u64) -> Result<Copied, CopyError> {
        let Self { copying, progress, .. } = *self;
        let to = join(self.root, path);
        File { copying, progress, from, to: &to, before }.copy().await
    }

    /// Those of the files that can be read.
    async fn read(&mut self, paths: &[String]) -> Result<Vec<SmallFile>, CopyError> {
        let Copying { from, from_path, .. } = self.copying;
        let read = retried(self.progress, || from.read_batch(from_path, paths));
        if let Some(files) = read.await.map_err(at(from_path))? {
            return Ok(files);
        }
        let mut files = Vec::new();
        for path in paths {
            let whole = join(from_path, path);
            let read = retried(self.progress, || Box::pin(self.read_one(&whole, path)));
            files.extend(read.await.map_err(at(&whole))?);
        }
        Ok(files)
    }

    /// Nothing, when it cannot be read or is not small any more.
    async fn read_one(&self, whole: &str, path: &str) -> Result<Option<SmallFile>> {
        let mut download = match self.copying.from.download(whole, 0).await {
            Ok(download) => download,
            Err(error) if error.class() == Class::Permanent => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = BytesMut::new();
        while let Some(piece) = download.bytes.next().await {
            content.extend_from_slice(&piece?);
            if content.len() as u64 > batch::FILE_BYTES {
                return Ok(None);
            }
        }
        let (path, mode) = (path.to_owned(), download.stat.mode);
        Ok(Some(SmallFile { path, mode, content: content.freeze() }))
    }

    /// Writes files; the hashes of those that are there, as they are read back.
    async fn write(&mut self, files: &[SmallFile]) -> Result<HashMap<String, String>, CopyError> {
        if files.is_empty() {
            return Ok(HashMap::new());
        }
        let Copying { to, .. } = self.copying;
        let written = retried(self.progress, || to.write_batch(self.root, files));
        if let Some(hashes) = written.await.map_err(at(self.root))? {
            return Ok(hashes);
        }
        if to.kind() != WorkplaceKind::Local {
            // It lacks the programs: one by one from here on.
            self.is_open = false;
            return Ok(HashMap::new());
        }
        let mut hashes = HashMap::new();
        for file in files {
            let path = join(self.root, &file.path);
            let written = retried(self.progress, || Box::pin(self.write_one(&path, file)));
            hashes.insert(file.path.clone(), written.await.map_err(at(&path))?);
        }
        Ok(hashes)
    }

    async fn write_one(&self, path: &str, file: &SmallFile) -> Result<String> {
        let Copying { to, id, .. } = self.copying;
        let mut upload = to.upload(path, id).await?;
        if upload.safe_bytes() > 0 {
            upload.discard().await?;
            upload = to.upload(path, id).await?;
        }
        upload.write(file.content.clone()).await?;
        let hash = upload.sha256().await?;
        upload.finish(Some(file.mode)).await?;
        Ok(hash)
    }
}

fn sha256(content: &Bytes) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

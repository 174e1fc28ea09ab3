//! What there is to copy, folder by folder, and where it goes.

use std::{sync::Arc, vec};

use super::{
    batch::Batch,
    copying::Copying,
    error::CopyError,
    file::{Copied, File, at},
    paths::{is_below, is_same, is_unfinished, join, name, unfinished},
    progress::{Progress, ProgressSink},
    retry::{Retry, retried},
};
use evonic_backend::{Class, Entry, FileType, Removal, Stat};

/// The most entries of one folder.
const FOLDER_ENTRIES: u32 = 100_000;

/// The most folders in one another. Deeper is a folder that contains itself.
const DEPTH: usize = 128;

/// See [`Copying::run`].
pub(super) async fn copy(copying: &Copying, progress: &ProgressSink) -> Result<(), CopyError> {
    let from = copying.from_path.as_str();
    let source = retried(progress, || copying.from.stat(from)).await.map_err(at(from))?;
    let tree = Tree { copying, progress };
    let (target, there) = tree.target(&source).await?;
    match source.file_type {
        FileType::Folder if !copying.recursive => Err(CopyError::Folder { path: from.to_owned() }),
        FileType::Folder => tree.folder(target, there.is_some()).await,
        FileType::File | FileType::Link | FileType::Other => tree.file(&target, &source).await,
    }
}

/// One request, of a file or a folder.
struct Tree<'t> {
    copying: &'t Copying,
    progress: &'t ProgressSink,
}

/// Everything below the folder that is copied; a folder comes before what is in it.
struct Walk<'t> {
    tree: &'t Tree<'t>,
    levels: Vec<Level>,
}

impl Walk<'_> {
    /// The next entry, and its path relative to the folder.
    async fn next(&mut self) -> Result<Option<(String, Entry)>, CopyError> {
        while let Some(level) = self.levels.last_mut() {
            let Some(entry) = level.entries.next() else {
                self.levels.pop();
                continue;
            };
            let path = join(&level.path, &entry.path);
            if entry.file_type == FileType::Folder {
                self.levels.push(self.tree.level(path.clone(), self.levels.len()).await?);
            }
            return Ok(Some((path, entry)));
        }
        Ok(None)
    }
}

/// What was copied.
#[derive(Default)]
struct Total {
    files: u64,
    bytes: u64,
    sent: u64,
}

impl Total {
    fn add(&mut self, copied: impl IntoIterator<Item = Copied>) {
        for Copied { bytes, sent } in copied {
            self.files += 1;
            self.bytes += bytes;
            self.sent += sent;
        }
    }
}

/// A folder whose entries are being gone through.
struct Level {
    /// Relative to the folder that is copied; empty for that one.
    path: String,
    entries: vec::IntoIter<Entry>,
}

impl Tree<'_> {
    /// The new path, and what is there: below the given one when that is a folder.
    async fn target(&self, source: &Stat) -> Result<(String, Option<Stat>), CopyError> {
        let Copying { from, from_path, to, to_path, .. } = self.copying;
        let there = self.there(to_path).await?;
        let is_folder = there.as_ref().is_some_and(|there| there.file_type == FileType::Folder);
        let (target, there) = match name(from_path) {
            Some(name) if is_folder || to_path.is_empty() || to_path.ends_with('/') => {
                let below = join(to_path, name);
                let there = self.there(&below).await?;
                (below, there)
            }
            _ => (to_path.clone(), there),
        };
        let overlaps = match source.file_type {
            FileType::Folder => is_below(&target, from_path),
            _ => is_same(&target, from_path),
        };
        if overlaps && Arc::ptr_eq(from, to) {
            return Err(CopyError::Itself { path: target });
        }
        Ok((target, there))
    }

    async fn there(&self, path: &str) -> Result<Option<Stat>, CopyError> {
        let stat = retried(self.progress, || {
            Box::pin(async {
                match self.copying.to.stat(path).await {
                    Ok(stat) => Ok(Some(stat)),
                    Err(error) if error.is_missing() => Ok(None),
                    Err(error) => Err(error),
                }
            })
        });
        stat.await.map_err(at(path))
    }

    async fn file(&self, target: &str, source: &Stat) -> Result<(), CopyError> {
        let bytes = source.size_bytes;
        self.progress.send(Progress::Planned { files: 1, bytes }).await;
        let from = self.copying.from_path.as_str();
        let Self { copying, progress } = *self;
        let copied = File { copying, progress, from, to: target, before: 0 }.copy().await?;
        let done = Progress::Done { files: 1, bytes: copied.bytes, sent: copied.sent };
        self.progress.send(done).await;
        Ok(())
    }

    /// Copies a folder; one that is new gets its name at the end.
    async fn folder(&self, target: String, is_there: bool) -> Result<(), CopyError> {
        self.plan().await?;
        let root = if is_there { target.clone() } else { unfinished(&target, &self.copying.id) };
        let done = async {
            let done = self.fill(&root, !is_there).await?;
            if !is_there {
                self.name(&root, &target).await?;
            }
            Ok(done)
        };
        let done: Result<_, CopyError> = done.await;
        if !is_there
            && done.as_ref().is_err_and(|error| !error.goes_on())
            && let Err(error) = self.copying.to.remove(&root, Removal::All).await
            && !error.is_missing()
        {
            tracing::debug!(%error, path = root, "an unfinished copy is left");
        }
        self.progress.send(done?).await;
        Ok(())
    }

    async fn walk(&self) -> Result<Walk<'_>, CopyError> {
        Ok(Walk { tree: self, levels: vec![self.level(String::new(), 0).await?] })
    }

    /// Counts what there is.
    async fn plan(&self) -> Result<(), CopyError> {
        let (mut files, mut bytes) = (0, 0);
        let mut walk = self.walk().await?;
        while let Some((_, entry)) = walk.next().await? {
            if entry.file_type == FileType::File {
                files += 1;
                bytes += entry.size_bytes;
            }
        }
        self.progress.send(Progress::Planned { files, bytes }).await;
        Ok(())
    }

    /// Copies every folder and file below the target's folder.
    async fn fill(&self, root: &str, is_new: bool) -> Result<Progress, CopyError> {
        let mut total = Total::default();
        let mut batch = Batch::new(self.copying, self.progress, root, is_new);
        self.make_folder(root).await?;
        let mut walk = self.walk().await?;
        while let Some((path, entry)) = walk.next().await? {
            let (from, to) = (join(&self.copying.from_path, &path), join(root, &path));
            match entry.file_type {
                FileType::Folder => self.make_folder(&to).await?,
                FileType::File if batch.add(&path, entry.size_bytes) => {
                    if batch.is_full() {
                        total.add(batch.flush(total.bytes).await?);
                    }
                }
                FileType::File => {
                    let Self { copying, progress } = *self;
                    let before = total.bytes;
                    let file = File { copying, progress, from: &from, to: &to, before };
                    total.add([file.copy().await?]);
                }
                FileType::Link => self.skip(from, "a symbolic link").await,
                FileType::Other => self.skip(from, "neither a file nor a folder").await,
            }
        }
        total.add(batch.flush(total.bytes).await?);
        let Total { files, bytes, sent } = total;
        Ok(Progress::Done { files, bytes, sent })
    }

    async fn skip(&self, path: String, reason: &str) {
        self.progress.send(Progress::Skipped { path, reason: reason.to_owned() }).await;
    }

    async fn make_folder(&self, path: &str) -> Result<(), CopyError> {
        let made = retried(self.progress, || self.copying.to.make_folder(path));
        made.await.map_err(at(path))
    }

    /// The entries of a folder, without what is unfinished of this copy.
    async fn level(&self, path: String, depth: usize) -> Result<Level, CopyError> {
        let folder = match path.as_str() {
            "" => self.copying.from_path.clone(),
            path => join(&self.copying.from_path, path),
        };
        let too_much = |problem: String| CopyError::TooMuch { path: folder.clone(), problem };
        if depth == DEPTH {
            return Err(too_much(format!("more than {DEPTH} folders in one another")));
        }
        let listed = retried(self.progress, || self.copying.from.list(&folder, 1, FOLDER_ENTRIES));
        let (mut entries, more) = listed.await.map_err(at(&folder))?;
        if more {
            return Err(too_much(format!("more than {FOLDER_ENTRIES} entries")));
        }
        entries.retain(|entry| !is_unfinished(&entry.path, &self.copying.id));
        // The replacement character stands for bytes that cannot be written.
        if let Some(entry) = entries.iter().find(|entry| entry.path.contains('\u{fffd}')) {
            return Err(CopyError::Name { path: join(&folder, &entry.path) });
        }
        Ok(Level { path, entries: entries.into_iter() })
    }

    /// Gives a whole folder its name.
    async fn name(&self, root: &str, target: &str) -> Result<(), CopyError> {
        let mut retry = Retry::new(self.progress);
        loop {
            let Err(error) = self.copying.to.rename(root, target).await else { return Ok(()) };
            if error.class() == Class::Permanent {
                return Err(at(target)(error));
            }
            retry.wait(error).await.map_err(at(target))?;
            // Whether it got its name only the folder shows.
            if self.there(root).await?.is_none() && self.there(target).await?.is_some() {
                return Ok(());
            }
        }
    }
}

//! What is done with folders over SFTP.

use std::sync::atomic::{AtomicU64, Ordering};

use evonic_sftp::Error;
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::io::Errno;

use super::sftp::{Sftp, failed, failed_to_write, stat_of, type_of};
use evonic_backend::{Entry, FileType, RemotePath, Removal, Result, Stage, Stat, WorkplaceError};

/// Requests of one operation that are under way at once.
const AT_ONCE: usize = 32;

/// Folders within folders that are removed: a bound against file systems that go in circles.
const DEEPEST: u32 = 256;

/// The most entries of one folder.
const MOST_ENTRIES: usize = 100_000;

/// So many times the entries that are asked for are gathered, and then sorted.
const GATHERED: usize = 4;

/// Makes a folder and those above it.
pub(super) async fn make_folders(sftp: &Sftp, path: &RemotePath, shown: &str) -> Result<()> {
    let mut missing = Vec::new();
    let mut here = Some(path.clone());
    while let Some(folder) = here {
        match sftp.stat(folder.as_bytes()).await {
            Ok(found) if type_of(&found) == FileType::Folder => break,
            Ok(_) => {
                let (path, found) = (folder.to_string(), "no folder");
                return Err(WorkplaceError::WrongType { path, found, needed: "a folder" });
            }
            Err(error) if error.is_missing() => {
                here = folder.parent();
                missing.push(folder);
            }
            Err(error) => return Err(failed(sftp, Stage::MakeFolder, shown)(error)),
        }
    }
    for folder in missing.iter().rev() {
        if let Err(error) = sftp.make_folder(folder.as_bytes()).await {
            // It may have been made meanwhile.
            let there = sftp.stat(folder.as_bytes()).await;
            if there.is_ok_and(|found| type_of(&found) == FileType::Folder) {
                continue;
            }
            return Err(failed_to_write(sftp, Stage::MakeFolder, folder, shown, error).await);
        }
    }
    Ok(())
}

/// See [`evonic_backend::Backend::remove`].
pub(super) async fn remove(
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
    removal: Removal,
) -> Result<()> {
    let on = failed(sftp, Stage::Remove, shown);
    let found = sftp.lstat(path.as_bytes()).await.map_err(on)?;
    if type_of(&found) != FileType::Folder {
        return gone(sftp, path, shown, sftp.remove(path.as_bytes()).await).await;
    }
    if removal == Removal::All {
        let removed = remove_all(sftp, path.clone(), DEEPEST).await;
        return gone(sftp, path, shown, removed).await;
    }
    match sftp.remove_folder(path.as_bytes()).await {
        Err(error) if error.is_unspecific() => match sftp.read_folder(path.as_bytes(), 1).await {
            Ok(found) if !found.is_empty() => {
                Err(WorkplaceError::path("remove", shown, Errno::NOTEMPTY))
            }
            _ => gone(sftp, path, shown, Err(error)).await,
        },
        other => gone(sftp, path, shown, other).await,
    }
}

/// What came of removing something.
async fn gone(
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
    removed: Result<(), Error>,
) -> Result<()> {
    match removed {
        Ok(()) => Ok(()),
        Err(error) => Err(failed_to_write(sftp, Stage::Remove, path, shown, error).await),
    }
}

fn remove_all(
    sftp: &Sftp,
    folder: RemotePath,
    deepest: u32,
) -> futures_util::future::BoxFuture<'_, Result<(), Error>> {
    Box::pin(async move {
        if deepest == 0 {
            return Err(Error::Closed("folders are too deep".to_owned()));
        }
        let entries = sftp.read_folder(folder.as_bytes(), MOST_ENTRIES).await?;
        let (folders, files): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(_, found)| type_of(found) == FileType::Folder);
        let each = files.iter().map(|(name, _)| folder.join(name));
        stream::iter(each.map(Ok))
            .try_for_each_concurrent(
                AT_ONCE,
                |path| async move { sftp.remove(path.as_bytes()).await },
            )
            .await?;
        for (name, _) in folders {
            remove_all(sftp, folder.join(&name), deepest - 1).await?;
        }
        sftp.remove_folder(folder.as_bytes()).await
    })
}

/// See [`evonic_backend::Backend::list`], where there is no shell.
pub(super) async fn list(
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
    depth: u32,
    limit: u32,
) -> Result<(Vec<Entry>, bool)> {
    let limit = limit as usize;
    let mut found = Vec::new();
    let mut level = vec![(path.clone(), String::new())];
    let opened = AtomicU64::new(0);
    for _ in 0..depth.max(1) {
        let read = |(folder, above): (RemotePath, String)| {
            let first = opened.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                match sftp.read_folder(folder.as_bytes(), limit + 1).await {
                    Ok(entries) => Ok((folder, above, entries)),
                    // Below the folder that was asked for: as if it were empty.
                    Err(error) if !first && error.is_status() => Ok((folder, above, Vec::new())),
                    Err(error) => Err(error),
                }
            }
        };
        let folders = std::mem::take(&mut level);
        let mut read = stream::iter(folders.into_iter().map(read)).buffered(AT_ONCE);
        while found.len() <= limit.saturating_mul(GATHERED)
            && let Some((folder, above, entries)) =
                read.try_next().await.map_err(failed(sftp, Stage::List, shown))?
        {
            for (name, attributes) in entries {
                let path = format!("{above}{}", String::from_utf8_lossy(&name));
                let Stat { file_type, size_bytes, .. } = stat_of(&attributes);
                if file_type == FileType::Folder {
                    level.push((folder.join(&name), format!("{path}/")));
                }
                found.push(Entry { path, file_type, size_bytes });
            }
        }
        if level.is_empty() || found.len() > limit {
            break;
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

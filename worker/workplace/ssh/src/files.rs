//! What is done with files over SFTP.

use std::{io, sync::Arc};

use super::sftp::{Attributes, Fault, File, Sftp};
use evonic_backend::{Change, FileType, RemotePath, Stage, Stat, WorkplaceError};

const TYPE: u32 = 0o170_000;

/// What a server's attributes say.
pub(super) fn stat_of(found: &Attributes) -> Stat {
    let file_type = type_of(found.mode);
    let size_bytes = if file_type == FileType::File { found.size } else { 0 };
    Stat { file_type, size_bytes, mode: found.mode & 0o7777, modified: found.modified.into() }
}

/// What a mode says.
pub(super) fn type_of(mode: u32) -> FileType {
    match mode & TYPE {
        0o100_000 => FileType::File,
        0o040_000 => FileType::Folder,
        0o120_000 => FileType::Link,
        _ => FileType::Other,
    }
}

/// The error of an operation on a path; where the server does not say what is wrong, whether the
/// file system is full.
pub(super) async fn failed(
    sftp: &Sftp,
    fault: Fault,
    stage: Stage,
    path: &RemotePath,
    shown: &str,
) -> WorkplaceError {
    if !fault.is_vague() {
        return fault.on(sftp.host(), stage, shown);
    }
    let folder = path.parent().unwrap_or_else(|| path.clone());
    let source = if sftp.is_full(&folder).await {
        io::Error::from(io::ErrorKind::StorageFull)
    } else if stage == Stage::Write {
        io::Error::other("the server says only that it failed: a quota, a limit of file sizes?")
    } else {
        return fault.on(sftp.host(), stage, shown);
    };
    WorkplaceError::Path { operation: stage.label(), path: shown.to_owned(), source }
}

/// A regular file, opened, and what it is.
pub(super) async fn open(
    sftp: &Arc<Sftp>,
    path: &RemotePath,
    shown: &str,
) -> Result<(File, Attributes), WorkplaceError> {
    let on = |fault: Fault| fault.on(sftp.host(), Stage::Read, shown);
    // Before it is opened: opening a pipe would hang the server.
    let found = sftp.stat(path).await.map_err(on)?;
    expect_file(&found, shown)?;
    let file = sftp.open_file(path).await.map_err(on)?;
    let found = file.stat().await.map_err(on)?;
    expect_file(&found, shown)?;
    Ok((file, found))
}

fn expect_file(found: &Attributes, shown: &str) -> Result<(), WorkplaceError> {
    let found = match type_of(found.mode) {
        FileType::File => return Ok(()),
        FileType::Folder => "a folder",
        FileType::Link => "a link",
        FileType::Other => "a special file",
    };
    Err(WorkplaceError::WrongType { path: shown.to_owned(), found, needed: "a regular file" })
}

/// Where a file that is written will stand, and what stands there now.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) path: RemotePath,
    pub(super) existing: Option<Attributes>,
}

/// Follows a link to its target; what is there must be a regular file.
pub(super) async fn target(
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
) -> Result<Target, WorkplaceError> {
    let on = |fault: Fault| fault.on(sftp.host(), Stage::Write, shown);
    let found = match sftp.lstat(path).await {
        Ok(found) => found,
        Err(fault) if fault.is_missing() => {
            return Ok(Target { path: path.clone(), existing: None });
        }
        Err(fault) => return Err(on(fault)),
    };
    if type_of(found.mode) != FileType::Link {
        expect_file(&found, shown)?;
        return Ok(Target { path: path.clone(), existing: Some(found) });
    }
    let path = sftp.real_path(path).await.map_err(on)?;
    match sftp.stat(&path).await {
        Ok(found) => {
            expect_file(&found, shown)?;
            Ok(Target { path, existing: Some(found) })
        }
        Err(fault) if fault.is_missing() => Ok(Target { path, existing: None }),
        Err(fault) => Err(on(fault)),
    }
}

/// Writes a file whole or not at all. `unless_changed`: only if it still has this content.
pub(super) async fn write(
    sftp: &Arc<Sftp>,
    path: &RemotePath,
    shown: &str,
    content: &[u8],
    unless_changed: Option<&[u8]>,
) -> Result<(), WorkplaceError> {
    let target = target(sftp, path, shown).await?;
    let draft = beside(&target.path, &format!(".evonic-{:016x}", fastrand::u64(..)));
    let mode = target.existing.map(|found| found.mode & 0o7777);
    let mut file = sftp.create(&draft, mode, true).await;
    if file.as_ref().is_err_and(Fault::is_missing) {
        if let Some(folder) = target.path.parent() {
            super::folders::make_folders(sftp, &folder, shown).await?;
        }
        file = sftp.create(&draft, mode, true).await;
    }
    let file = match file {
        Ok(file) => file,
        Err(fault) => return Err(failed(sftp, fault, Stage::Write, &draft, shown).await),
    };
    let written = async {
        fill(file, content, target.existing.as_ref()).await.map_err(Failure::Fault)?;
        if let Some(before) = unless_changed {
            unchanged(sftp, &target.path, shown, before).await?;
        }
        sftp.rename(&draft, &target.path).await.map_err(Failure::Fault)
    };
    let failure = match written.await {
        Ok(()) => return Ok(()),
        Err(failure) => failure,
    };
    let error = match failure {
        Failure::Fault(fault) => failed(sftp, fault, Stage::Write, &target.path, shown).await,
        Failure::Told(error) => error,
    };
    // The failure that led here is told; that this one follows from it is not news.
    let _left = sftp.remove(&draft).await;
    Err(error)
}

enum Failure {
    Fault(Fault),
    Told(WorkplaceError),
}

async fn fill(file: File, content: &[u8], existing: Option<&Attributes>) -> Result<(), Fault> {
    let mut writer = file.write_from(0);
    writer.write(content).await?;
    writer.flush().await?;
    keep(writer.file(), existing, None).await?;
    writer.file().sync().await
}

/// Gives a new file the mode, and where permitted the owner, of the one it replaces.
pub(super) async fn keep(
    file: &File,
    existing: Option<&Attributes>,
    mode: Option<u32>,
) -> Result<(), Fault> {
    let own = file.stat().await?;
    if let Some((user, group)) = existing.and_then(|found| found.owner)
        && own.owner != Some((user, group))
    {
        // Only root may give files away; what is kept otherwise is the mode.
        let _kept = file.set_owner(user, group).await;
    }
    match mode.or(existing.map(|found| found.mode)) {
        Some(mode) => file.set_mode(mode).await,
        None => Ok(()),
    }
}

async fn unchanged(
    sftp: &Arc<Sftp>,
    path: &RemotePath,
    shown: &str,
    before: &[u8],
) -> Result<(), Failure> {
    let (file, found) = open(sftp, path, shown).await.map_err(Failure::Told)?;
    let read = sftp.read_all(file, found.size, before.len() as u64);
    if read.await.map_err(Failure::Fault)? == before {
        return Ok(());
    }
    let said = "somebody else changed it meanwhile; nothing was written";
    let (path, source) = (shown.to_owned(), io::Error::other(said));
    Err(Failure::Told(WorkplaceError::Path { operation: "write", path, source }))
}

/// See [`evonic_backend::Backend::edit`].
pub(super) async fn edit(
    sftp: &Arc<Sftp>,
    path: &RemotePath,
    shown: &str,
    limit_bytes: u64,
    change: Change,
) -> Result<(), WorkplaceError> {
    let (file, found) = open(sftp, path, shown).await?;
    let read = sftp.read_all(file, found.size, limit_bytes).await;
    let before = read.map_err(|fault| fault.on(sftp.host(), Stage::Read, shown))?;
    if before.len() as u64 > limit_bytes {
        let (path, size_bytes) = (shown.to_owned(), found.size);
        return Err(WorkplaceError::TooLarge { path, size_bytes, limit_bytes });
    }
    match change(&before) {
        Some(content) => write(sftp, path, shown, &content, Some(&before)).await,
        None => Ok(()),
    }
}

/// A path in the folder of another.
pub(super) fn beside(path: &RemotePath, name: &str) -> RemotePath {
    path.parent().unwrap_or_else(|| path.clone()).join(name.as_bytes())
}

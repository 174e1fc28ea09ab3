//! What is done with files over SFTP.

use std::io;

use evonic_sftp::{Attributes, Error};
use futures_util::{StreamExt, stream};

use super::{
    folders::make_folders,
    sftp::{File, Sftp, failed, failed_to_write, stat_of, type_of},
};
use evonic_backend::{Download, FileType, Home, RemotePath, Result, Stage, WorkplaceError};

/// A regular file, opened, and what it is.
pub(super) async fn open(
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
) -> Result<(File, Attributes)> {
    let on = failed(sftp, Stage::Read, shown);
    // Before it is opened: opening a pipe would hang the server.
    let found = sftp.stat(path.as_bytes()).await.map_err(on)?;
    expect_file(&found, shown)?;
    let file = sftp.open_file(path.as_bytes()).await.map_err(on)?;
    let found = file.stat().await.map_err(on)?;
    expect_file(&found, shown)?;
    Ok((file, found))
}

/// See [`evonic_backend::Backend::download`]. `hold` is given back when the file is closed.
pub(super) async fn download(
    sftp: Sftp,
    hold: impl Send + 'static,
    path: &RemotePath,
    shown: &str,
    from: u64,
) -> Result<Download> {
    let (file, found) = open(&sftp, path, shown).await?;
    let state = (file.read_from(from, found.size), hold, sftp, shown.to_owned());
    let bytes = stream::try_unfold(state, |mut state| async move {
        let (reader, _, sftp, shown) = &mut state;
        let bytes = reader.next().await.map_err(failed(sftp, Stage::Read, shown))?;
        Ok(bytes.map(|bytes| (bytes, state)))
    });
    Ok(Download { stat: stat_of(&found), bytes: bytes.boxed() })
}

fn expect_file(found: &Attributes, shown: &str) -> Result<()> {
    let found = match type_of(found) {
        FileType::File => return Ok(()),
        FileType::Folder => "a folder",
        FileType::Link => "a link",
        FileType::Other => "a special file",
    };
    Err(WorkplaceError::WrongType { path: shown.to_owned(), found, needed: "a regular file" })
}

/// Where a file that is written will stand, and what stands there now.
#[derive(Debug)]
pub(super) struct WriteTarget {
    pub(super) path: RemotePath,
    pub(super) existing: Option<Attributes>,
}

/// Follows a link to its target; what is there must be a regular file.
pub(super) async fn write_target(
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
) -> Result<WriteTarget> {
    let on = failed(sftp, Stage::Write, shown);
    let found = if_there(sftp.lstat(path.as_bytes()).await).map_err(on)?;
    let (path, existing) = match found {
        Some(found) if type_of(&found) == FileType::Link => {
            let path = real_path(sftp, path, shown).await?;
            let found = if_there(sftp.stat(path.as_bytes()).await).map_err(on)?;
            (path, found)
        }
        found => (path.clone(), found),
    };
    if let Some(found) = &existing {
        expect_file(found, shown)?;
    }
    Ok(WriteTarget { path, existing })
}

fn if_there(found: Result<Attributes, Error>) -> Result<Option<Attributes>, Error> {
    match found {
        Err(error) if error.is_missing() => Ok(None),
        found => found.map(Some),
    }
}

async fn real_path(sftp: &Sftp, path: &RemotePath, shown: &str) -> Result<RemotePath> {
    let on = failed(sftp, Stage::Write, shown);
    let real = sftp.realpath(path.as_bytes()).await.map_err(on)?;
    let home = Home::from_sftp_realpath(&real);
    home.map(|path| path.path().clone()).map_err(|error| on(Error::Closed(error.to_string())))
}

/// Makes a file by `open`, and before it the folder where that is missing.
pub(super) async fn create<'a, F>(
    sftp: &'a Sftp,
    path: &'a RemotePath,
    shown: &str,
    open: impl Fn(&'a [u8]) -> F,
) -> Result<File>
where
    F: Future<Output = Result<File, Error>>,
{
    let mut file = open(path.as_bytes()).await;
    if file.as_ref().is_err_and(Error::is_missing) {
        if let Some(folder) = path.parent() {
            make_folders(sftp, &folder, shown).await?;
        }
        file = open(path.as_bytes()).await;
    }
    checked(sftp, path, shown, file).await
}

/// What came of writing a file: a server that does not say what is wrong may have a quota.
pub(super) async fn checked<T>(
    sftp: &Sftp,
    path: &RemotePath,
    shown: &str,
    done: Result<T, Error>,
) -> Result<T> {
    let error = match done {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    let is_unspecific = error.is_unspecific();
    let mut failed = failed_to_write(sftp, Stage::Write, path, shown, error).await;
    if let WorkplaceError::Path { source, .. } = &mut failed
        && is_unspecific
        && source.kind() == io::ErrorKind::Other
    {
        *source = io::Error::other(
            "the server says only that it failed: a quota, a limit of file sizes?",
        );
    }
    Err(failed)
}

/// A path in the folder of another.
pub(super) fn beside(path: &RemotePath, name: &str) -> RemotePath {
    path.parent().unwrap_or_else(|| path.clone()).join(name.as_bytes())
}

//! The first admin key of an installation, for who may read the state folder.
//!
//! A key whose file others can read counts as known to them: at the worker's start it is revoked, and
//! another one takes its place. To close the file would not make it secret again, and to refuse the
//! start would make an outage of a `chmod`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use evonic_process::{
    file,
    folder::{FILE as FILE_MODE, Folder, octal},
};
use evonic_shared::kind::Kind;
use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::error::StartError;
use evonic_domain::{KeyId, Origin, Scope, Token};
use evonic_handles::{Budget, Permit};
use evonic_store::{AuditedWriter, KeyRow, Store, StoreError};

/// Its file, in the state folder. The command line looks for it there too.
pub(crate) const FILE: &str = "admin.key";

/// Its name among keys.
const NAME: &str = "admin";

/// Where no key was ever made, or others may read its file: makes one with scope `admin`, writes it to
/// [`FILE`], readable by the service's user alone, and says where that is. Its content is never shown.
///
/// # Errors
/// [`StartError::FirstKey`], [`StartError::Store`].
pub(super) async fn ensure(
    store: &Store,
    state: &Folder,
    budget: &Budget,
) -> Result<(), StartError> {
    let path = state.path().join(FILE);
    let failed = |source| StartError::FirstKey { path: path.clone(), source };
    let permit = || {
        let mut permit =
            budget.try_acquire(Kind::File).map_err(|full| failed(io::Error::other(full)))?;
        permit.owns(1, None);
        Ok::<Permit, StartError>(permit)
    };
    if store.read(|reader| reader.has_keys()).await? {
        let permit = permit()?;
        if let Some(exposed) = exposed(&path).map_err(failed)? {
            replace(store, path.clone(), exposed).await?.map_err(failed)?;
        }
        drop(permit);
        return Ok(());
    }
    let permit = permit()?;
    let target = path.clone();
    let made = store.change(Origin::inside(), move |changer| {
        // Once more, within the transaction: another worker may have been faster.
        if changer.has_keys()? {
            return Ok(Ok(false));
        }
        Ok(make(changer, &target)?.map(|()| true))
    });
    let made = made.await?.map_err(failed)?;
    drop(permit);
    if made {
        tracing::info!(path = %path.display(), "made the first key; its scope is admin");
    }
    Ok(())
}

/// Makes the key and its file.
///
/// The file is written within the transaction: a key whose file cannot be written is none, and the
/// file of a key that could not be stored is written anew at the next start.
fn make(changer: &mut AuditedWriter<'_, '_>, path: &Path) -> Result<io::Result<()>, StoreError> {
    let token = match Token::random() {
        Ok(token) => token,
        Err(error) => return Ok(Err(error)),
    };
    let content = format!("{}\n", token.reveal());
    if let Err(error) = file::replace(path, content.as_bytes(), FILE_MODE) {
        return Ok(Err(error));
    }
    changer.create_key(KeyRow {
        id: token.id().clone(),
        name: NAME.parse().expect("it has the form of a name"),
        hash: token.hash(),
        scope: Scope::Admin,
        agents: None,
        expires_in: None,
    })?;
    Ok(Ok(()))
}

/// A key that others may read.
#[derive(Debug)]
struct Exposed {
    id: KeyId,
    mode: u32,
}

/// The key in the file, if the file is one of this user and open to others.
fn exposed(path: &Path) -> io::Result<Option<Exposed>> {
    // A pipe is not waited for, and a link not followed.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        // Removed by the operator; or none of ours, which the console refuses.
        Err(Errno::NOENT | Errno::LOOP | Errno::ACCESS | Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let found = rustix::fs::fstat(&file)?;
    let is_own = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && found.st_uid == rustix::process::geteuid().as_raw();
    let mode = found.st_mode & 0o7777;
    if !is_own || mode & !FILE_MODE == 0 {
        return Ok(None);
    }
    let mut text = Vec::new();
    File::from(file).take(Token::BYTES as u64 + 1).read_to_end(&mut text)?;
    let token = Token::parse(String::from_utf8_lossy(&text).trim_end());
    Ok(token.map(|token| Exposed { id: token.id().clone(), mode }))
}

/// Revokes an exposed key, if it is one of scope `admin` that counts, and makes another in its place.
async fn replace(
    store: &Store,
    path: PathBuf,
    exposed: Exposed,
) -> Result<io::Result<()>, StoreError> {
    let (shown, mode, id) = (path.clone(), exposed.mode, exposed.id);
    let replaced = store.change(Origin::inside(), move |changer| {
        let Some((key, _)) = changer.key_and_hash(&id)? else { return Ok(Ok(false)) };
        if key.revoked_at.is_some() {
            return Ok(Ok(false));
        }
        changer.revoke_key(id.as_str())?;
        Ok(make(changer, &path)?.map(|()| true))
    });
    let replaced = replaced.await?;
    if let Ok(true) = replaced {
        tracing::warn!(
            path = %shown.display(),
            mode = %octal(mode),
            "others could read the admin key: it is revoked, and another one is in its file"
        );
    }
    Ok(replaced.map(drop))
}

#[cfg(test)]
mod tests;

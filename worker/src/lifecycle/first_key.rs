//! The first admin key of an installation, for who may read the state folder.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use evonic_shared::kind::Kind;
use rustix::fs::{Mode, OFlags};

use super::error::StartError;
use evonic_domain::{Origin, Scope, Token};
use evonic_handles::Budget;
use evonic_store::{KeyRow, Store};

/// Its file, in the state folder. The command line looks for it there too.
pub(crate) const FILE: &str = "admin.key";

/// Its name among keys.
const NAME: &str = "admin";

/// Where no key was ever made: makes one with scope `admin`, writes it to [`FILE`], readable by the
/// service's user alone, and says where that is. Its content is told nobody.
///
/// The file is written within the transaction: a key whose file cannot be written is none, and the
/// file of a key that could not be stored is written anew at the next start.
///
/// # Errors
/// [`StartError::FirstKey`], [`StartError::Store`].
pub(super) async fn ensure(store: &Store, state: &Path, budget: &Budget) -> Result<(), StartError> {
    if store.read(|reader| reader.has_keys()).await? {
        return Ok(());
    }
    let path = state.join(FILE);
    let failed = |source| StartError::FirstKey { path: path.clone(), source };
    let token = Token::random().map_err(failed)?;
    let mut permit =
        budget.try_acquire(Kind::File).map_err(|full| failed(io::Error::other(full)))?;
    permit.owns(1, None);
    let file = path.clone();
    let made = store.change(Origin::inside(), move |changer| {
        // Once more, within the transaction: another worker may have been faster.
        if changer.has_keys()? {
            return Ok(Ok(false));
        }
        if let Err(error) = write(&file, token.reveal()) {
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
        Ok(Ok(true))
    });
    let made = made.await?.map_err(failed)?;
    drop(permit);
    if made {
        tracing::info!(path = %path.display(), "made the first key; its scope is admin");
    }
    Ok(())
}

/// Writes a file that is there whole or not at all. One descriptor at a time.
fn write(path: &Path, secret: &str) -> io::Result<()> {
    let new = beside(path);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(secret.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::fsync(rustix::fs::open(folder, flags, Mode::empty())?)?;
    Ok(())
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("key.new")
}

#[cfg(test)]
mod tests;

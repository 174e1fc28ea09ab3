//! The first admin key of an installation, for who may read the state folder.

use std::{io, path::Path};

use evonic_process::file;
use evonic_shared::kind::Kind;

use super::error::StartError;
use evonic_domain::{Origin, Scope, Token};
use evonic_handles::Budget;
use evonic_store::{KeyRow, Store};

/// Its file, in the state folder. The command line looks for it there too.
pub(crate) const FILE: &str = "admin.key";

/// Its name among keys.
const NAME: &str = "admin";

/// Where no key was ever made: makes one with scope `admin`, writes it to [`FILE`], readable by the
/// service's user alone, and says where that is. Its content is never shown.
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
    let target = path.clone();
    let made = store.change(Origin::inside(), move |changer| {
        // Once more, within the transaction: another worker may have been faster.
        if changer.has_keys()? {
            return Ok(Ok(false));
        }
        if let Err(error) =
            file::replace(&target, format!("{}\n", token.reveal()).as_bytes(), 0o600)
        {
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

#[cfg(test)]
mod tests;

//! Who may give commands: root by the kernel's word, and who reads the supervisor's token.

use std::{
    io,
    path::{Path, PathBuf},
};

use evonic_process::{file, folder::FILE, occupant::Occupant};
use evonic_shared::status::{CommandToken, TOKEN_FILE};
use rustix::{io::retry_on_intr, rand::GetRandomFlags};
use subtle::ConstantTimeEq;

use crate::disk::FileError;

/// The token of this start, and its file.
#[derive(Debug)]
pub struct TokenHolder {
    path: PathBuf,
    token: CommandToken,
    /// The service's user.
    own: u32,
}

impl TokenHolder {
    /// Makes a token, and its file for the service's user alone.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn make(runtime_dir: &Path) -> Result<Self, FileError> {
        let path = runtime_dir.join(TOKEN_FILE);
        match Occupant::of(&path).map_err(FileError::new("make", &path))? {
            None | Some(Occupant::File) => {}
            Some(occupant) => {
                let error = io::Error::other(format!("it is {occupant}: move it away"));
                return Err(FileError::new("make", &path)(error));
            }
        }
        let mut bytes = [0; 32];
        // Of up to 256 bytes it gives all or none.
        retry_on_intr(|| rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty()))
            .map_err(FileError::new("make", &path))?;
        let token = CommandToken::new(&bytes);
        file::replace(&path, format!("{}\n", token.reveal()).as_bytes(), FILE)
            .map_err(FileError::new("make", &path))?;
        Ok(Self { path, token, own: rustix::process::geteuid().as_raw() })
    }

    /// The user of a client that may give commands: root, or the service's user with the token. A
    /// pid proves nothing, and the service's user alone neither: commands of agents may have it.
    pub fn commander(&self, uid: Option<u32>, shown: Option<&CommandToken>) -> Option<u32> {
        let matches = shown.is_some_and(|shown| {
            bool::from(shown.reveal().as_bytes().ct_eq(self.token.reveal().as_bytes()))
        });
        uid.filter(|&uid| uid == 0 || (uid == self.own && matches))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, if it is still there.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn root_needs_none_and_the_service_s_user_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let old = TokenHolder::make(folder.path()).unwrap();
        let own = 1000;
        let holder = TokenHolder { own, ..TokenHolder::make(folder.path()).unwrap() };
        let path = folder.path().join(TOKEN_FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let right = CommandToken::parse(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(right.reveal().len(), 64);
        assert_eq!(holder.commander(Some(own), Some(&right)), Some(own));
        assert_eq!(holder.commander(Some(0), None), Some(0));
        assert_eq!(holder.commander(None, Some(&right)), None);
        assert_eq!(holder.commander(Some(own + 1), Some(&right)), None);
        for wrong in [Some(&old.token), Some(&CommandToken::parse("")), None] {
            assert_eq!(holder.commander(Some(own), wrong), None);
        }
        holder.remove();
        assert!(!path.exists());
    }
}

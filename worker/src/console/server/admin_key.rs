//! The service's own key, for who may read its file: the console shows it by itself.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use evonic_domain::Token;
use evonic_process::folder::{FILE, octal};
use evonic_shared::config::Config;
use rustix::fs::{FileType, Mode, OFlags};

use crate::lifecycle::first_key;

/// Why it cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminKeyError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// As OpenSSH refuses a private key: others may know it.
    #[error(
        "{} has mode {}, so others may know the key: restart the service, which makes another \
         (`systemctl restart evonic`), or `chmod {} {}` if nobody does",
        path.display(), octal(*mode), octal(FILE), path.display()
    )]
    Loose { path: PathBuf, mode: u32 },
    #[error("{} is no file of this user or root, or holds no key", path.display())]
    Foreign { path: PathBuf },
}

/// Reads it.
///
/// # Errors
/// [`AdminKeyError`].
pub(super) fn read(config: &Config) -> Result<Token, AdminKeyError> {
    let path = config.state_dir.join(first_key::FILE);
    let failed = |source: io::Error| AdminKeyError::Read { path: path.clone(), source };
    // A pipe is not waited for, and a link not followed.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    let found = rustix::fs::fstat(&file).map_err(|errno| failed(errno.into()))?;
    let is_regular = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    let own = rustix::process::geteuid().as_raw();
    if !is_regular || (found.st_uid != own && found.st_uid != 0 && own != 0) {
        return Err(AdminKeyError::Foreign { path });
    }
    let mode = found.st_mode & 0o7777;
    if mode & !FILE != 0 {
        return Err(AdminKeyError::Loose { path, mode });
    }
    let mut text = String::new();
    let most = Token::BYTES as u64 + 1;
    File::from(file).take(most).read_to_string(&mut text).map_err(failed)?;
    Token::parse(text.trim_end()).ok_or(AdminKeyError::Foreign { path })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn a_key_that_others_may_know_or_that_is_none_is_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::defaults(folder.path().into(), folder.path().into());
        let path = folder.path().join(first_key::FILE);
        let set = |mode| fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("ours");
        assert!(matches!(read(&config), Err(AdminKeyError::Read { .. })));
        let token = Token::random().expect("random bytes");
        fs::write(&path, format!("{}\n", token.reveal())).expect("written");
        set(0o600);
        assert_eq!(read(&config).expect("a key").reveal(), token.reveal());
        for mode in [0o640, 0o604, 0o644, 0o620] {
            set(mode);
            let refused = read(&config).expect_err("others may know it").to_string();
            assert!(refused.contains("chmod 0600") && refused.contains(&octal(mode)), "{refused}");
        }
        set(0o600);
        fs::write(&path, "no key").expect("written");
        assert!(matches!(read(&config), Err(AdminKeyError::Foreign { .. })));
        fs::remove_file(&path).expect("it is there");
        std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
        assert!(matches!(read(&config), Err(AdminKeyError::Read { .. })));
    }
}

//! Paths of another machine.
//!
//! These types rule out a `~` or a relative path of a remote host that is completed with the
//! *local* home. A [`RemotePath`] comes from a [`Home`], and a [`Home`] only from what the
//! remote host itself reported, once per connection.

use std::io;

use crate::{Result, WorkplaceError};

/// An absolute path on another machine. Its bytes are the other machine's; it is never a
/// [`std::path::PathBuf`], so that no function of this machine's file system takes it.
///
/// ```compile_fail
/// // No path of another machine is made up here.
/// let path = evonic_backend::RemotePath(b"/root".to_vec());
/// ```
///
/// ```compile_fail
/// // Nor does a local path become one.
/// let path: evonic_backend::RemotePath = std::path::PathBuf::from("/root").into();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemotePath(Vec<u8>);

/// The home of a connection's user, as the remote host reported it.
///
/// ```compile_fail
/// // Not the home of this process.
/// let home = evonic_backend::Home(std::env::home_dir().unwrap().into());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(RemotePath);

impl Home {
    /// The home as the host's SFTP server reports it: `SSH_FXP_REALPATH` of `.`.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it is no absolute path.
    pub fn from_sftp_realpath(path: &[u8]) -> Result<Self> {
        Self::reported(path)
    }

    /// The home as a shell on the host reports it: `$HOME`, or `~user` expanded.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it is no absolute path.
    pub fn from_shell(path: &[u8]) -> Result<Self> {
        Self::reported(path)
    }

    fn reported(path: &[u8]) -> Result<Self> {
        if path.first() == Some(&b'/') && !path.contains(&0) {
            return Ok(Self(RemotePath(without_end(path).to_vec())));
        }
        let source = io::Error::new(io::ErrorKind::InvalidData, "the host reports no whole path");
        Err(WorkplaceError::path("find the home", String::from_utf8_lossy(path), source))
    }

    #[must_use]
    pub const fn path(&self) -> &RemotePath {
        &self.0
    }

    /// Completes a path: an absolute one stays, `~` and `~/x` are below this home, a relative one
    /// is below `folder`. `~user` is asked of the host by the gateway.
    ///
    /// # Errors
    /// [`WorkplaceError`] for `~user`, a NUL, or an empty path.
    pub fn resolve(&self, folder: &RemotePath, path: &str) -> Result<RemotePath> {
        let invalid = |problem: &str| {
            let source = io::Error::new(io::ErrorKind::InvalidInput, problem.to_owned());
            WorkplaceError::path("resolve", path, source)
        };
        if path.is_empty() {
            return Err(invalid("the path is empty"));
        }
        if path.contains('\0') {
            return Err(invalid("the path has a zero byte in it"));
        }
        match path.strip_prefix('~') {
            None if path.starts_with('/') => Ok(RemotePath(without_end(path.as_bytes()).to_vec())),
            None => Ok(folder.join(path.as_bytes())),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Ok(self.0.join(rest.as_bytes()))
            }
            Some(_) => Err(invalid("only the host knows the homes of other users")),
        }
    }
}

impl RemotePath {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// This path with more at its end: `x/y`, `/x`, `.`; the path itself when that is empty.
    pub fn join(&self, more: &[u8]) -> Self {
        let mut path = self.0.clone();
        for name in more.split(|&byte| byte == b'/') {
            if name.is_empty() || name == b"." {
                continue;
            }
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        Self(path)
    }

    /// The folder that it is in; [`None`] for `/`.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|&byte| byte == b'/')?;
        match slash {
            0 if self.0.len() == 1 => None,
            0 => Some(Self(b"/".to_vec())),
            _ => Some(Self(self.0[..slash].to_vec())),
        }
    }

    /// Its last part; empty for `/`.
    pub fn name(&self) -> &[u8] {
        let slash = self.0.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        &self.0[slash..]
    }
}

/// Without slashes at its end, `/` itself excepted.
fn without_end(path: &[u8]) -> &[u8] {
    let length = path.iter().rposition(|&byte| byte != b'/').map_or(1, |last| last + 1);
    &path[..length]
}

impl std::fmt::Display for RemotePath {
    /// Bytes that are no UTF-8 are replaced.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(home: &str, folder: &str, path: &str) -> String {
        let home = Home::reported(home.as_bytes()).unwrap();
        let folder = home.path().join(folder.as_bytes());
        home.resolve(&folder, path).map_or_else(|error| error.to_string(), |path| path.to_string())
    }

    #[test]
    fn paths_are_completed_by_the_reported_home() {
        for (path, whole) in [
            ("a/b", "/data/it's me/work/a/b"),
            ("./a//b/", "/data/it's me/work/a/b"),
            (".", "/data/it's me/work"),
            ("../a", "/data/it's me/work/../a"),
            ("~", "/data/it's me"),
            ("~/a", "/data/it's me/a"),
            ("/etc/x/", "/etc/x"),
            ("/", "/"),
        ] {
            assert_eq!(resolved("/data/it's me/", "work", path), whole, "{path}");
        }
        assert_eq!(resolved("/", "", "a"), "/a");
    }

    #[test]
    fn what_no_home_can_complete_is_refused() {
        for path in ["", "~bob", "~bob/x", "a\0b"] {
            assert!(resolved("/home/x", "", path).starts_with("resolve"), "{path:?}");
        }
        assert!(Home::reported(b"relative").is_err());
        assert!(Home::reported(b"").is_err());
    }

    #[test]
    fn a_path_knows_its_folder_and_its_name() {
        let root = Home::reported(b"/").unwrap();
        let path = root.path().join(b"a/b c");
        assert_eq!((path.parent().unwrap().to_string(), path.name()), ("/a".into(), &b"b c"[..]));
        let above = path.parent().unwrap().parent().unwrap();
        assert_eq!((above.to_string(), above.parent(), above.name()), ("/".into(), None, &b""[..]));
    }
}

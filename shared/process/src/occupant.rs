//! What is at a path where the service needs to make something of its own.

use std::{
    fmt::{self, Display, Formatter},
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

/// What is at a path; nothing of it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occupant {
    File,
    Folder,
    Socket,
    Pipe,
    Device,
    /// A link to this path, at which there is something.
    Link(PathBuf),
    /// A link to this path, at which there is nothing.
    DanglingLink(PathBuf),
}

impl Occupant {
    /// What is at the path; [`None`] when there is nothing.
    ///
    /// # Errors
    /// The OS error when that cannot be found out.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let kind = match fs::symlink_metadata(path) {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(if kind.is_symlink() {
            let target = fs::read_link(path)?;
            if path.exists() { Self::Link(target) } else { Self::DanglingLink(target) }
        } else if kind.is_dir() {
            Self::Folder
        } else if kind.is_socket() {
            Self::Socket
        } else if kind.is_fifo() {
            Self::Pipe
        } else if kind.is_file() {
            Self::File
        } else {
            Self::Device
        }))
    }
}

impl Display for Occupant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("a regular file"),
            Self::Folder => f.write_str("a folder"),
            Self::Socket => f.write_str("a socket"),
            Self::Pipe => f.write_str("a named pipe"),
            Self::Device => f.write_str("a device"),
            Self::Link(target) => write!(f, "a link to {}", target.display()),
            Self::DanglingLink(target) => {
                write!(f, "a link to {}, where there is nothing", target.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    #[test]
    fn what_is_at_a_path_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("folder")).unwrap();
        let _listener = UnixListener::bind(path("socket")).unwrap();
        symlink("file", path("link")).unwrap();
        symlink("/nowhere", path("dangling")).unwrap();
        for (name, expected) in [
            ("file", "a regular file"),
            ("folder", "a folder"),
            ("socket", "a socket"),
            ("link", "a link to file"),
            ("dangling", "a link to /nowhere, where there is nothing"),
        ] {
            assert_eq!(Occupant::of(&path(name)).unwrap().unwrap().to_string(), expected);
        }
        assert_eq!(Occupant::of(Path::new("/dev/null")).unwrap(), Some(Occupant::Device));
        assert_eq!(Occupant::of(&path("nothing")).unwrap(), None);
        assert!(Occupant::of(&path("file").join("below")).is_err());
    }
}

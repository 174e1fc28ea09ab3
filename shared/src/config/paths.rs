//! Folders that commands may reach beside their workplace.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use toml::{Value, de::DeValue};

use super::setting::{Setting, parsed, texts};

/// A folder or file, and whether it may be written: `/opt/go`, `/var/cache/build:rw`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FolderAccess {
    /// Absolute.
    pub path: PathBuf,
    /// Whether it is written, beside being read and executed.
    pub writable: bool,
}

impl FromStr for FolderAccess {
    type Err = String;

    /// The error is a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let (path, writable) = match text.rsplit_once(':') {
            Some((path, "rw")) => (path, true),
            Some((path, "ro")) => (path, false),
            _ => (text, false),
        };
        let path = PathBuf::from(path);
        if !path.is_absolute() {
            return Err(format!("{text:?} is no absolute path"));
        }
        if path == Path::new("/") {
            return Err("\"/\" holds everything; name the folders that are needed".to_owned());
        }
        Ok(Self { path, writable })
    }
}

impl fmt::Display for FolderAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path.display(), if self.writable { ":rw" } else { "" })
    }
}

impl Setting for Vec<FolderAccess> {
    const NAME: &'static str = "list of paths";
    const HINT: &'static str = "a list such as [\"/opt/go\", \"/var/cache/build:rw\"]";

    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String> {
        parsed(value, folder)
    }

    fn write(&self) -> Option<Value> {
        Some(texts(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_whether_it_is_written() {
        for (text, path, writable) in [
            ("/opt/go", "/opt/go", false),
            ("/opt/go:ro", "/opt/go", false),
            ("/cache:rw", "/cache", true),
            ("/odd:name", "/odd:name", false),
        ] {
            let read: FolderAccess = text.parse().unwrap();
            assert_eq!((read.path.as_path(), read.writable), (Path::new(path), writable));
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for text in ["opt/go", "", "/", "/:rw", "~/go"] {
            assert!(text.parse::<FolderAccess>().is_err(), "{text}");
        }
    }
}

//! Which file is read.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Config, Environment, Faults, Resolved};

/// The variable that names the file when the command line does not.
pub const FILE_VARIABLE: &str = "EVONIC_CONFIG";

/// Files that are looked for when none is named.
pub const DEFAULT_FILES: [&str; 2] = ["evonic.toml", "/etc/evonic/evonic.toml"];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that was named, or is there, cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
    /// What was read is refused.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Finds, reads and resolves the configuration, the same way in every program of evonic:
/// `explicit` (of `--config`), else `$EVONIC_CONFIG`, else the first of [`DEFAULT_FILES`] that is
/// there, else defaults. `read` is `std::fs::read_to_string`.
///
/// # Errors
/// [`LoadError`] when a file that was named is missing, a file cannot be read, or what was read
/// is refused.
pub fn load(
    explicit: Option<&Path>,
    environment: &Environment,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Result<Resolved, LoadError> {
    let named = explicit.or_else(|| environment.get(FILE_VARIABLE).map(Path::new));
    let candidates = match named {
        Some(path) => vec![path],
        None => DEFAULT_FILES.iter().map(Path::new).collect(),
    };
    for path in candidates {
        match read(path) {
            Ok(text) => return Ok(Config::resolve(Some((path, &text)), environment)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {}
            Err(source) => return Err(LoadError::Read { path: path.to_owned(), source }),
        }
    }
    Ok(Config::resolve(None, environment)?)
}

//! Finds and reads the file.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{environment::Environment, error::ConfigErrors, resolved::Resolved, root::Config};

/// The variable that names the file when the command line does not.
pub const FILE_VARIABLE: &str = "EVONIC_CONFIG";

/// Files that are tried when none is named.
pub const DEFAULT_FILES: [&str; 2] = ["evonic.toml", "/etc/evonic/evonic.toml"];

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The OS error.
        #[source]
        source: io::Error,
    },
    /// The file or the environment has errors.
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
}

/// Finds, reads and resolves the configuration, the same way in every program of evonic:
/// `explicit` (of `--config`), else `$EVONIC_CONFIG`, else the first of [`DEFAULT_FILES`] that
/// exists, else defaults. `read` is `std::fs::read_to_string`.
///
/// # Errors
/// [`LoadError`] when a named file is missing, a file cannot be read, or has errors.
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

//! Finds and reads the file.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{environment::Environment, error::ConfigErrors, resolved::Resolved, root::Config};

/// The variable that names the file when the command line does not.
pub const FILE_VARIABLE: &str = "EVONIC_CONFIG";

/// The file that is read when none is named. Nothing of the current folder is: whoever starts a
/// program in a folder of somebody else would run what that one names as the worker's program.
pub const DEFAULT_FILE: &str = "/etc/evonic/evonic.toml";

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
/// `explicit` (of `--config`), else `$EVONIC_CONFIG`, else [`DEFAULT_FILE`] where it exists, else
/// defaults. `read` is `std::fs::read_to_string`.
///
/// # Errors
/// [`LoadError`] when a named file is missing, a file cannot be read, or has errors.
pub fn load(
    explicit: Option<&Path>,
    environment: &Environment,
    read: impl Fn(&Path) -> io::Result<String>,
) -> Result<Resolved, LoadError> {
    let named = explicit.or_else(|| environment.get(FILE_VARIABLE).map(Path::new));
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match read(path) {
        Ok(text) => Ok(Config::resolve(Some((path, &text)), environment)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
            Ok(Config::resolve(None, environment)?)
        }
        Err(source) => Err(LoadError::Read { path: path.to_owned(), source }),
    }
}

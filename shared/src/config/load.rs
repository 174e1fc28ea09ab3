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

/// The configuration as far as it can be made out, and what is wrong with it: for commands that talk
/// with a service that runs already, whatever has become of its file since. What cannot be read is as
/// its default. `read` is `std::fs::read`.
pub fn load_despite_faults(
    explicit: Option<&Path>,
    environment: &Environment,
    read: impl Fn(&Path) -> io::Result<Vec<u8>>,
) -> (Config, Option<LoadError>) {
    let (path, is_named) = file(explicit, environment);
    let (text, fault) = match read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                (text, Some(io::Error::new(io::ErrorKind::InvalidData, error)))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => (String::new(), None),
        Err(error) => (String::new(), Some(error)),
    };
    let (config, faults) = Config::resolve_despite_faults(Some((path, &text)), environment);
    let unread = fault.map(|source| LoadError::Read { path: path.to_owned(), source });
    (config, unread.or(faults.map(LoadError::Invalid)))
}

/// The file's path, and whether somebody named it.
fn file<'a>(explicit: Option<&'a Path>, environment: &'a Environment) -> (&'a Path, bool) {
    let named = explicit.or_else(|| environment.get(FILE_VARIABLE).map(Path::new));
    (named.unwrap_or(Path::new(DEFAULT_FILE)), named.is_some())
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
    let (path, is_named) = file(explicit, environment);
    match read(path) {
        Ok(text) => Ok(Config::resolve(Some((path, &text)), environment)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => {
            Ok(Config::resolve(None, environment)?)
        }
        Err(source) => Err(LoadError::Read { path: path.to_owned(), source }),
    }
}

//! Finds and reads the file.

use std::{
    io,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

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
pub fn load_despite_errors(
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
    let (mut config, faults) = Config::resolve_despite_errors(Some((path, &text)), environment);
    // Where the parser has lost its way, whole lines are not seen as keys.
    if faults.iter().flat_map(|faults| &faults.0).any(|fault| fault.key.is_none()) {
        let lines = folder_lines(&text);
        let folders = Config::resolve_despite_errors(Some((path, &lines)), environment).0;
        (config.state_dir, config.runtime_dir) = (folders.state_dir, folders.runtime_dir);
    }
    let unread = fault.map(|source| LoadError::Read { path: path.to_owned(), source });
    (config, unread.or(faults.map(LoadError::Invalid)))
}

/// The first line that names each of the service's folders, read by itself, before the first table.
fn folder_lines(text: &str) -> String {
    const FOLDERS: [&str; 2] = ["state_dir", "runtime_dir"];
    let root = || text.lines().take_while(|line| !line.trim_start().starts_with('['));
    let names = |line: &str, key: &str| {
        DeTable::parse(line).is_ok_and(|line| line.get_ref().keys().any(|own| own.get_ref() == key))
    };
    let found = FOLDERS.iter().filter_map(|key| root().find(|line| names(line, key)));
    found.collect::<Vec<_>>().join("\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_found_in_whatever_a_file_has_become() {
        let sound = "state_dir = \"/s\"\nruntime_dir = \"/r\" # here\nlog = \"info\"\n[fd]\n";
        for broken in [
            format!("this is no TOML\n{sound}"),
            format!("log = \"never closed\n{sound}"),
            format!("x = \"\"\"\n{sound}"),
            format!("listen = [\n{sound}"),
            format!("{sound}threshold = \"many\"\n[fd\nruntime_dir = \"/not/this\"\n"),
            sound.replace("log", "lgo"),
        ] {
            let environment = Environment::default();
            let read = |_: &Path| Ok(broken.clone().into_bytes());
            let (config, fault) = load_despite_errors(None, &environment, read);
            assert!(matches!(fault, Some(LoadError::Invalid(_))), "{broken}");
            let folders = (config.state_dir.to_str(), config.runtime_dir.to_str());
            assert_eq!(folders, (Some("/s"), Some("/r")), "{broken}");
        }
        let (config, fault) = load_despite_errors(None, &Environment::default(), |_| {
            Ok(b"runtime_dir = \"/r\"\nlog = \"\xff\"\n".to_vec())
        });
        assert!(matches!(fault, Some(LoadError::Read { .. })));
        assert_eq!(config.runtime_dir.to_str(), Some("/r"));
        let (_, fault) = load_despite_errors(None, &Environment::default(), |_| {
            Err(io::ErrorKind::NotFound.into())
        });
        assert!(fault.is_none(), "nobody named it");
    }
}

//! A configuration, resolved from the file, the environment and the defaults.

use std::path::{Path, PathBuf};

use super::{
    document::Document,
    entry::{Entry, Origin},
    environment::Environment,
    error::{ConfigError, ConfigErrors},
    reader::Reader,
    root::{Config, SECTIONS},
    rules,
    sections::{Fd, Workplace},
};

/// A configuration, and where each of its values comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The values.
    pub config: Config,
    /// Every key, with its value and origin.
    pub entries: Vec<Entry>,
    /// The file that was read; none when only defaults and variables hold.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Resolves the text of a file, with its name for errors, and the environment.
    ///
    /// # Errors
    /// [`ConfigErrors`]: everything that is wrong with them.
    pub fn resolve(
        file: Option<(&Path, &str)>,
        environment: &Environment,
    ) -> Result<Resolved, ConfigErrors> {
        let (config, entries) = Self::read_all(file, environment);
        let file = file.map(|(path, _)| path.to_owned());
        Ok(Resolved { config, entries: entries?, file })
    }

    /// The same, with the default of each key that is wrong.
    pub(super) fn resolve_despite_errors(
        file: Option<(&Path, &str)>,
        environment: &Environment,
    ) -> (Self, Option<ConfigErrors>) {
        let (config, entries) = Self::read_all(file, environment);
        (config, entries.err())
    }

    fn read_all(
        file: Option<(&Path, &str)>,
        environment: &Environment,
    ) -> (Self, Result<Vec<Entry>, ConfigErrors>) {
        let document =
            file.map(|(path, text)| Document::parse(path, text, SECTIONS)).unwrap_or_default();
        let mut reader = Reader::new(document, file.map(|(path, _)| path), environment);
        let config = Self::read(&mut reader, "", environment);
        rules::check(&config, &mut reader);
        (config, reader.finish().map_err(ConfigErrors))
    }

    /// The defaults, with these folders.
    pub fn defaults(state_dir: PathBuf, runtime_dir: PathBuf) -> Self {
        let environment = Environment::default();
        let mut reader = Reader::new(Document::default(), None, &environment);
        let workplace = Workplace::read(&mut reader, "workplace", &state_dir);
        let defaults = Self::read(&mut reader, "", &environment);
        Self { state_dir, runtime_dir, workplace, ..defaults }
    }

    /// The soft `RLIMIT_NOFILE` of a worker where the hard one is `hard`: `fd.limit`, or less.
    ///
    /// # Errors
    /// A [`ConfigError`] when that is not above `fd.ceiling`: a leak would reach the limit before the
    /// supervisor acts.
    pub fn fits_limit(&self, hard: u64) -> Result<u32, ConfigError> {
        let limit = u32::try_from(hard).unwrap_or(u32::MAX).min(self.fd.limit);
        let Fd { ceiling, threshold, .. } = self.fd;
        if limit > ceiling {
            return Ok(limit);
        }
        let budget = self.budget.total();
        Err(ConfigError {
            origin: Origin::Default,
            key: Some("fd.ceiling".to_owned()),
            problem: format!(
                "the hard limit of open files is {hard}, which is not above the ceiling of {ceiling} \
                 (threshold {threshold}, [budget] and runtime {budget})"
            ),
            advice: format!(
                "raise the limit to at least {} (`LimitNOFILE=` of the unit, `ulimit -Hn` of a \
                 shell, `nofile` in /etc/security/limits.conf), or lower fd.ceiling below {hard}, \
                 with fd.threshold and [budget] below that",
                u64::from(ceiling) + 1
            ),
        })
    }
}

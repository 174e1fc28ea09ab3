//! Loads the configuration, at start and at each reload.

use std::{
    cell::RefCell,
    env,
    path::{Path, PathBuf},
};

use evonic_process::program;
use evonic_shared::config::{Config, ConfigError, Environment, LoadError, Resolved, load};
use rustix::process::Resource;

use crate::{fd_watch::Method, sys::ParentDeath, worker::Launch};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigSourceError {
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It needs more descriptors than the hard limit allows.
    #[error(transparent)]
    Limit(#[from] ConfigError),
    /// The supervisor's own path is unknown, so the worker's is, too.
    #[error("cannot tell where the worker's program is: set supervisor.worker")]
    Program,
}

/// The worker's program, beside this one: by the path as it was called, so that a symbolic link may
/// be switched to another release. Must be asked at the start.
pub fn worker_beside() -> Option<PathBuf> {
    let mut found = program::beside("evonic");
    let there = found.iter().position(|path| path.is_file()).unwrap_or(0);
    (there < found.len()).then(|| found.swap_remove(there))
}

/// What a load needs, fixed for the supervisor's life.
#[derive(Clone, Debug)]
pub struct ConfigSource {
    /// `--config`.
    pub explicit: Option<PathBuf>,
    /// [`worker_beside`].
    pub worker: Option<PathBuf>,
    pub on_parent_death: ParentDeath,
    pub method: Method,
}

impl ConfigSource {
    /// The configuration, and how workers start under it.
    pub fn load(&self) -> Result<(Config, Launch), ConfigSourceError> {
        let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let uid = rustix::process::geteuid().as_raw();
        let environment = Environment::new(env::vars_os(), uid, folder);
        let content = RefCell::new(String::new());
        let Resolved { config, file, .. } =
            load(self.explicit.as_deref(), &environment, |path: &Path| {
                let text = std::fs::read_to_string(path)?;
                content.borrow_mut().clone_from(&text);
                Ok(text)
            })?;
        let hard = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let nofile = config.fits_limit(hard)?;
        let program = match &config.supervisor.worker {
            Some(program) => program.clone(),
            None => self.worker.clone().ok_or(ConfigSourceError::Program)?,
        };
        let launch = Launch {
            program,
            config_file: file,
            config_text: content.into_inner().into(),
            state_dir: config.state_dir.clone(),
            runtime_dir: config.runtime_dir.clone(),
            nofile: nofile.into(),
            on_parent_death: self.on_parent_death,
            method: self.method,
        };
        Ok((config, launch))
    }
}

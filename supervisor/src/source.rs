//! Where the configuration comes from, at start and at each reload.

use std::{
    cell::RefCell,
    env, io,
    path::{Path, PathBuf},
};

use evonic_shared::config::{Config, Environment, Fault, LoadError, Resolved, load};
use rustix::process::Resource;

use crate::{fd_watch::Method, sys::ParentDeath, worker::Launch};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read, or is refused.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It is more than the limit of descriptors allows.
    #[error(transparent)]
    Limit(#[from] Fault),
    /// The supervisor does not know its own place, so not the worker's either.
    #[error("cannot tell where the worker's program is: set supervisor.worker")]
    Program(#[source] io::Error),
}

/// What does not change while the supervisor runs.
#[derive(Clone, Debug)]
pub struct Source {
    /// `--config`.
    pub explicit: Option<PathBuf>,
    /// What happens to a worker whose supervisor dies.
    pub on_parent_death: ParentDeath,
    /// How descriptors are counted here.
    pub method: Method,
}

impl Source {
    /// Reads the configuration, and says how workers are started under it.
    pub fn load(&self) -> Result<(Config, Launch), SourceError> {
        let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let uid = rustix::process::geteuid().as_raw();
        let environment = Environment::new(env::vars_os(), uid, folder);
        let read = RefCell::new(String::new());
        let Resolved { config, file, .. } =
            load(self.explicit.as_deref(), &environment, |path: &Path| {
                let text = std::fs::read_to_string(path)?;
                read.borrow_mut().clone_from(&text);
                Ok(text)
            })?;
        let hard = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let nofile = config.fits_limit(hard)?;
        let program = match &config.supervisor.worker {
            Some(program) => program.clone(),
            None => env::current_exe().map_err(SourceError::Program)?.with_file_name("evonic"),
        };
        let launch = Launch {
            program,
            config_file: file,
            config_text: read.into_inner().into(),
            state_dir: config.state_dir.clone(),
            runtime_dir: config.runtime_dir.clone(),
            nofile: nofile.into(),
            on_parent_death: self.on_parent_death,
            method: self.method,
        };
        Ok((config, launch))
    }
}

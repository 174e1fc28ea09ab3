//! The part of a process's environment that the configuration depends on.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The variables, user and folder of the process that reads a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Variables that are not empty. An empty one counts as absent.
    pub variables: BTreeMap<String, OsString>,
    /// The effective user.
    pub uid: u32,
    /// The current folder: what relative paths of variables are relative to.
    pub folder: PathBuf,
}

impl Environment {
    /// `variables` are `std::env::vars_os()`; those whose name is no UTF-8 are ignored.
    pub fn new(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        uid: u32,
        folder: PathBuf,
    ) -> Self {
        let variables = variables
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .collect();
        Self { variables, uid, folder }
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name)
    }

    /// A variable with an absolute path. systemd joins several by colons: the first counts. A
    /// relative one is ignored, as the XDG specification demands.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.get(name)?.to_str()?;
        let first = Path::new(value.split(':').next()?);
        first.is_absolute().then(|| first.to_owned())
    }

    /// The default of `state_dir`.
    pub(super) fn state_dir(&self) -> PathBuf {
        const SYSTEM: &str = "/var/lib/evonic";
        let own = || {
            self.path("XDG_STATE_HOME")
                .or_else(|| Some(self.path("HOME")?.join(".local/state")))
                .map(|folder| folder.join("evonic"))
        };
        self.path("STATE_DIRECTORY")
            .or_else(|| if self.uid == 0 { None } else { own() })
            .unwrap_or_else(|| SYSTEM.into())
    }

    /// The default of `runtime_dir`.
    pub(super) fn runtime_dir(&self, state_dir: &Path) -> PathBuf {
        let own = || match self.path("XDG_RUNTIME_DIR") {
            Some(folder) => folder.join("evonic"),
            None => state_dir.join("run"),
        };
        self.path("RUNTIME_DIRECTORY")
            .unwrap_or_else(|| if self.uid == 0 { "/run/evonic".into() } else { own() })
    }
}

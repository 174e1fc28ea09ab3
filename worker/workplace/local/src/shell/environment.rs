//! What scripts and commands find in their environment.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::confinement::Confinement;

/// Where programs are looked for when the service itself has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Variables = Vec<(OsString, OsString)>;

/// What of the service's environment others are given, read once.
#[derive(Debug)]
pub(super) struct Environment {
    plain: Variables,
    inherited: Variables,
}

impl Environment {
    /// `inherited` names the variables of the service that commands get beside the fixed ones.
    pub(super) fn of_service(inherited: &[String]) -> Self {
        let service =
            |name: &str| std::env::var_os(name).map(|value| (OsString::from(name), value));
        let or = |name: &str, value: &str| service(name).unwrap_or((name.into(), value.into()));
        let mut plain = vec![or("PATH", PATH), or("LANG", "C.UTF-8")];
        plain.extend(service("TZ"));
        let inherited = inherited.iter().filter_map(|name| service(name)).collect();
        Self { plain, inherited }
    }

    /// Of scripts that work for the service.
    pub(super) fn plain(&self) -> Variables {
        self.plain.clone()
    }

    /// Of commands: nothing of the service but what is named here. `HOME` is the workplace's
    /// root, so that no command reads the service user's keys and settings by accident; an
    /// operator who wants that lists `HOME` in `tools.environment`. A confined command has a
    /// folder for temporary files, and no folder in its `PATH` that it cannot read: bash would
    /// find a program there and fail to start it.
    pub(super) fn of_command(
        &self,
        root: &Path,
        confinement: Option<&Confinement>,
        temporary: &Path,
    ) -> Variables {
        let mut environment = self.plain.clone();
        environment.push(("HOME".into(), root.into()));
        environment.push(("TERM".into(), "dumb".into()));
        if confinement.is_some() {
            environment.push(("TMPDIR".into(), temporary.into()));
        }
        for (name, value) in &self.inherited {
            environment.retain(|(known, _)| known != name);
            environment.push((name.clone(), value.clone()));
        }
        let path = environment.iter_mut().find(|(name, _)| name == "PATH");
        if let (Some(confinement), Some((_, path))) = (confinement, path) {
            let folders: Vec<PathBuf> = std::env::split_paths(path)
                .filter(|folder| folder.starts_with(root) || confinement.is_readable(folder))
                .collect();
            *path = std::env::join_paths(folders).unwrap_or_default();
        }
        environment
    }
}

//! What commands find in their environment.

use std::path::{Path, PathBuf};

use evonic_backend::unattended;
use evonic_runner::{Level, confinement, spec::Sandbox};

/// Where programs are looked for when the service itself has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Variables = Vec<(String, String)>;

/// What of the service's environment commands are given, read once. A variable that is no UTF-8 is
/// left out.
#[derive(Debug)]
pub(in super::super) struct Environment {
    plain: Variables,
    inherited: Variables,
}

impl Environment {
    /// `inherited` names the variables of the service that commands get beside the fixed ones.
    pub(in super::super) fn of_service(inherited: &[String]) -> Self {
        let service = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
        let or = |name: &str, value: &str| service(name).unwrap_or((name.into(), value.into()));
        let mut plain = vec![or("PATH", PATH), or("LANG", "C.UTF-8")];
        plain.extend(service("TZ"));
        let inherited = inherited.iter().filter_map(|name| service(name)).collect();
        Self { plain, inherited }
    }

    /// `PATH` of the service.
    pub(in super::super) fn path(&self) -> &str {
        &self.plain[0].1
    }

    /// Of a command: nothing of the service but what is named here. `HOME` is the workplace's root,
    /// so that no command reads the service user's keys and settings by accident; an operator who
    /// wants that lists `HOME` in `tools.environment`. A confined command has a folder for
    /// temporary files, and no folder in its `PATH` that it cannot read: bash would find a program
    /// there and fail to start it.
    pub(super) fn of_command(
        &self,
        command_id: &str,
        sandbox: &Sandbox,
        temporary: &Path,
    ) -> Variables {
        let mut environment = self.plain.clone();
        let mut add = |name: &str, value: String| environment.push((name.to_owned(), value));
        add("HOME", sandbox.root.display().to_string());
        // By its level a shell knows that it is not the login shell, whose files may say something.
        add("SHLVL", "1".to_owned());
        match sandbox.level {
            Level::None => {}
            Level::Landlock => add("TMPDIR", temporary.display().to_string()),
            Level::Namespaces => add("TMPDIR", "/tmp".to_owned()),
        }
        for (name, value) in &self.inherited {
            environment.retain(|(known, _)| known != name);
            environment.push((name.clone(), value.clone()));
        }
        unattended::complete(&mut environment);
        environment.push(("EVONIC_CALL".to_owned(), command_id.to_owned()));
        if sandbox.level != Level::None
            && let Some((_, path)) = environment.iter_mut().find(|(name, _)| name == "PATH")
        {
            let folders: Vec<PathBuf> = std::env::split_paths(path)
                .filter(|folder| confinement::is_readable(sandbox, folder))
                .collect();
            let joined = std::env::join_paths(folders).unwrap_or_default();
            *path = joined.to_string_lossy().into_owned();
        }
        environment
    }
}

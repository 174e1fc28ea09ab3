//! How workers are started.

use std::{
    env,
    ffi::{CString, NulError, OsString},
    fs::File,
    io::{self, Write},
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use evonic_shared::hand_over::{
    GENERATION, LISTEN_FDNAMES, LISTEN_FDS, LISTEN_PID, NAMES, PREDECESSOR,
};

use rustix::fs::{Access, MemfdFlags, SealFlags};

use crate::{fd_watch::Method, sys::ParentDeath};

/// Variables that a worker must not inherit.
const PRIVATE: [&str; 9] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "EVONIC_STATE_DIR",
    "EVONIC_RUNTIME_DIR",
    LISTEN_FDS,
    LISTEN_PID,
    LISTEN_FDNAMES,
    GENERATION,
];

/// glibc gives eight arenas a processor to the worker's threads, and each keeps what was freed in it:
/// twice the memory for the same load.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");

/// How workers are started: the same for all of them, until a reload.
#[derive(Clone, Debug)]
pub struct Launch {
    pub program: PathBuf,
    /// The configuration file, for the worker's messages about it.
    pub config_file: Option<PathBuf>,
    /// Its accepted text: the worker reads this, whatever is in the file by now.
    pub config_text: Arc<str>,
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
    /// The worker's soft `RLIMIT_NOFILE`.
    pub nofile: u64,
    pub on_parent_death: ParentDeath,
    pub method: Method,
}

impl Launch {
    pub(super) fn program(&self) -> Result<CString, NulError> {
        text(&self.program)
    }

    /// Whether there is a program to start, as far as can be told without starting it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn check(&self) -> io::Result<()> {
        if !std::fs::metadata(&self.program)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Ok(rustix::fs::access(&self.program, Access::EXEC_OK)?)
    }

    /// The accepted configuration in a sealed anonymous file: one descriptor.
    pub(super) fn configuration(&self) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create(c"evonic-config", flags)?);
        file.write_all(self.config_text.as_bytes())?;
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    }

    /// `evonic worker [--config FILE]`, the program by its whole path: the worker finds the other
    /// programs of its release by it.
    pub(super) fn arguments(&self) -> Result<Vec<CString>, NulError> {
        let mut arguments = vec![self.program()?, c"worker".to_owned()];
        if let Some(file) = &self.config_file {
            arguments.extend([c"--config".to_owned(), text(file)?]);
        }
        Ok(arguments)
    }

    /// The supervisor's own environment, the variables of the contract, and glibc's arenas where
    /// nobody has set them.
    pub(super) fn environment(
        &self,
        generation: u64,
        predecessor: Option<u64>,
    ) -> Result<Vec<CString>, NulError> {
        let own: [(&str, OsString); 5] = [
            (LISTEN_FDS, NAMES.len().to_string().into()),
            (LISTEN_FDNAMES, NAMES.join(":").into()),
            (GENERATION, generation.to_string().into()),
            ("EVONIC_STATE_DIR", self.state_dir.clone().into()),
            ("EVONIC_RUNTIME_DIR", self.runtime_dir.clone().into()),
        ];
        let arenas = env::var_os(ARENAS.0).is_none().then(|| (ARENAS.0, ARENAS.1.into()));
        let predecessor = predecessor.map(|number| (PREDECESSOR, number.to_string().into()));
        let inherited = env::vars_os().filter(|(name, _)| {
            name.to_str().is_none_or(|name| !PRIVATE.contains(&name) && name != PREDECESSOR)
        });
        let own = own
            .into_iter()
            .chain(arenas)
            .chain(predecessor)
            .map(|(name, value)| (name.into(), value));
        inherited
            .chain(own)
            .map(|(name, value): (OsString, OsString)| {
                let mut entry = name.into_vec();
                entry.push(b'=');
                entry.extend(value.into_vec());
                CString::new(entry)
            })
            .collect()
    }
}

fn text(path: &Path) -> Result<CString, NulError> {
    CString::new(path.as_os_str().to_owned().into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_two_arenas_unless_somebody_has_set_them() {
        let launch = Launch {
            program: "/usr/bin/evonic".into(),
            config_file: None,
            config_text: "".into(),
            state_dir: "/state".into(),
            runtime_dir: "/run".into(),
            nofile: 1024,
            on_parent_death: ParentDeath::Nothing,
            method: Method::Size,
        };
        let environment = launch.environment(1, None).unwrap();
        let arenas: Vec<_> =
            environment.iter().filter(|entry| entry.as_bytes().starts_with(b"MALLOC_")).collect();
        let set = env::var("MALLOC_ARENA_MAX").unwrap_or_else(|_| "2".to_owned());
        assert_eq!(arenas, [&CString::new(format!("MALLOC_ARENA_MAX={set}")).unwrap()]);
    }
}

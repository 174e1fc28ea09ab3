//! Commands kept to their workplace by the kernel: Landlock. See
//! <https://docs.kernel.org/userspace-api/landlock.html>.
//!
//! Rules allow, and nothing takes a part of what they allow away again. So a folder with something
//! in it that commands may not read is opened up entry by entry, without that.

mod capabilities;

use std::{
    fs, io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
};

use evonic_shared::config::{Config, DEFAULT_FILE, KeySource};
use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The rights and scopes that this was made and tested with. A kernel that knows fewer enforces
/// those; what a newer one knows besides stays allowed.
const KNOWN: ABI = ABI::V6;

/// What belongs to the system: read and executed.
const SYSTEM: [&str; 18] = [
    "/bin",
    "/etc",
    "/gnu",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/opt",
    "/proc",
    "/run/current-system",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sbin",
    "/snap",
    "/sys",
    "/usr",
    "/var/lib/dpkg",
];

/// Devices that every program takes for granted.
const DEVICES: [&str; 9] = [
    "/dev/full",
    "/dev/null",
    "/dev/ptmx",
    "/dev/pts",
    "/dev/random",
    "/dev/shm",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// Secrets among what belongs to the system, which root could read.
const SECRETS: [&str; 14] = [
    "/etc/credstore",
    "/etc/credstore.encrypted",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/letsencrypt",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/ssh/ssh_host_dsa_key",
    "/etc/ssh/ssh_host_ecdsa_key",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssh/ssh_host_rsa_key",
    "/etc/ssl/private",
    "/etc/sudoers",
    "/etc/sudoers.d",
];

/// What commands may reach beside their workplace and their spool.
#[derive(Debug)]
pub(crate) struct Confinement {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    /// Without symbolic links.
    hidden: Vec<PathBuf>,
}

/// What the kernel makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is enforced, with this version of the kernel's interface.
    Enforced(u32),
    /// The kernel was built without.
    Missing,
    /// The kernel was started without (`lsm=`).
    Disabled,
}

/// The confinement, if it is configured and this kernel enforces it. Tried out, not guessed.
///
/// # Errors
/// The operating system's, when it cannot be tried.
pub(super) fn active(config: &Config) -> io::Result<Option<Confinement>> {
    if !config.workplace.confined {
        return Ok(None);
    }
    let confinement = Confinement::new(config);
    match confinement.probe(&config.workplace.root)? {
        Found::Enforced(version) => {
            tracing::debug!(version, "commands are confined by Landlock");
            Ok(Some(confinement))
        }
        found => {
            let reason = found.describe();
            tracing::warn!(reason, "commands are not confined to their workplace");
            Ok(None)
        }
    }
}

impl Confinement {
    /// Looks nothing up.
    pub(crate) fn new(config: &Config) -> Self {
        let mut read: Vec<PathBuf> = SYSTEM.map(PathBuf::from).into();
        read.extend(config.workplace.read.iter().cloned());
        let mut write: Vec<PathBuf> = DEVICES.map(PathBuf::from).into();
        write.extend(config.workplace.write.iter().cloned());
        let keys = config.models.values().filter_map(|model| match &model.key {
            Some(KeySource::File(path)) => Some(path.clone()),
            _ => None,
        });
        let hidden = SECRETS
            .iter()
            .map(PathBuf::from)
            .chain(Path::new(DEFAULT_FILE).parent().map(Path::to_owned))
            .chain([config.state_dir.clone(), config.runtime_dir.clone()])
            .chain(config.docker.cert_path.clone())
            .chain(keys)
            .filter(|path| path.is_absolute())
            .map(|path| fs::canonicalize(&path).unwrap_or(path))
            .collect();
        Self { read, write, hidden }
    }

    /// Whether a folder of `PATH` can be read. Follows links.
    pub(super) fn is_readable(&self, folder: &Path) -> bool {
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let allowed = |allowed: &PathBuf| {
            real.starts_with(fs::canonicalize(allowed).as_deref().unwrap_or(allowed))
        };
        self.read.iter().chain(&self.write).any(allowed)
            && !self.hidden.iter().any(|hidden| real.starts_with(hidden))
    }

    /// Tries it out on a thread, which ends.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn probe(&self, root: &Path) -> io::Result<Found> {
        let status = thread::scope(|scope| {
            let confined = thread::Builder::new().name("evonic-confined".to_owned());
            let tried = confined.spawn_scoped(scope, || self.put_on_this_thread(root, root))?;
            tried.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        Ok(match status.landlock {
            LandlockStatus::NotImplemented => Found::Missing,
            LandlockStatus::NotEnabled => Found::Disabled,
            LandlockStatus::Available { .. } if status.ruleset == RulesetStatus::NotEnforced => {
                Found::Disabled
            }
            LandlockStatus::Available { effective_abi, kernel_abi } => {
                let known = kernel_abi.and_then(|version| u32::try_from(version).ok());
                Found::Enforced(known.unwrap_or(effective_abi as u32))
            }
        })
    }

    /// Confines this thread, and all that it will start, to `root` and `own` and what belongs to
    /// everybody. Cannot be undone. Holds two descriptors meanwhile.
    ///
    /// # Errors
    /// The operating system's. The thread must start nothing then.
    pub(super) fn restrict(&self, root: &Path, own: &Path) -> io::Result<()> {
        capabilities::drop_most()?;
        let status = self.put_on_this_thread(root, own)?;
        if status.ruleset == RulesetStatus::NotEnforced {
            return Err(io::Error::other("Landlock, which worked before, is gone"));
        }
        Ok(())
    }

    fn put_on_this_thread(&self, root: &Path, own: &Path) -> io::Result<RestrictionStatus> {
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))
            .and_then(|rules| rules.scope(Scope::from_all(KNOWN)))
            .and_then(Ruleset::create)
            .map_err(io::Error::other)?;
        let mut rules = Rules { rules, hidden: &self.hidden };
        let read = AccessFs::from_read(KNOWN);
        let all = AccessFs::from_all(KNOWN);
        rules.one(Path::new("/dev"), AccessFs::ReadDir.into())?;
        for path in &self.read {
            rules.allow(path, read)?;
        }
        for path in &self.write {
            rules.allow(path, all)?;
        }
        // What stands in the workplace is the agent's, whatever else it is.
        rules.one(root, all)?;
        rules.one(own, all)?;
        rules.rules.no_new_privs(true).restrict_self().map_err(io::Error::other)
    }
}

/// Rules that are being put together.
struct Rules<'c> {
    rules: RulesetCreated,
    hidden: &'c [PathBuf],
}

impl Rules<'_> {
    /// Allows a path and what is below it, but for what is hidden. Names stay visible.
    fn allow(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> io::Result<()> {
        let Ok(real) = fs::canonicalize(path) else { return Ok(()) };
        if self.hidden.iter().any(|hidden| real.starts_with(hidden)) {
            return Ok(());
        }
        if !self.hidden.iter().any(|hidden| hidden.starts_with(&real)) {
            return self.one(&real, rights);
        }
        self.one(&real, rights & AccessFs::ReadDir)?;
        // Read whole, so that the folder is closed before its entries are opened.
        let entries: Vec<_> = match fs::read_dir(&real) {
            Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(_) => Vec::new(),
        };
        // A link leads to something that has its own rule, or none.
        for entry in entries.iter().filter(|entry| !entry.is_symlink()) {
            self.allow(entry, rights)?;
        }
        Ok(())
    }

    /// Allows a path and what is below it. One that is missing, or that this user cannot reach,
    /// is passed over: commands cannot reach it either.
    fn one(&mut self, path: &Path, rights: BitFlags<AccessFs>) -> io::Result<()> {
        let Ok(handle) = PathFd::new(path) else { return Ok(()) };
        let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(KNOWN) };
        let added = (&mut self.rules).add_rule(PathBeneath::new(handle, rights));
        added.map(|_| ()).map_err(|error: RulesetError| io::Error::other(error))
    }
}

impl Found {
    /// For the log and `evonic doctor`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Found::Missing => {
                "this kernel was built without Landlock (CONFIG_SECURITY_LANDLOCK)".to_owned()
            }
            Found::Disabled => {
                "this kernel was started without Landlock (add it to `lsm=` of its command line)"
                    .to_owned()
            }
            Found::Enforced(version) => {
                let lacks = [
                    (2, "nothing can be renamed from one folder to another"),
                    (3, "files outside can be truncated"),
                    (5, "devices can be controlled (ioctl)"),
                    (6, "processes outside can be signalled, and abstract Unix sockets reached"),
                ];
                let lacks: Vec<&str> = lacks
                    .iter()
                    .filter(|(from, _)| version < from)
                    .map(|(_, what)| *what)
                    .collect();
                let but = if lacks.is_empty() { "" } else { "; this kernel is too old for all: " };
                format!("Landlock, version {version}{but}{}", lacks.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests;

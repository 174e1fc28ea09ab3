//! The second layer: commands kept to their workplace by Landlock. See
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

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::spec::{Level, Sandbox};

/// The rights and scopes that this was made and tested with. A kernel that knows fewer enforces
/// those; what a newer one knows besides stays allowed.
const KNOWN: ABI = ABI::V6;

/// What belongs to the system: read and executed.
pub(crate) const SYSTEM: [&str; 15] = [
    "/bin",
    "/etc",
    "/gnu",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix",
    "/proc",
    "/run/current-system",
    "/sbin",
    "/snap",
    "/sys",
    "/usr",
    "/var/lib/dpkg",
];

/// Folders among the devices, that programs make files in.
pub(crate) const DEVICE_FOLDERS: [&str; 2] = ["/dev/shm", "/dev/pts"];

/// Devices that every program takes for granted.
const DEVICES: [&str; 7] =
    ["/dev/full", "/dev/null", "/dev/ptmx", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"];

/// Secrets among what belongs to the system.
pub const SECRETS: [&str; 14] = [
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

/// What the kernel makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is enforced, with this version of the kernel's interface.
    Enforced(u32),
    /// The kernel was built without.
    Missing,
    /// The kernel was started without (`lsm=`).
    Disabled,
}

/// Whether the kernel confines: tried out on a thread, which ends.
///
/// # Errors
/// The operating system's.
pub fn probe() -> io::Result<Found> {
    let nothing = Sandbox {
        level: Level::Landlock,
        bwrap: None,
        root: PathBuf::from("/"),
        read: Vec::new(),
        write: Vec::new(),
        hidden: Vec::new(),
        network: true,
        user: None,
    };
    let status = thread::scope(|scope| {
        let confined = thread::Builder::new().name("evonic-confined".to_owned());
        let tried =
            confined.spawn_scoped(scope, || put_on_this_thread(&nothing, Path::new("/")))?;
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

/// Whether a folder can be read inside. Follows links.
#[must_use]
pub fn is_readable(sandbox: &Sandbox, folder: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real(folder);
    let named = [&sandbox.read, &sandbox.write].into_iter().flatten().map(PathBuf::as_path);
    let allowed =
        SYSTEM.iter().map(Path::new).chain(named).any(|path| folder.starts_with(real(path)));
    folder.starts_with(&sandbox.root)
        || allowed && !sandbox.hidden.iter().any(|hidden| folder.starts_with(hidden))
}

/// Confines this thread, and all that it will start, to `sandbox` and `temporary`. Cannot be
/// undone. Holds two descriptors meanwhile. In namespaces it is one layer of several: a kernel
/// without Landlock confines by the others.
///
/// # Errors
/// The operating system's. The thread must start nothing then.
pub(crate) fn restrict(sandbox: &Sandbox, temporary: &Path) -> io::Result<()> {
    capabilities::drop_most()?;
    let status = put_on_this_thread(sandbox, temporary)?;
    if status.ruleset == RulesetStatus::NotEnforced && sandbox.level == Level::Landlock {
        return Err(io::Error::other("Landlock, which worked before, is gone"));
    }
    Ok(())
}

fn put_on_this_thread(sandbox: &Sandbox, temporary: &Path) -> io::Result<RestrictionStatus> {
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let mut rules = Rules { rules, hidden: &sandbox.hidden };
    let (read, all) = (AccessFs::from_read(KNOWN), AccessFs::from_all(KNOWN));
    if sandbox.level == Level::Namespaces {
        // What is not to be read is not there: a rule for each entry would only take time.
        rules.one(Path::new("/"), read)?;
    } else {
        rules.one(Path::new("/dev"), AccessFs::ReadDir.into())?;
        let system = SYSTEM.iter().copied().chain(["/etc/resolv.conf", "/etc/localtime"]);
        for path in system.map(Path::new).chain(sandbox.read.iter().map(PathBuf::as_path)) {
            rules.allow(path, read)?;
        }
    }
    let devices = DEVICES.iter().chain(&DEVICE_FOLDERS).map(Path::new);
    for path in devices.chain(sandbox.write.iter().map(PathBuf::as_path)) {
        rules.allow(path, all)?;
    }
    // What stands in the workplace is the agent's, whatever else it is.
    rules.one(&sandbox.root, all)?;
    rules.one(temporary, all)?;
    rules.rules.no_new_privs(true).restrict_self().map_err(io::Error::other)
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
    #[must_use]
    pub fn describe(&self) -> String {
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

//! What keeps commands inside: which of the ways this machine can, and what they may reach.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_process::program;
use evonic_runner::{
    Ended, Level, Spec,
    confinement::{self, SECRETS},
    protocol::{Event, PACKET_BYTES},
    spec::{Limits, Sandbox, VERSION},
};
use evonic_shared::config::{
    self, CommandNetwork, Config, DEFAULT_FILE, KeySource, Sandbox as Wanted,
};
use parking_lot::RwLock;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair},
};

/// The runner's program, beside this one.
const RUNNER: &str = "evonic-runner";

/// How the folder begins in which a sandbox is tried; the pid of who tries follows.
pub(super) const PROBES: &str = "evonic-probe-";

/// How long trying a sandbox takes at the most.
const PROBE: Duration = Duration::from_secs(10);

/// The first version of Landlock that knows scopes: of signals and abstract sockets.
const SCOPES: u32 = 6;

/// What this machine can do, as it was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probed {
    /// Why commands cannot have namespaces of their own, if so.
    pub(crate) namespaces: Result<(), String>,
    /// The version of Landlock, or why there is none.
    pub(crate) landlock: Result<u32, String>,
}

/// What commands of this machine's workplaces may reach.
#[derive(Debug)]
pub(super) struct Reach {
    /// Where the runner's program may be, the best place first.
    runners: Vec<PathBuf>,
    bwrap: Option<PathBuf>,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    /// Secrets of the configuration, without symbolic links.
    hidden: Vec<PathBuf>,
    /// Secrets that workplaces name, without symbolic links.
    named: RwLock<Arc<[PathBuf]>>,
    pub(super) user: Option<(u32, u32)>,
}

impl Reach {
    /// Looks programs and users up.
    ///
    /// # Errors
    /// A sentence about `workplace.user`.
    pub(super) fn new(config: &Config, path: &str) -> Result<Self, String> {
        let settings = &config.workplace;
        let paths = |writable| {
            let of_kind = settings.paths.iter().filter(move |folder| folder.writable == writable);
            of_kind.map(|folder| folder.path.clone()).collect()
        };
        let bwrap = std::env::split_paths(path).map(|folder| folder.join("bwrap"));
        Ok(Self {
            runners: runners(),
            bwrap: bwrap.into_iter().find(|file| file.is_file()),
            read: paths(false),
            write: paths(true),
            hidden: hidden(config),
            named: RwLock::default(),
            user: super::user::of_commands(settings)?,
        })
    }

    /// From now on these are hidden from commands, beside what the configuration names.
    pub(super) fn hide(&self, secrets: impl IntoIterator<Item = PathBuf>) {
        *self.named.write() = secrets.into_iter().filter_map(real).collect();
    }

    /// The sandbox of a command.
    pub(super) fn sandbox(&self, level: Level, root: PathBuf, network: CommandNetwork) -> Sandbox {
        let named = Arc::clone(&self.named.read());
        Sandbox {
            level,
            bwrap: self.bwrap.clone(),
            root,
            read: self.read.clone(),
            write: self.write.clone(),
            hidden: self.hidden.iter().chain(named.iter()).cloned().collect(),
            network: network == CommandNetwork::Host,
            user: self.user,
        }
    }

    /// Starts the runner of a command; returns it and this end of its connection.
    ///
    /// # Errors
    /// The operating system's.
    #[expect(clippy::disallowed_methods, reason = "the gateway for children; the caller's permit")]
    pub(super) fn start(&self, spec: &Spec, stdin: &[u8]) -> io::Result<(Child, OwnedFd)> {
        let file = spec.write(stdin)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (own, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let runner = self.runner();
        let mut command = Command::new(runner);
        command.env_clear().current_dir("/");
        command.stdin(Stdio::from(file)).stdout(Stdio::from(theirs)).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", runner.display()))
        })?;
        Ok((child, own))
    }

    /// The first of its places where the runner is; the best one where it is nowhere.
    fn runner(&self) -> &Path {
        let there = self.runners.iter().find(|path| path.is_file());
        there.or(self.runners.first()).map_or(Path::new(RUNNER), PathBuf::as_path)
    }

    /// Tries what this machine can do, by commands that do nothing. Takes a few hundredths of a
    /// second, and a folder in this one meanwhile.
    pub(super) fn probe(&self, within: &Path) -> Probed {
        let landlock = match confinement::probe() {
            Ok(confinement::Found::Enforced(version)) => Ok(version),
            Ok(found) => Err(found.describe()),
            Err(error) => Err(format!("it cannot be tried: {error}")),
        };
        let namespaces = match &self.bwrap {
            None => Err("the program bwrap is missing; install bubblewrap".to_owned()),
            Some(_) => self.try_level(within, Level::Namespaces),
        };
        Probed { namespaces, landlock }
    }

    fn try_level(&self, within: &Path, level: Level) -> Result<(), String> {
        let (own, nonce) = (std::process::id(), fastrand::u64(..));
        let folder = within.join(format!("{PROBES}{own}-{nonce:016x}"));
        let failed = |error: io::Error| format!("it cannot be tried: {error}");
        fs::create_dir(&folder).map_err(failed)?;
        let tried = self.try_in(&folder, level);
        fs::remove_dir_all(&folder).map_err(failed)?;
        tried
    }

    fn try_in(&self, folder: &Path, level: Level) -> Result<(), String> {
        let failed = |error: io::Error| format!("it cannot be tried: {error}");
        let root = folder.join("root");
        fs::create_dir(&root).map_err(failed)?;
        if let Some((user, group)) = self.user {
            chown(&root, Some(user), Some(group)).map_err(failed)?;
        }
        let root = fs::canonicalize(root).map_err(failed)?;
        let spec = Spec {
            version: VERSION,
            command_id: "probe".to_owned(),
            record: folder.join("record"),
            argv: vec!["true".to_owned()],
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            folder: root.clone(),
            timeout_ms: u64::try_from(PROBE.as_millis()).unwrap_or(u64::MAX),
            max_output_bytes: 0,
            limits: Limits {
                processes: u64::MAX,
                memory_bytes: u64::MAX,
                file_bytes: u64::MAX,
                open_files: u64::MAX,
                cpu_seconds: None,
            },
            sandbox: self.sandbox(level, root, CommandNetwork::Host),
            group: None,
        };
        let (mut child, connection) = self.start(&spec, b"").map_err(failed)?;
        let ended = ended(&connection);
        drop(connection);
        child.wait().map_err(failed)?;
        match ended {
            Some(Ended::Exited(0)) => Ok(()),
            Some(Ended::NotStarted(why)) => Err(why),
            Some(other) => Err(format!("a command that does nothing ended otherwise: {other:?}")),
            None => Err("the runner said nothing".to_owned()),
        }
    }
}

/// How the command of a connection ended, if that is said in time.
fn ended(connection: &OwnedFd) -> Option<Ended> {
    let until = Instant::now() + PROBE + Duration::from_secs(2);
    let mut packet = vec![0; PACKET_BYTES];
    loop {
        let left = Timespec::try_from(until.checked_duration_since(Instant::now())?).ok()?;
        poll(&mut [PollFd::new(connection, PollFlags::IN)], Some(&left)).ok()?;
        let (length, _) = recv(connection, &mut packet, RecvFlags::DONTWAIT).ok()?;
        if let Event::Ended(status) = Event::decode(&packet[..length])? {
            return Some(status.ended);
        }
    }
}

impl Probed {
    /// The level that is meant; what a person has set never falls back.
    ///
    /// # Errors
    /// The field, and why it cannot be had.
    pub(super) fn level(
        &self,
        wanted: Wanted,
        network: CommandNetwork,
    ) -> Result<Level, (&'static str, String)> {
        let namespaces = |field| match &self.namespaces {
            Ok(()) => Ok(Level::Namespaces),
            Err(why) => Err((field, format!("namespaces cannot be had: {why}"))),
        };
        if network == CommandNetwork::None {
            return match wanted {
                Wanted::Auto | Wanted::Namespaces => namespaces("network"),
                Wanted::Landlock | Wanted::None => {
                    Err(("network", "\"none\" needs sandbox \"namespaces\"".to_owned()))
                }
            };
        }
        match (wanted, &self.landlock) {
            (Wanted::Namespaces, _) => namespaces("sandbox"),
            (Wanted::Landlock, Err(why)) => {
                Err(("sandbox", format!("Landlock cannot be had: {why}")))
            }
            (Wanted::None, _) => Ok(Level::None),
            (Wanted::Auto, _) if self.namespaces.is_ok() => Ok(Level::Namespaces),
            (Wanted::Landlock | Wanted::Auto, Ok(_)) => Ok(Level::Landlock),
            (Wanted::Auto, Err(_)) => Ok(Level::None),
        }
    }
}

/// What no command may read, whatever holds it.
fn hidden(config: &Config) -> Vec<PathBuf> {
    let keys = config.models.values().filter_map(|model| match &model.key {
        Some(KeySource::File(path)) => Some(path.clone()),
        _ => None,
    });
    let tls = config.http.tls.pair().into_iter().flat_map(|(certificate, key)| [certificate, key]);
    SECRETS
        .iter()
        .map(PathBuf::from)
        .chain(Path::new(DEFAULT_FILE).parent().map(Path::to_owned))
        .chain([config.state_dir.clone(), config.runtime_dir.clone()])
        .chain(config.docker.cert_path.clone())
        .chain(tls.map(Path::to_owned))
        .chain(keys)
        .filter_map(real)
        .collect()
}

/// Without symbolic links; as it is where nothing is there.
fn real(path: PathBuf) -> Option<PathBuf> {
    path.is_absolute().then(|| fs::canonicalize(&path).unwrap_or(path))
}

/// Beside this program's own file, whose release it is; where that is deleted, beside the path as it
/// was called. A test's program lies one folder below.
fn runners() -> Vec<PathBuf> {
    let mut beside = program::beside(RUNNER);
    let own = beside.pop();
    let above = own.as_deref().and_then(|own| Some(own.parent()?.parent()?.join(RUNNER)));
    own.into_iter().chain(beside).chain(above).collect()
}

/// What a level does, and what a command may reach all the same.
pub(super) fn describe(
    level: Level,
    probed: &Probed,
    network: CommandNetwork,
    settings: &config::Workplace,
) -> String {
    let landlock = match &probed.landlock {
        Ok(version) => confinement::Found::Enforced(*version).describe(),
        Err(why) => why.clone(),
    };
    let no_network = network == CommandNetwork::None;
    let reached = if no_network { "no network" } else { "the network" };
    let named = if settings.paths.is_empty() { "" } else { ", workplace.paths" };
    let why = match &probed.namespaces {
        Err(why) if level != Level::Namespaces => format!("; namespaces cannot be had: {why}"),
        _ => String::new(),
    };
    match level {
        Level::Namespaces => {
            let within = match &probed.landlock {
                Ok(version) => format!("Landlock, version {version}"),
                Err(_) => landlock,
            };
            // These belong to the network's namespace; files, processes and signals do not pass.
            let sockets = match probed.landlock {
                Ok(SCOPES..) => "",
                _ if no_network => "",
                Ok(_) | Err(_) => "; abstract Unix sockets of the machine can be reached",
            };
            format!(
                "commands run in namespaces of their own and reach their root, the system's \
                 files{named} and {reached}; within: {within}; seccomp{sockets}"
            )
        }
        Level::Landlock => format!(
            "commands write below their root only, but see other processes and their arguments, may \
             change modes, owners and times of files of their user, and reach /dev/shm and Unix \
             sockets; {landlock}; seccomp{why}"
        ),
        Level::None => format!("commands may do what their user may{why}"),
    }
}

#[cfg(test)]
mod tests;

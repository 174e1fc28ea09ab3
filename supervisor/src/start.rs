//! From the command line to the running event loop.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use evonic_process::folder::{self, Folder, FolderError};
use evonic_shared::{config::LoadError, exit::ExitCode};
use rustix::fs::Mode;

use crate::{
    clients::TokenHolder,
    clock::Clock,
    config_source::{ConfigSource, ConfigSourceError, worker_beside},
    disk::{Disk, FileError},
    event_loop::{EventLoop, Prepared, signals},
    fd_watch::Method,
    history::History,
    integrity::Folders,
    lock::{Lock, LockError},
    log,
    notify::Notify,
    sockets::{Inherited, SocketError, Sockets},
    sys::{KernelError, ParentDeath},
};

const HELP: &str = "\
Owns evonic's listening sockets and one worker: watches, replaces, explains.

Usage: evonic-supervisor [--config FILE]

Options:
      --config FILE  read this configuration instead of $EVONIC_CONFIG or
                     /etc/evonic/evonic.toml
  -h, --help         print this help
  -V, --version      print the version

SIGTERM and SIGINT stop the worker and the supervisor, SIGHUP reads the configuration again.
";

/// Why the supervisor does not start: only what cannot recover by itself.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("the command line is wrong (see --help)")]
    Usage(#[from] lexopt::Error),
    #[error(transparent)]
    Source(#[from] ConfigSourceError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Watch(FileError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl StartError {
    const fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::Source(_) => ExitCode::Config,
            Self::Folder(FolderError::Foreign { .. }) => ExitCode::NoPermission,
            Self::File(_) | Self::Folder(_) => ExitCode::Io,
            Self::Lock(_) | Self::Socket(_) | Self::Watch(_) | Self::Kernel(_) => ExitCode::Os,
        }
    }
}

/// Runs the program to its end. The arguments are without its name. Must be called from the main
/// thread, before any other thread starts and before any descriptor is opened.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // What it makes is for its user alone, whatever whoever started it thinks.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    // Before the log: a thread that does not block a signal would end with it.
    let prepared = prepare_process();
    log::install();
    let code = prepared.map_err(StartError::from).and_then(|()| supervise(arguments));
    let code = code.unwrap_or_else(|error| {
        match &error {
            StartError::Source(ConfigSourceError::Load(LoadError::Invalid(errors))) => {
                errors.0.iter().for_each(|error| log::failure(error));
            }
            error => log::failure(error),
        }
        error.exit_code()
    });
    log::flush();
    code
}

fn supervise(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode, StartError> {
    let inherited = Inherited::from_environment()?;
    let explicit = match parse(arguments)? {
        Invocation::Run { config } => config,
        Invocation::Text(text) => {
            #[expect(clippy::disallowed_methods, reason = "the program's own text alone")]
            // With standard output closed there is nowhere to report it.
            let _ = io::stdout().write_all(text.as_bytes());
            return Ok(ExitCode::Ok);
        }
    };
    let clock = Clock::start();
    let notify = open_notify()?;
    let source = ConfigSource {
        explicit,
        worker: worker_beside(),
        // systemd ends the whole control group by itself, in its own order.
        on_parent_death: if notify.is_connected() {
            ParentDeath::Nothing
        } else {
            ParentDeath::Terminate
        },
        method: Method::probe().map_err(StartError::Watch)?,
    };
    let (config, launch) = source.load()?;
    log::set_filter(&config.log);
    log::set_format(config.log_format);
    let folders = Folders {
        state: Folder::open(&config.state_dir, folder::PRIVATE)?,
        runtime: Folder::open(&config.runtime_dir, folder::GROUP)?,
    };
    let _locks = [Lock::take(&config.runtime_dir)?, Lock::take(&config.state_dir)?];
    // Before the sockets: who can connect finds it.
    let token = TokenHolder::make(&config.runtime_dir)?;
    let mut sockets = Sockets::open(&config, inherited)?;
    sockets.keep(&notify);
    let (history, history_file) = History::open(&config.state_dir)?;
    let disk = Disk::start(config.state_dir.clone(), history_file)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listeners = %sockets.describe().iter().map(|l| l.address.as_str()).collect::<Vec<_>>().join(" "),
        method = ?source.method,
        "supervising"
    );
    let accepted = (config, launch);
    let prepared = Prepared { sockets, history, disk, folders, token, notify };
    let (event_loop, first) = EventLoop::new(clock, source, accepted, prepared)?;
    Ok(event_loop.run(first)?)
}

enum Invocation {
    Run { config: Option<PathBuf> },
    Text(String),
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, lexopt::Error> {
    use lexopt::prelude::{Long, Short};
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut config = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config") => config = Some(parser.value()?.into()),
            Short('h') | Long("help") => return Ok(Invocation::Text(HELP.to_owned())),
            Short('V') | Long("version") => {
                let version = format!("evonic-supervisor {}\n", env!("CARGO_PKG_VERSION"));
                return Ok(Invocation::Text(version));
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Invocation::Run { config })
}

fn open_notify() -> Result<Notify, KernelError> {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let watchdog = number("WATCHDOG_USEC")
        .filter(|_| number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id())))
        .map(Duration::from_micros);
    Notify::open(env::var_os("NOTIFY_SOCKET").as_deref(), watchdog)
        .map_err(KernelError::new("reach systemd at $NOTIFY_SOCKET"))
}

/// Blocks the signals that a descriptor reads, and adopts orphans of workers.
fn prepare_process() -> Result<(), KernelError> {
    signals().thread_block().map_err(KernelError::new("block signals"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(KernelError::new("become a subreaper"))
}

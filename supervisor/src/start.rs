//! From the command line to the running event loop.

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use evonic_process::{
    cause,
    folder::{self, Folder, FolderError},
};
use evonic_shared::{config::LoadError, exit::ExitCode};
use rustix::fs::Mode;

use crate::{
    clients::TokenHolder,
    clock::Clock,
    config_source::{ConfigSource, ConfigSourceError, worker_beside},
    disk::{Disk, FileError},
    event_loop::{EventLoop, Prepared},
    fd_watch::Method,
    history::History,
    integrity::Folders,
    lock::{Lock, LockError},
    log,
    notify::Notify,
    sockets::{Inherited, SocketError, Sockets},
    sys::{self, KernelError, ParentDeath},
    terminal::Terminal,
};

const HELP: &str = "\
Owns evonic's listening sockets and one worker: watches, replaces, explains.

Usage: evonic-supervisor [--config FILE]

Options:
      --config FILE  read this configuration instead of $EVONIC_CONFIG or
                     /etc/evonic/evonic.toml
  -h, --help         print this help
  -V, --version      print the version

SIGTERM and SIGINT stop the worker and the supervisor; a second one cuts short what the worker has
left to do, and so does SIGQUIT. SIGHUP reads the configuration again; from a terminal that is closed
it stops both.
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
    /// By what the system says, else by the part that fails.
    fn exit_code(&self) -> ExitCode {
        cause::exit_code(self).unwrap_or_else(|| self.of_part())
    }

    const fn of_part(&self) -> ExitCode {
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
    let code =
        prepared.map_err(StartError::from).and_then(|terminal| supervise(arguments, terminal));
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

fn supervise(
    arguments: impl IntoIterator<Item = OsString>,
    terminal: Terminal,
) -> Result<ExitCode, StartError> {
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
    let notify = open_notify();
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
    let runtime_lock = Lock::take(&config.runtime_dir)?;
    // One lock where both are the same folder, whatever it is called.
    let is_one = folders.state.is_same(&folders.runtime);
    let state_lock = (!is_one).then(|| Lock::take(&config.state_dir)).transpose()?;
    let _locks = (runtime_lock, state_lock);
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
    let prepared = Prepared { sockets, history, disk, folders, token, notify, terminal };
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

/// The connection to systemd. An address where nobody listens was left by an outer service, and is no
/// reason not to start.
fn open_notify() -> Notify {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let watchdog = number("WATCHDOG_USEC")
        .filter(|_| number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id())))
        .map(Duration::from_micros);
    let address = env::var_os("NOTIFY_SOCKET");
    Notify::open(address.as_deref(), watchdog).unwrap_or_else(|error| {
        let address = address.unwrap_or_default();
        tracing::warn!(
            address = %address.display(),
            %error,
            "nobody listens at $NOTIFY_SOCKET; going on without systemd"
        );
        Notify::default()
    })
}

/// Blocks the signals that a descriptor reads, and adopts orphans of workers.
fn prepare_process() -> Result<Terminal, KernelError> {
    let terminal = Terminal::at_start();
    sys::messages().thread_block().map_err(KernelError::new("block signals"))?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(KernelError::new("become a subreaper"))?;
    Ok(terminal)
}

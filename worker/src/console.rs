//! The operator's command line.
//!
//! | Module | Owns |
//! |---|---|
//! | `command` | subcommands, options, help |
//! | `terminal`, `output` | the terminal's size and colours; what commands write |
//! | `input` | text of arguments, files and standard input |
//! | `table`, `format` | rows and columns; numbers, times and sizes as text |
//! | `supervisor` | the client of the status socket |
//! | `api`, `server` | the client of the worker's API; which worker, and with which key |
//! | `doctor` | the checks of an installation |
//! | `configuration`, `status`, `history`, `census`, `restart` | the supervisor's side |
//! | `agents`, `sessions`, `keys`, `workplaces`, `audit`, `chat`, `cp`, `progress` | the worker's side |
//!
//! # Invariants
//! - What is rendered is a pure function of values, width and colour.
//! - No command but `worker` and `backup` opens the database: the console is a client like any
//!   other.

mod agents;
mod api;
mod audit;
mod census;
mod chat;
mod command;
mod configuration;
mod cp;
mod doctor;
mod error;
mod format;
mod history;
mod input;
mod keys;
mod manual;
mod output;
mod progress;
mod restart;
mod runtime;
mod server;
mod sessions;
mod status;
mod supervisor;
mod table;
mod terminal;
mod workplaces;

use std::{io, path::Path, process};

use clap::{CommandFactory, Parser};
use evonic_shared::{
    config::{self, Config, Environment, LoadError, Resolved},
    exit::ExitCode,
};

use api::Api;
use command::{Arguments, Command, ServerOptions};
use error::{ConsoleError, Result};
use output::Console;
use runtime::on_runtime;
use server::Server;
use terminal::Terminal;

/// Runs the command line of this process to its end.
#[must_use]
pub fn main() -> process::ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
            // The terminal may be gone.
            let _ = error.print();
            return code.into();
        }
    };
    let mut out = io::stdout();
    let mut err = io::stderr();
    let console = Console { out: &mut out, err: &mut err, terminal: Terminal::of_process() };
    run(arguments, console).into()
}

fn run(arguments: Arguments, mut console: Console<'_>) -> ExitCode {
    let result = match arguments.command {
        None => console.print(command::FIRST_HELP),
        Some(command) => {
            dispatch(command, arguments.config.as_deref(), &arguments.server, &mut console)
        }
    };
    let Err(error) = result else { return ExitCode::Ok };
    if !error.is_silent() {
        let report = error.report(console.terminal.err);
        console.say(&report);
    }
    error.exit_code()
}

fn dispatch(
    command: Command,
    file: Option<&Path>,
    server: &ServerOptions,
    console: &mut Console<'_>,
) -> Result {
    let config = || Ok::<_, ConsoleError>(load(file)?.config);
    let api = || Server::resolve(server, &config()?).map(Api::new);
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "evonic", &mut script);
            console.print(&String::from_utf8_lossy(&script))
        }
        Command::Man { command } => manual::run(&command, console),
        Command::Config(options) => configuration::run(&options, load(file), console),
        Command::Doctor(options) => on_runtime(doctor::run(&options, load(file), console)),
        Command::Worker => ended(crate::lifecycle::run(load_for_worker(file)?.config)),
        Command::Status(options) => status::run(&options, &config()?, console),
        Command::History(options) => history::run(&options, &config()?, console),
        Command::Census(options) => census::run(&options, &config()?, console),
        Command::Backup { file } => back_up(&file, &config()?, console),
        Command::Restart(options) => restart::run(&options, &config()?, console),
        Command::Agent(command) => on_runtime(agents::run(command, &api()?, console)),
        Command::Key(command) => on_runtime(keys::run(command, &api()?, console)),
        Command::Session(command) => on_runtime(sessions::run(command, &api()?, console)),
        Command::Audit(options) => on_runtime(audit::run(&options, &api()?, console)),
        Command::Workplace(command) => on_runtime(workplaces::run(command, &api()?, console)),
        Command::Sandbox(command) => on_runtime(workplaces::sandbox(command, &api()?, console)),
        Command::Cp(options) => on_runtime(cp::run(&options, &api()?, console)),
        Command::Chat(options) => ended(on_runtime(chat::run(&options, &api()?, console))?),
    }
}

/// The result of a command that ended with this code.
fn ended(code: ExitCode) -> Result {
    if code == ExitCode::Ok { Ok(()) } else { Err(ConsoleError::Reported(code)) }
}

/// `evonic backup`.
fn back_up(file: &Path, config: &Config, console: &mut Console<'_>) -> Result<()> {
    let database = config.state_dir.join("evonic.db");
    let bytes = evonic_store::back_up(&database, file).map_err(ConsoleError::Backup)?;
    console.print(&format!("{} ({})\n", file.display(), format::bytes(bytes)))
}

fn load(file: Option<&Path>) -> Result<Resolved, LoadError> {
    config::load(file, &environment(), |path| std::fs::read_to_string(path))
}

/// The configuration that the supervisor accepted; the file's, where none is handed over.
fn load_for_worker(file: Option<&Path>) -> Result<Resolved, LoadError> {
    let name = || file.unwrap_or(Path::new("(handed over)"));
    let text = crate::lifecycle::handed_configuration();
    match text.map_err(|source| LoadError::Read { path: name().to_owned(), source })? {
        // The supervisor names the file where it found one.
        Some(text) => Ok(Config::resolve(file.map(|file| (file, text.as_str())), &environment())?),
        None => load(file),
    }
}

fn environment() -> Environment {
    let uid = rustix::process::geteuid().as_raw();
    // Without a current folder relative paths stay relative, and fail where they are used.
    let folder = std::env::current_dir().unwrap_or_default();
    Environment::new(std::env::vars_os(), uid, folder)
}

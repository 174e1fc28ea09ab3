//! The operator's command line.
//!
//! | Module | Owns |
//! |---|---|
//! | `command` | subcommands, options, help |
//! | `text`, `output` | text that is safe for a terminal; the one place that writes |
//! | `terminal` | the terminal's size and colours |
//! | `input` | text of arguments, files and standard input |
//! | `table`, `format` | rows and columns; numbers, times and sizes as text |
//! | `supervisor` | the client of the status socket |
//! | `api`, `server` | the client of the worker's API; which worker, and with which key |
//! | `doctor` | the checks of an installation |
//! | `configuration`, `status`, `history`, `census`, `restart` | the supervisor's side |
//! | `transfer`, `restore` | sessions out and in; a copy in the place of the database |
//! | `agents`, `sessions`, `keys`, `workplaces`, `models`, `audit`, `usage_sums`, `budgets`, `chat`, `cp`, `progress` | the worker's side |
//!
//! # Invariants
//! - What is rendered is a pure function of values and width.
//! - Nothing is written but by `output`, and nothing to a terminal but escaped.
//! - No command but `worker`, `backup` and `restore` opens the database: the console is a client like any
//!   other.

mod agents;
mod api;
mod audit;
mod budgets;
mod census;
mod chat;
mod command;
mod compaction;
mod configuration;
mod cp;
mod doctor;
mod error;
mod format;
mod history;
mod input;
mod keys;
mod manual;
mod models;
mod output;
mod progress;
mod restart;
mod restore;
mod runtime;
mod server;
mod sessions;
mod status;
mod supervisor;
mod table;
mod terminal;
mod text;
mod transfer;
mod usage;
mod usage_sums;
mod workplaces;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{self, PanicHookInfo},
    path::Path,
    process, thread,
};

use clap::{CommandFactory, Parser};
use evonic_shared::{
    config::{self, Config, Environment, LoadError, Resolved},
    error_chain::ErrorChain,
    exit::ExitCode,
};

use api::Api;
use command::{Arguments, Command, ServerOptions};
use error::{ConsoleError, Result};
use output::Console;
use runtime::on_runtime;
use server::Server;
use text::Text;

/// Runs the command line of this process to its end.
#[must_use]
pub fn main() -> process::ExitCode {
    panic::set_hook(Box::new(report_panic));
    let mut console = Console::of_process();
    match Arguments::try_parse() {
        Ok(arguments) => run(arguments, console).into(),
        Err(error) => usage::report(error, &mut console).into(),
    }
}

/// Says what a defect ended: as Rust does, but escaped.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let mut console = Console::of_process();
    let thread = thread::current();
    let whole = format!("thread {:?} {panic}", thread.name().unwrap_or("<unnamed>"));
    console.say(Text::quoted(whole, 0));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        console.say_text(&Text::prose(&backtrace.to_string()));
    }
}

/// Every command, by the words that name it: `["agent", "add"]`.
#[must_use]
pub fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
        for command in command.get_subcommands() {
            let path = [path, &[command.get_name().to_owned()]].concat();
            match command.has_subcommands() {
                true => below(command, &path, found),
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    below(&Arguments::command(), &[], &mut found);
    found
}

fn run(arguments: Arguments, mut console: Console<'_>) -> ExitCode {
    let result = match arguments.command {
        None => console.print(&Text::prose(command::FIRST_HELP)),
        Some(command) => {
            dispatch(command, arguments.config.as_deref(), &arguments.server, &mut console)
        }
    };
    let Err(error) = result else { return ExitCode::Ok };
    if !error.is_silent() {
        console.say_text(&error.report());
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
    let api =
        |console: &mut Console<'_>| Server::resolve(server, &folders(file, console)).map(Api::new);
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "evonic", &mut script);
            console.print(&Text::prose(&String::from_utf8_lossy(&script)))
        }
        Command::Man { command } => manual::run(&command, console),
        Command::Config(options) => configuration::run(&options, load(file), console),
        Command::Doctor(options) => {
            let (despite_errors, _) = despite_errors(file);
            on_runtime(doctor::run(&options, load(file), &despite_errors, console))
        }
        Command::Worker => match load_for_worker(file) {
            Ok(resolved) => ended(crate::lifecycle::run(resolved.config)),
            Err(error) => {
                let reason = ErrorChain(&error).to_string().replace('\n', "; ");
                crate::lifecycle::refuse(&reason);
                Err(error.into())
            }
        },
        Command::Status(options) => status::run(&options, &folders(file, console), console),
        Command::History(options) => history::run(&options, &folders(file, console), console),
        Command::Census(options) => census::run(&options, &folders(file, console), console),
        Command::Backup { file } => back_up(&file, &config()?, console),
        Command::Restore { file, force } => restore::run(&file, force, &config()?, console),
        Command::Restart(options) => restart::run(&options, &folders(file, console), console),
        Command::Agent(command) => on_runtime(agents::run(command, &api(console)?, console)),
        Command::Key(command) => on_runtime(keys::run(command, &api(console)?, console)),
        Command::Session(command) => on_runtime(sessions::run(command, &api(console)?, console)),
        Command::Usage(options) => on_runtime(usage_sums::run(&options, &api(console)?, console)),
        Command::Budget(command) => on_runtime(budgets::run(command, &api(console)?, console)),
        Command::Audit(options) => on_runtime(audit::run(&options, &api(console)?, console)),
        Command::Model(command) => on_runtime(models::run(command, &api(console)?, console)),
        Command::Workplace(command) => {
            on_runtime(workplaces::run(command, &api(console)?, console))
        }
        Command::Sandbox(command) => {
            on_runtime(workplaces::sandbox(command, &api(console)?, console))
        }
        Command::Cp(options) => on_runtime(cp::run(&options, &api(console)?, console)),
        Command::Chat(options) => ended(on_runtime(chat::run(&options, &api(console)?, console))?),
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
    console.line(format!("{} ({})", file.display(), format::bytes(bytes)))
}

/// The configuration, for commands that need only the folders in it: what is wrong with it is said,
/// and the service that runs has another one by now anyway.
fn folders(file: Option<&Path>, console: &mut Console<'_>) -> Config {
    let (config, fault) = despite_errors(file);
    if let Some(fault) = fault {
        console.say_text(&configuration::warning(&fault, &config.runtime_dir));
    }
    config
}

fn despite_errors(file: Option<&Path>) -> (Config, Option<LoadError>) {
    config::load_despite_errors(file, &environment(), |path| std::fs::read(path))
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

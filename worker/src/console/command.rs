//! Subcommands, options, help.

mod agents;
mod keys;
mod models;
pub(super) mod settings;
mod spending;
mod workplaces;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(super) use self::agents::{AgentChanges, AgentCommand};
pub(super) use self::keys::KeyCommand;
pub(super) use self::models::ModelCommand;
pub(super) use self::spending::{BudgetCommand, Limit, NewLimit, Of, UsageOptions};
pub(super) use self::workplaces::{SandboxCommand, WorkplaceCommand};

/// What `evonic` alone prints.
pub(super) const FIRST_HELP: &str = "\
evonic serves AI agents on this machine, and replaces its worker before a leak can hurt it.

Try this first:
  evonic status                     is it running, and is it well?
  evonic chat runbook '$ uname -a'  let the built-in agent run a command

Then:
  evonic agent add NAME             make an agent of your own
  evonic config                     every setting, and where it comes from
  evonic --help                     every command
";

/// What every command takes.
const GLOBAL: &str = "Global options";

/// A self-hosted agent server that cannot leak itself to death
///
/// `evonic-supervisor` runs in the background: it owns the listening sockets and one worker, watches
/// the worker's descriptors and health, and replaces it without refusing a connection. These
/// commands show what it does, and talk with agents.
#[derive(Debug, Parser)]
#[command(name = "evonic", version, propagate_version = true, max_term_width = 100)]
pub(super) struct Arguments {
    /// Read this configuration instead of $EVONIC_CONFIG or /etc/evonic/evonic.toml
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub(super) config: Option<PathBuf>,

    #[command(flatten)]
    pub(super) server: ServerOptions,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// The worker that commands talk to.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ServerOptions {
    /// Speak to the worker at https://HOST or, on this machine, http://HOST:PORT (or
    /// $EVONIC_SERVER) instead of by its Unix socket
    #[arg(long, global = true, value_name = "URL", help_heading = GLOBAL)]
    pub(super) server: Option<String>,
    /// The key for it; `@FILE` reads a file; else $EVONIC_KEY, or the service's own admin.key
    #[arg(long, global = true, value_name = "KEY", help_heading = GLOBAL)]
    pub(super) key: Option<String>,
    /// Trust the authorities of this PEM file for https:// instead of the system's
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what the supervisor and its worker are doing
    ///
    /// The bar shows the worker's open descriptors against the threshold at which it is replaced:
    /// those it accounts for, those it had from the start, and those that nobody accounts for.
    ///
    /// Ends with 0 when the service is well, 1 when it runs and is not (it starts or stops, workers
    /// end one after the other, or a part is late), 3 when it does not run, and 64 or above when that
    /// cannot be told.
    Status(StatusOptions),
    /// Talk with an agent
    ///
    /// Shows the agent's text, tool calls and tool output as they come. The turn goes on in the
    /// worker when this command is killed, and this command goes on when the worker is replaced;
    /// Ctrl-C cancels the turn. Ends with 0 when the (last) turn completed, 2 when it failed and 3
    /// when it was cancelled.
    Chat(ChatOptions),
    /// Make, list, show, change and remove agents
    #[command(subcommand)]
    Agent(AgentCommand),
    /// List, show, export, import and remove sessions: conversations with agents
    #[command(subcommand)]
    Session(SessionCommand),
    /// Make, list, show, check, change and remove workplaces: where agents' tools act
    #[command(subcommand)]
    Workplace(WorkplaceCommand),
    /// List models and check them: what answers agents' turns
    #[command(subcommand)]
    Model(ModelCommand),
    /// Copy files and folders between workplaces
    ///
    /// Goes on by itself after broken connections and when the worker is replaced, and when the
    /// same command is given again. What was copied is compared by its hash before it gets its
    /// name; until then it is `.NAME.ID.part` beside it. Modes of files are kept; links are not
    /// copied. Ctrl-C stops. Ends with 0 when everything is there, 1 when it failed and 3 when it
    /// was stopped.
    Cp(CopyOptions),
    /// Make the image that containers of agents are made from
    #[command(subcommand)]
    Sandbox(SandboxCommand),
    /// Make, list and revoke keys: who may do what over TCP
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show what models took, in tokens and money
    ///
    /// Sums of what the models' endpoints counted, by day, agent, key, session or model; costs by the
    /// prices in the configuration. A call that was cut before its reply was stored is in no sum.
    Usage(UsageOptions),
    /// Make, list, show, change and remove budgets: how much may be spent
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// Show who changed what, and when
    ///
    /// Every change that was asked for over HTTP, also by these commands: agents, sessions,
    /// messages, workplaces, keys, copies. What is in them is not shown. Replacements of the worker
    /// stand in `evonic history`.
    Audit(AuditOptions),
    /// Show the last replacements of the worker, and why
    History(HistoryOptions),
    /// Show what the worker's open descriptors are, counted now
    Census(OutputOptions),
    /// Copy the database into a new file, also while the service runs
    ///
    /// The copy is one moment's, compacted, and readable for its owner only: it holds every session.
    /// Not in it: files of workplaces, the configuration, and secrets. Run it as root or as the
    /// service's user.
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Put a copy in the place of the database, while the service is stopped
    ///
    /// The copy is checked whole first; one that is older than the database, or of a later version of
    /// evonic, is refused. The former database is moved aside, under a name that is printed. Run it as
    /// root or as the service's user.
    Restore {
        /// The copy, as `evonic backup` made it
        file: PathBuf,
        /// Also in the place of a newer database
        #[arg(long)]
        force: bool,
    },
    /// Replace the worker by a fresh one, without a gap
    ///
    /// The new worker starts beside the old one, which then finishes what it is doing. Turns of
    /// agents go on in the new one.
    Restart(RestartOptions),
    /// Check this installation: what runs, what is protected, and what to do about the rest
    ///
    /// Looks at the configuration, folders, limits, supervisor and worker, at what confines the
    /// commands of agents on this machine, and at what workplaces need. Changes nothing. Ends with
    /// 0 when nothing failed.
    Doctor(OutputOptions),
    /// Show every setting and where it comes from
    Config(ConfigOptions),
    /// Print shell completions: evonic completions bash > /etc/bash_completion.d/evonic
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of evonic, or of one command
    Man {
        /// The command, such as `chat` or `agent add`
        command: Vec<String>,
    },
    /// Serve HTTP and run agents; started by evonic-supervisor
    Worker,
}

/// Options of every command that prints state.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct OutputOptions {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct StatusOptions {
    #[command(flatten)]
    pub(super) output: OutputOptions,
    /// Go on showing it, until Ctrl-C
    #[arg(long, short)]
    pub(super) watch: bool,
    /// Print nothing: the exit code tells
    #[arg(long, short, conflicts_with_all = ["json", "watch"])]
    pub(super) quiet: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct AuditOptions {
    #[command(flatten)]
    pub(super) output: OutputOptions,
    /// At most this many, newest first
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(super) limit: usize,
    /// Only what this one changed: an identifier of a key, or uid:N
    #[arg(long, value_name = "ACTOR")]
    pub(super) actor: Option<String>,
    /// Only what was done to this: an identifier or a name
    #[arg(long, value_name = "TARGET")]
    pub(super) target: Option<String>,
    /// Only this, such as agent.create
    #[arg(long, value_name = "ACTION")]
    pub(super) action: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct HistoryOptions {
    #[command(flatten)]
    pub(super) output: OutputOptions,
    /// At most this many, newest first
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub(super) limit: u32,
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct RestartOptions {
    #[command(flatten)]
    pub(super) output: OutputOptions,
    /// Read the configuration again first; refused when something is wrong with it
    #[arg(long)]
    pub(super) reload: bool,
    /// Do not wait until the new worker is ready
    #[arg(long)]
    pub(super) no_wait: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConfigOptions {
    #[command(flatten)]
    pub(super) output: OutputOptions,
    /// Only say whether the configuration is sound; print everything that is wrong with it
    #[arg(long)]
    pub(super) check: bool,
    /// Print every key with its meaning, as docs/configuration.md has it
    #[arg(long, conflicts_with_all = ["check", "json"])]
    pub(super) markdown: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct ChatOptions {
    /// Name or id of the agent: `runbook` is always there
    pub(super) agent: String,
    /// What to say; `-`, or nothing when input is no terminal, reads standard input
    pub(super) message: Option<String>,
    /// Go on with this session instead of a new one
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
    /// Attach a file to the first message; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(super) attach: Vec<PathBuf>,
    /// Print events as JSON, one a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(super) struct CopyOptions {
    /// What is copied; `local` is the service's own machine
    #[arg(value_name = "WORKPLACE:PATH")]
    pub(super) from: String,
    /// Its new path, or the folder below which it goes
    #[arg(value_name = "WORKPLACE:PATH")]
    pub(super) to: String,
    /// Copy a folder with everything below it
    #[arg(long, short)]
    pub(super) recursive: bool,
    /// The session whose container or folder it is, where each session has its own
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
    /// Print events as JSON, one a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List sessions, newest first
    List {
        /// At most this many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Show a session's messages
    Show {
        /// Its id
        session: String,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Summarise all but the last turn of a session: its model is sent the summary from then on.
    /// What was said stays stored
    Compact {
        /// Its id
        session: String,
    },
    /// Write sessions as lines of JSON, with everything in them
    ///
    /// A session by its id, or with `--agent` or `--all` many of them. Without FILE they go to
    /// standard output. docs/retention.md has the form.
    #[command(override_usage = "evonic session export [OPTIONS] <SESSION> [FILE]\n       \
                                evonic session export [OPTIONS] <--agent <NAME>|--all> [FILE]")]
    Export {
        /// The session, and the new file
        #[arg(value_name = "SESSION|FILE", num_args = 0..=2)]
        what: Vec<String>,
        /// Every session of this agent
        #[arg(long, value_name = "NAME", conflicts_with = "all")]
        agent: Option<String>,
        /// Every session
        #[arg(long)]
        all: bool,
    },
    /// Make sessions of what another service, or this one, exported
    ///
    /// A session is there once it is whole. What is wrong is told with its line; the sessions before it
    /// stay. A turn that was queued or running is cancelled.
    Import {
        /// What `evonic session export` wrote; `-` reads standard input
        file: String,
        /// The agent that gets the sessions; that of the same name when not given
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Pass over sessions that are there already
        #[arg(long)]
        skip: bool,
        /// Give sessions, turns and messages new ids
        #[arg(long, conflicts_with = "skip")]
        new_ids: bool,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Remove a session with everything in it
    Rm {
        /// Its id
        session: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_reads_well() {
        let mut command = Arguments::command().term_width(100);
        command.build();
        insta::assert_snapshot!("help", command.render_long_help());
        for name in ["chat", "cp", "status"] {
            let help = command.find_subcommand_mut(name).expect("it is there").render_long_help();
            insta::assert_snapshot!(format!("help_{name}"), help);
        }
        let agent = command.find_subcommand_mut("agent").expect("it is there");
        for name in ["add", "set"] {
            let help = agent.find_subcommand_mut(name).expect("it is there").render_long_help();
            insta::assert_snapshot!(format!("help_agent_{name}"), help);
        }
        let workplace = command.find_subcommand_mut("workplace").expect("it is there");
        for name in ["add", "set", "check"] {
            let help = workplace.find_subcommand_mut(name).expect("it is there").render_long_help();
            insta::assert_snapshot!(format!("help_workplace_{name}"), help);
        }
    }
}

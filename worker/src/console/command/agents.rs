//! Subcommands of `agent`.

use clap::{Args, Subcommand};

use super::OutputOptions;

#[derive(Clone, Debug, Subcommand)]
pub(in crate::console) enum AgentCommand {
    /// Make an agent
    Add {
        /// Its name: a-z, 0-9 and `-`
        name: String,
        /// The model that answers: `runbook`, or a name of `[models]` in the configuration
        #[arg(long, short, default_value = "runbook")]
        model: String,
        /// What the model is told before the conversation; `@FILE` reads a file, `-` standard input
        #[arg(long, short, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
        instructions: String,
        /// Tools it may call, separated by commas, '' for none; every tool when not given
        #[arg(long, short, value_name = "NAMES", value_delimiter = ',')]
        tools: Option<Vec<String>>,
        /// The workplace that its tools act in
        #[arg(long, short, value_name = "NAME", default_value = "local")]
        workplace: String,
        /// Another workplace that it may copy from and to; may be given several times
        #[arg(long, value_name = "NAME")]
        other_workplace: Vec<String>,
        /// How long its sessions are kept: `forever`, an age, a number of sessions or both
        /// (`30days,100`); as `[retention]` says when not given
        #[arg(long, value_name = "AGE,COUNT")]
        retention: Option<String>,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// List agents
    List(OutputOptions),
    /// Show an agent
    Show {
        /// Its name or id
        agent: String,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Change an agent: evonic agent set deployer --model big --tools bash,read_file
    ///
    /// What is not given stays. Turns that run go on with what they have; the next ones take the
    /// change.
    Set {
        /// Its name or id
        agent: String,
        #[command(flatten)]
        changes: AgentChanges,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Remove an agent
    Rm {
        /// Its name or id
        agent: String,
    },
}

/// What `agent set` changes.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = true)]
pub(in crate::console) struct AgentChanges {
    /// A new name: a-z, 0-9 and `-`
    #[arg(long)]
    pub(in crate::console) name: Option<String>,
    /// The model that answers: `runbook`, or a name of `[models]` in the configuration
    #[arg(long, short)]
    pub(in crate::console) model: Option<String>,
    /// What the model is told before the conversation; `@FILE` reads a file, `-` standard input
    #[arg(long, short, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::console) instructions: Option<String>,
    /// Tools it may call, separated by commas, '' for none
    #[arg(long, short, value_name = "NAMES", value_delimiter = ',')]
    pub(in crate::console) tools: Option<Vec<String>>,
    /// Let it call every tool
    #[arg(long, conflicts_with = "tools")]
    pub(in crate::console) every_tool: bool,
    /// The workplace that its tools act in
    #[arg(long, short, value_name = "NAME")]
    pub(in crate::console) workplace: Option<String>,
    /// The other workplaces that it may copy from and to, in place of those it had, '' for none;
    /// may be given several times
    #[arg(long, value_name = "NAME")]
    pub(in crate::console) other_workplace: Option<Vec<String>>,
    /// How long its sessions are kept: `forever`, an age, a number of sessions or both
    /// (`30days,100`); `general` as `[retention]` says
    #[arg(long, value_name = "AGE,COUNT")]
    pub(in crate::console) retention: Option<String>,
}

//! Subcommands of `workplace` and `sandbox`.

use clap::{Subcommand, ValueEnum};

use super::{OutputOptions, settings::SettingsOptions};

#[derive(Clone, Debug, Subcommand)]
pub(in crate::console) enum WorkplaceCommand {
    /// Make a workplace
    ///
    /// A secret is never stored: what is given is where it is, on the machine of the service.
    Add {
        /// Its name: a-z, 0-9 and `-`
        name: String,
        /// What it is
        #[arg(long, short)]
        kind: Kind,
        /// Settings as a JSON object; `@FILE` reads a file, `-` standard input. Options come on top
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
        #[command(flatten)]
        options: SettingsOptions,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// List workplaces
    List(OutputOptions),
    /// Show a workplace's settings
    Show {
        /// Its name or id
        workplace: String,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Change a workplace: evonic workplace set box port=2222 user=
    ///
    /// KEY is a setting as `show` names it, or `name`. Several paths or words are separated by
    /// commas. Without a value the setting goes back to its default. Turns that run go on with what they have; the next ones take the change.
    Set {
        /// Its name or id
        workplace: String,
        /// What to change
        #[arg(value_name = "KEY=VALUE", required = true)]
        changes: Vec<String>,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Try every step of working there, and say what to do about what fails
    ///
    /// Ends with 0 when no step failed, else with 1. With --json each step is a line.
    Check {
        /// Its name or id
        workplace: String,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Remove a workplace that no agent names; what is on its machine stays
    Rm {
        /// Its name or id
        workplace: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::console) enum SandboxCommand {
    /// Build the default image of containers, and show what the engine says
    Build {
        /// On the engine of this workplace instead of the configured one
        #[arg(long, short, value_name = "NAME")]
        workplace: Option<String>,
        #[command(flatten)]
        output: OutputOptions,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::console) enum Kind {
    /// A folder of this machine
    Local,
    /// Another machine
    Ssh,
    /// A container for each session
    Docker,
}

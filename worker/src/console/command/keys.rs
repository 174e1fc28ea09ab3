//! Subcommands of `key`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::OutputOptions;

#[derive(Clone, Debug, Subcommand)]
pub(in crate::console) enum KeyCommand {
    /// Make a key, and print it: the only time that it is shown
    Add {
        /// Its name: a-z, 0-9 and `-`
        name: String,
        /// What it may do; each scope may do what the ones before it may
        #[arg(long, short)]
        scope: Scope,
        /// After how long it ends to be valid, such as `90d`; never when not given
        #[arg(long, short, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
        /// An agent that it may see and use, and no others; may be given several times
        #[arg(long, short, value_name = "NAME")]
        agent: Vec<String>,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// List keys: what they may do, and when they were used
    List(OutputOptions),
    /// Revoke a key for good
    Revoke {
        /// Its name or id
        #[arg(value_name = "KEY")]
        which: String,
    },
}

/// Scopes, the narrowest first.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::console) enum Scope {
    /// See everything but keys
    Read,
    /// Talk with agents
    Run,
    /// Change agents; check workplaces, copy files
    Operate,
    /// Everything: also workplaces and keys
    Admin,
}

impl From<Scope> for evonic_domain::Scope {
    fn from(scope: Scope) -> Self {
        // In the same order.
        Self::ALL[scope as usize]
    }
}

//! How state is printed.

use clap::Args;

/// Options of a command that prints state.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::console) struct OutputOptions {
    /// Print JSON
    #[arg(long)]
    pub(in crate::console) json: bool,
}

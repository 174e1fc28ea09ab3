//! Options of every command that prints state.

use clap::Args;

#[derive(Clone, Debug, Default, Args)]
pub(in crate::console) struct OutputOptions {
    /// Print JSON
    #[arg(long)]
    pub(in crate::console) json: bool,
}

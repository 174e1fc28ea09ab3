//! Subcommands of `model`.

use clap::Subcommand;

use super::OutputOptions;

#[derive(Clone, Debug, Subcommand)]
pub(in crate::console) enum ModelCommand {
    /// List models: those of the configuration, and `runbook`
    List(OutputOptions),
    /// Try what a turn needs of a model, and say what to do about what fails
    ///
    /// The service asks it, with its own key and network, for one reply, one tool call and its
    /// window. Ends with 0 when turns will work, else with 1. With --json each finding is a line.
    Check {
        /// Its name in the configuration
        name: String,
        #[command(flatten)]
        output: OutputOptions,
    },
}

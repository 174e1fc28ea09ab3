//! What turns are run with.

use evonic_model::Models;
use evonic_shared::config;
use evonic_store::Store;
use evonic_tools::Toolboxes;

/// The other crates' parts that turns use. Shared by cloning.
#[derive(Clone, Debug)]
pub struct AgentDeps {
    /// The database.
    pub store: Store,
    /// The models.
    pub models: Models,
    /// The tools.
    pub tools: Toolboxes,
    /// `[agents]`.
    pub settings: config::Agents,
}

//! `evonic backup`: a copy of the database.

use std::path::Path;

use evonic_shared::config::Config;

use super::{Console, error::ConsoleError, figures};

/// Runs the command.
pub(super) fn run(
    file: &Path,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<(), ConsoleError> {
    let database = config.state_dir.join("evonic.db");
    let bytes = evonic_store::back_up(&database, file).map_err(ConsoleError::Backup)?;
    console.print(&format!("{} ({})\n", file.display(), figures::bytes(bytes)))
}

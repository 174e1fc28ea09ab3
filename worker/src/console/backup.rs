//! `evonic backup`: a copy of the database.

use std::path::Path;

use evonic_shared::config::Config;

use super::{error::ConsoleError, format, output::Console};

/// Runs the command.
pub(super) fn run(
    file: &Path,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<(), ConsoleError> {
    let database = config.state_dir.join("evonic.db");
    let bytes = evonic_store::back_up(&database, file).map_err(ConsoleError::Backup)?;
    console.print(&format!("{} ({})\n", file.display(), format::bytes(bytes)))
}

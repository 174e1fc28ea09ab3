//! `evonic man`.

use clap::CommandFactory;

use super::{
    command::Arguments,
    error::{ConsoleError, Result},
    output::Console,
    text::Text,
};

/// Prints a manual page.
pub(super) fn run(path: &[String], console: &mut Console<'_>) -> Result {
    let mut command = Arguments::command();
    // Building gives each subcommand its whole name and the global options.
    command.build();
    for name in path.iter().flat_map(|argument| argument.split_whitespace()) {
        command = command
            .find_subcommand(name)
            .cloned()
            .ok_or_else(|| ConsoleError::Usage(format!("there is no command `{name}`")))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page).map_err(ConsoleError::Output)?;
    console.print(&Text::prose(&String::from_utf8_lossy(&page)))
}

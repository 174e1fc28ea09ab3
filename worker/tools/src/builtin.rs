//! The tools that come with evonic: a file each, and a line below.

mod bash;
mod command;
mod copy;
mod edit_file;
mod inspect;
mod list_files;
mod python;
mod read_file;
mod replacement;
mod search_files;
mod write_file;

use std::sync::Arc;

use evonic_shared::config;

use crate::Tool;

/// In the order in which a model sees them.
pub(crate) fn tools(settings: &config::Tools) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(bash::Bash::new(settings)),
        Arc::new(python::Python::new(settings)),
        Arc::new(read_file::ReadFile::new(settings)),
        Arc::new(write_file::WriteFile),
        Arc::new(edit_file::EditFile),
        Arc::new(list_files::ListFiles::new(settings)),
        Arc::new(search_files::SearchFiles::new(settings)),
        Arc::new(copy::Copy::new(settings)),
    ]
}

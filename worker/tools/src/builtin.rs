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

use std::{sync::Arc, time::Duration};

use evonic_shared::config;

use crate::Tool;

/// The operator's limits of a call.
#[derive(Clone, Copy, Debug)]
struct Limits {
    timeout: Duration,
    max_output_bytes: usize,
    max_read_bytes: u64,
}

/// In the order in which a model sees them.
pub(crate) fn tools(settings: &config::Tools) -> Vec<Arc<dyn Tool>> {
    let limits = Limits {
        timeout: settings.timeout,
        max_output_bytes: settings.max_output_bytes as usize,
        max_read_bytes: settings.max_read_bytes.into(),
    };
    vec![
        Arc::new(command::Runner::<bash::Arguments>::new(limits)),
        Arc::new(command::Runner::<python::Arguments>::new(limits)),
        Arc::new(read_file::ReadFile(limits)),
        Arc::new(write_file::WriteFile),
        Arc::new(edit_file::EditFile),
        Arc::new(list_files::ListFiles(limits)),
        Arc::new(search_files::SearchFiles(limits)),
        Arc::new(copy::Copy(limits)),
    ]
}

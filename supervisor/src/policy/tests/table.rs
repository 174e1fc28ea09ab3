//! Each row of the table in the module's documentation, and each rule below it.

mod crashes;
mod health;
mod leaks;
mod requests;
mod start;
mod stop;

use super::{super::*, Script, ms, s, script::brief, settings, settings_with};

fn counts(actions: &[Action], generation: u64) -> bool {
    actions.contains(&Action::Count { generation })
}

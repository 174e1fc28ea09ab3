//! What is copied.

use std::sync::Arc;

use evonic_backend::Backend;

/// A copy to make.
#[derive(Clone, Debug)]
pub struct Copying {
    pub from: Arc<dyn Backend>,
    /// A file, or a folder when `recursive`.
    pub from_path: String,
    pub to: Arc<dyn Backend>,
    /// Its new path; below it when it is a folder that is there.
    pub to_path: String,
    /// Whether a folder is copied, with everything below it.
    pub recursive: bool,
    /// Names the unfinished copies: the same copy, asked for again, continues them.
    pub id: String,
}

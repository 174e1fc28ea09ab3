//! What is searched for, and where.

use super::rules::Filter;

/// A search of one machine.
pub(super) struct Query<'q> {
    /// The expression as it was written.
    pub(super) pattern: &'q str,
    /// The expression and the glob, compiled.
    pub(super) filter: Filter,
    /// The workplace's folder.
    pub(super) root: &'q str,
    /// The file or folder that is searched.
    pub(super) path: &'q str,
    /// The most matches.
    pub(super) limit: u32,
}

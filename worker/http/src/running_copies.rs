//! The copies between workplaces that are under way.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::problem::Problem;

/// The most copies at once.
const AT_ONCE: usize = 4;

/// When to ask again for a copy that is still ending.
const SOON: Duration = Duration::from_secs(1);

/// When to ask again where there are too many.
const LATER: Duration = Duration::from_secs(5);

/// Shared by cloning.
#[derive(Clone, Debug, Default)]
pub(super) struct RunningCopies {
    ids: Arc<Mutex<HashSet<String>>>,
}

/// One copy among those under way, until it is dropped.
pub(super) struct RunningCopy {
    copies: RunningCopies,
    pub(super) id: String,
}

impl RunningCopies {
    /// # Errors
    /// 503 when there are too many, or the same one is under way.
    pub(super) fn enter(&self, id: String) -> Result<RunningCopy, Problem> {
        let mut ids = self.ids.lock();
        if ids.contains(&id) {
            let detail = "the same copy is under way, or its client left just now";
            return Err(Problem::unavailable("copy_under_way", detail, SOON));
        }
        if ids.len() == AT_ONCE {
            let detail = format!("{AT_ONCE} copies are under way already");
            return Err(Problem::unavailable("too_many_copies", detail, LATER));
        }
        ids.insert(id.clone());
        Ok(RunningCopy { copies: self.clone(), id })
    }
}

impl Drop for RunningCopy {
    fn drop(&mut self) {
        self.copies.ids.lock().remove(&self.id);
    }
}

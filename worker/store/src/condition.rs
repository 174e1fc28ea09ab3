//! What is wrong with the database, as the last reads and writes met it.
//!
//! Whoever meets a failure of the database itself notes it here, and whoever finds it well again
//! ends it. The log has one line a minute of it at most, and one when it is over; a heartbeat,
//! `/readyz`, `evonic status` and the metrics show the same report.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::store_report::{StoreReport, StoreState};
use parking_lot::Mutex;

use crate::{StoreError, column};

/// Between two lines of the log.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The condition of one database. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Condition {
    path: Arc<Path>,
    /// The file that remembers the database's identifier, where there is one.
    memory: Option<Arc<Path>>,
    current: Arc<Mutex<Current>>,
}

#[derive(Debug, Default)]
struct Current {
    trouble: Option<Trouble>,
    logged: Option<Instant>,
}

#[derive(Debug)]
struct Trouble {
    report: StoreReport,
    began: Instant,
    /// Reads and writes that were refused for it.
    refused: u64,
    /// Whether the log has it: then it also says when it is over.
    is_logged: bool,
}

impl Condition {
    /// A database at this path that nothing is wrong with.
    #[must_use]
    pub fn new(path: &Path, memory: Option<PathBuf>) -> Self {
        let memory = memory.map(Arc::from);
        Self { path: path.into(), memory, current: Arc::default() }
    }

    /// What is wrong; none while nothing is.
    #[must_use]
    pub fn report(&self) -> Option<StoreReport> {
        self.current.lock().trouble.as_ref().map(|trouble| trouble.report.clone())
    }

    /// What is wrong and stays so until an operator mends it.
    pub(super) fn lasting(&self) -> Option<StoreReport> {
        self.report().filter(|report| report.state.needs_operator())
    }

    /// Notes what a failure says of the database, if it says anything. [`StoreError::Unusable`] was
    /// noted when it was made.
    pub(super) fn note(&self, error: &StoreError) {
        if let (Some(state), false) = (error.state(), matches!(error, StoreError::Unusable(_))) {
            self.set(state, self.sentence(state, error.reason().as_deref()));
        }
    }

    /// The error for whoever asked: it names the database where the engine's own does not.
    pub(super) fn explain(&self, error: StoreError) -> StoreError {
        self.note(&error);
        if error.state().is_some() {
            self.count();
        }
        match (&error, error.state()) {
            (StoreError::Locked | StoreError::Full | StoreError::Unusable(_), _) | (_, None) => {
                error
            }
            (_, Some(state)) => StoreError::Unusable(Box::new(
                self.make(state, self.sentence(state, error.reason().as_deref())),
            )),
        }
    }

    /// Notes that; the error that says it.
    pub(super) fn fail(&self, state: StoreState, detail: impl Into<String>) -> StoreError {
        let detail = detail.into();
        self.set(state, detail.clone());
        let current = self.current.lock();
        let report = current.trouble.as_ref().map(|trouble| trouble.report.clone());
        drop(current);
        StoreError::Unusable(Box::new(report.unwrap_or_else(|| self.make(state, detail))))
    }

    /// Ends it where one of these states is what is wrong.
    pub(super) fn end(&self, states: &[StoreState]) {
        let mut current = self.current.lock();
        let over = current.trouble.take_if(|trouble| states.contains(&trouble.report.state));
        drop(current);
        if let Some(Trouble { report, began, refused, is_logged: true }) = over {
            let (state, path) = (report.state.name(), self.path.display().to_string());
            let lasted_ms = began.elapsed().as_millis();
            tracing::info!(path, state, lasted_ms, refused, "database is well again");
        }
    }

    /// What is lasting is not replaced by what is not.
    fn set(&self, state: StoreState, detail: String) {
        let mut current = self.current.lock();
        let keeps = |trouble: &Trouble| {
            let now = trouble.report.state;
            now == state || (now.needs_operator() && !state.needs_operator())
        };
        if !current.trouble.as_ref().is_some_and(keeps) {
            let report = self.make(state, detail);
            let began = Instant::now();
            current.trouble = Some(Trouble { report, began, refused: 0, is_logged: false });
        }
        let due = current.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL);
        let Some(trouble) = current.trouble.as_mut() else { return };
        // What only an operator ends is said at once, whatever was said before.
        if !due && (trouble.is_logged || !trouble.report.state.needs_operator()) {
            return;
        }
        trouble.is_logged = true;
        let (report, refused) = (trouble.report.clone(), trouble.refused);
        current.logged = Some(Instant::now());
        drop(current);
        let StoreReport { state, detail, advice, since } = report;
        let state = state.name();
        tracing::error!(state, detail, advice, since, refused, "database cannot be written");
    }

    fn count(&self) {
        if let Some(trouble) = self.current.lock().trouble.as_mut() {
            trouble.refused += 1;
        }
    }

    fn make(&self, state: StoreState, detail: String) -> StoreReport {
        StoreReport { state, detail, advice: self.advice(state), since: column::now() }
    }

    fn sentence(&self, state: StoreState, reason: Option<&str>) -> String {
        let path = self.path.display();
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        match state {
            StoreState::Locked => format!("database {path} is locked by another process"),
            StoreState::DiskFull => format!("no space left for database {path}"),
            StoreState::ReadOnly => format!("database {path} cannot be written{reason}"),
            StoreState::Failing => format!("the disk fails to write database {path}{reason}"),
            StoreState::Lost => format!("database {path} is gone"),
            StoreState::Replaced => format!("database {path} is another file than before"),
            StoreState::Corrupt => format!("database {path} is damaged{reason}"),
        }
    }

    fn advice(&self, state: StoreState) -> String {
        let path = self.path.display();
        let restore = "put a backup in its place as docs/install.md says";
        match state {
            StoreState::Locked => {
                format!("find the process that holds it (`fuser -v {path}`) and end it")
            }
            StoreState::DiskFull => {
                let folder = self.path.parent().unwrap_or(&self.path).display();
                format!("make room on the file system of {folder}; writes go on by themselves")
            }
            StoreState::ReadOnly => {
                "give the file and its folder to the service's user, on a file system that can be \
                 written"
                    .to_owned()
            }
            StoreState::Failing => "look at the kernel's log (`dmesg`) and the disk".to_owned(),
            StoreState::Lost => match &self.memory {
                Some(memory) => format!(
                    "stop the service and {restore}, or remove {} to begin anew; then start it",
                    memory.display()
                ),
                None => format!("stop the service and {restore}; then start it"),
            },
            StoreState::Replaced => {
                "put the former file back, or stop the service and start it to go on with this one"
                    .to_owned()
            }
            StoreState::Corrupt => format!("stop the service and {restore}; then start it"),
        }
    }
}

#[cfg(test)]
mod tests;

//! Looks after the database while others use it.
//!
//! ```text
//! start --5 s--> pass: every session looked at -> logs marked and folded -> sessions expired, one
//!                record an agent -> what is hidden taken away -> audit log and keys -> free pages
//!   ^              |
//!   +-- an hour, or something was deleted that is left to take away
//! ```
//!
//! | Module | Owns |
//! |---|---|
//! | `pass` | what one pass does, in its order |
//! | `pace` | the pauses between two writes |
//! | `turn_lock` | of two workers that overlap one looks after the database |
//!
//! # Invariants
//! - Each read and each write is of a bounded number of rows, and between two writes others have most
//!   of the time.
//! - A pass that ends anywhere is as good as one that did not get that far: the next goes on.
//! - Nothing waits for a pass, so it is no part that proves itself alive: what fails is logged, and is
//!   tried again.

mod pace;
mod pass;
mod turn_lock;

use std::{path::PathBuf, time::Duration};

use evonic_shared::{config, error_chain::ErrorChain};
use evonic_store::Store;
use evonic_workplace::Workplaces;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{pass::Pass, turn_lock::TurnLock};

/// From the start to the first pass: those who come first are served first.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Between two passes.
const PAUSE: Duration = Duration::from_secs(3600);

/// After a pass that failed, or that another worker does just now.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Between two passes when there is more to do, or something new.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// What the task works with.
#[derive(Clone, Debug)]
pub struct RetentionDeps {
    /// The database.
    pub store: Store,
    /// Where sessions have folders and containers, which go with them.
    pub workplaces: Workplaces,
    /// `[retention]`.
    pub settings: config::Retention,
    /// `store.audit_keep`.
    pub audit_keep: Duration,
    /// `state_dir`.
    pub state_dir: PathBuf,
    /// This worker's.
    pub generation: u64,
}

/// The running task. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Retention {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Retention {
    /// Starts the task.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn start(deps: RetentionDeps) -> Self {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let token = stop.clone();
        tracker.spawn(async move {
            token.run_until_cancelled(look_after(&deps)).await;
        });
        tracker.close();
        Self { stop, tracker }
    }

    /// Ends the task, in the middle of a pass too: a successor goes on. Returns when it has ended.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.wait().await;
    }
}

async fn look_after(deps: &RetentionDeps) {
    // From the start on the folder has the file, so that whatever appears there later is news.
    drop(TurnLock::try_take(&deps.state_dir));
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = deps.store.upkeep_wanted() => tokio::time::sleep(SHORT_PAUSE).await,
        }
        pause = match TurnLock::try_take(&deps.state_dir) {
            Ok(Some(lock)) => {
                let next = pass(deps).await;
                drop(lock);
                next
            }
            Ok(None) => RETRY_PAUSE,
            Err(error) => {
                tracing::warn!(%error, "retention: lock file cannot be had");
                RETRY_PAUSE
            }
        };
    }
}

/// One pass; how long until the next.
async fn pass(deps: &RetentionDeps) -> Duration {
    match Pass::new(deps).run().await {
        Ok(true) => SHORT_PAUSE,
        Ok(false) => PAUSE,
        Err(error) => {
            // What is wrong with the database is in the log already.
            if error.state().is_none() {
                let error = ErrorChain(&error).to_string();
                tracing::warn!(error, "retention: pass failed");
            }
            RETRY_PAUSE
        }
    }
}

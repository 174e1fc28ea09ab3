//! Turns as durable state machines.
//!
//! A bounded number of queue workers claim turns from the store; each model reply, tool call and
//! tool result is committed before the next step starts. Ownership is a kernel lock that dies
//! with the process: one locked file per generation in `STATE_DIR/generations`.

mod ownership;
mod queue;
mod turn;

use std::{path::Path, time::Duration};

use evonic_shared::config;

pub use ownership::{Generation, OwnershipError};

use crate::{domain::TurnId, model::Models, store::Store, tools::Toolbox};

/// What turns are run with.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The database.
    pub store: Store,
    /// The models.
    pub models: Models,
    /// The tools.
    pub tools: Toolbox,
    /// `[agents]`.
    pub settings: config::Agents,
}

/// The running queue. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Agents {
    _private: (),
}

impl Agents {
    /// Starts the queue workers and the watcher of other generations' turns. While a predecessor
    /// may live, the database is looked at every 50 ms for what it handed over or cancelled.
    #[must_use]
    pub fn start(bench: Bench, generation: Generation, predecessor: Option<u64>) -> Self {
        let _ = (bench, generation, predecessor);
        todo!()
    }

    /// Says that a turn was queued.
    pub fn wake(&self) {
        todo!()
    }

    /// Stops a turn of this worker: its model call and its command's whole process tree, within
    /// a second. Does nothing for a turn that this worker does not run; its owner sees the flag in
    /// the database.
    pub fn cancel(&self, turn: &TurnId) {
        let _ = turn;
        todo!()
    }

    /// Says that a predecessor is dead: its turns are taken over at once.
    pub fn predecessor_gone(&self, generation: u64) {
        let _ = generation;
        todo!()
    }

    /// A round trip through the queue's claimer: the part's proof of life.
    pub async fn ping(&self) {
        todo!()
    }

    /// Turns this worker runs now.
    #[must_use]
    pub fn running(&self) -> usize {
        todo!()
    }

    /// Stops claiming, lets each running turn reach its next step boundary within `patience` and
    /// hands it over; what is left then stays owned, for the successor to take over when this
    /// process is dead. Returns how many were handed over and how many are left.
    pub async fn drain(&self, patience: Duration) -> (usize, usize) {
        let _ = patience;
        todo!()
    }
}

/// Where the locks of generations are.
#[must_use]
pub fn generations_folder(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("generations")
}

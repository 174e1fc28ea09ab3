//! A look at the queue: who waits there is woken where its time has come, and who gets the next work
//! place is chosen and claimed, in one transaction.

use std::time::Duration;

use crate::{admission::Snapshot, fairness::Holder};
use evonic_store::{Claimed, StoreError, WaitingTurn, Writer};

/// What a look is to do.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) generation: u64,
    /// Who holds and awaits places.
    pub(super) snapshot: Snapshot,
    pub(super) among: Among,
    /// Whether it is the first one of this worker.
    pub(super) is_first: bool,
    /// Whether the wall's clock was set.
    pub(super) stepped: bool,
    /// After which place turns that wait for a budget are to be looked at again.
    pub(super) recheck: Option<u64>,
}

/// Who may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    All,
    /// Who only has to end: what is free of the disk is for the turns that run.
    Cancelled,
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) queued: Vec<WaitingTurn>,
    /// Position of the turn that was posted last.
    pub(super) last: u64,
    pub(super) found: Found,
    /// Where [`Look::recheck`] goes on, if there may be more.
    pub(super) recheck: Option<u64>,
}

/// Who gets the next work place.
#[derive(Debug)]
pub(super) enum Found {
    /// A turn that was claimed just now.
    Claimed(Box<Claimed>, Holder),
    /// A turn of this worker that comes back.
    Returning(WaitingTurn),
    /// Nobody, and when it has to be looked again.
    Nobody(Option<Duration>),
}

impl Look {
    /// Looks, and claims.
    pub(super) fn run(self, writer: &mut Writer<'_>) -> Result<Seen, StoreError> {
        let Self { generation, mut snapshot, among, is_first, stepped, recheck } = self;
        if is_first {
            writer.resume_waits()?;
        }
        if is_first || stepped {
            writer.wake_turns_by_clock()?;
        }
        let recheck = recheck.map(|after| writer.recheck_budgets(after)).transpose()?.flatten();
        writer.wake_turns()?;
        let queued = match among {
            Among::All => writer.waiting_turns()?,
            Among::Cancelled => writer.cancelled_turn()?.into_iter().collect(),
        };
        let last = writer.last_position()?;
        let found = match snapshot.choose(&queued) {
            Some(turn) if queued.contains(turn) => {
                writer.ensure_generation(generation, std::process::id())?;
                let claimed = writer.claim_turn(generation, &turn.turn_id)?;
                Found::Claimed(Box::new(claimed), Holder::of(turn))
            }
            Some(turn) => Found::Returning(turn.clone()),
            None => Found::Nobody(writer.next_wait()?),
        };
        Ok(Seen { queued, last, found, recheck })
    }
}

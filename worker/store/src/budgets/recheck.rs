//! Turns that wait for a budget, looked at again once budgets have changed: a portion at a time, for
//! others write meanwhile. The first one is part of the change; whoever claims turns does the rest.

use rusqlite::params;

use super::check::Refused;
use crate::{Store, StoreError, Writer, column};
use evonic_domain::{SessionId, TurnId};

/// Turns that one transaction looks at again.
const PORTION: u32 = 200;

impl Store {
    /// Whether a change of budgets has left turns to [`Writer::recheck_budgets`], from the beginning
    /// on. Stays so until [`Store::take_budget_recheck`].
    #[must_use]
    pub fn wants_budget_recheck(&self) -> bool {
        self.inner.budget_presence.wants_recheck()
    }

    /// As [`Store::wants_budget_recheck`]; who is told so has to do it.
    #[must_use]
    pub fn take_budget_recheck(&self) -> bool {
        self.inner.budget_presence.take_recheck()
    }
}

impl Writer<'_> {
    /// Looks again at turns that wait for a budget, after this place in the queue: those go on that
    /// every budget allows now, or which one ends; the others wait for as long as the budgets say
    /// now. Returns after which place to go on, where there may be more.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn recheck_budgets(&mut self, after: u64) -> Result<Option<u64>, StoreError> {
        let waiting = self.all(
            "read queue",
            "SELECT id, session_id, position FROM turns INDEXED BY turns_later
             WHERE state = 'queued' AND wait_ends IS NOT NULL AND wait_reason = 'budget'
             AND position > ?1 ORDER BY position LIMIT ?2",
            params![column::integer(after), PORTION],
            |row| {
                let session: SessionId = column::parsed(row, "session_id")?;
                let turn: TurnId = column::parsed(row, "id")?;
                Ok((turn, session, column::natural(row, "position")?))
            },
        )?;
        for (turn, session, _) in &waiting {
            match self.refused(turn)? {
                Some(Refused::Wait(waiting)) => self.change_wait(session, turn, &waiting)?,
                Some(Refused::End(_)) | None => self.end_wait(session)?,
            }
        }
        let is_full = waiting.len() >= PORTION as usize;
        Ok(waiting.last().filter(|_| is_full).map(|&(_, _, position)| position))
    }

    /// Lets the first turns go on that budgets allow now, and asks for a look at the rest.
    pub(super) fn budgets_changed(&mut self) -> Result<(), StoreError> {
        if self.recheck_budgets(0)?.is_some() {
            self.budget_presence.ask_recheck();
        }
        Ok(())
    }
}

//! Turns that wait until a time, and hold nothing meanwhile.
//!
//! What a turn waits is counted by the machine's uptime, times asleep included: no step of the wall's
//! clock makes it longer or shorter. The wall's clock is asked in two cases only, and never makes a
//! wait longer than it was asked for: after a start of the machine, and for a budget, whose period is
//! the calendar's.
//!
//! Turns behind a waiting one in its session have its time too: whoever looks for a turn to claim
//! sees none of them.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::params;

use crate::{Reader, StoreError, Writer, column, days};
use evonic_domain::{EventKind, Lease, SessionId, TurnEnd, TurnId, WaitReason, Waiting};

/// The longest that a turn waits: a budget's longest period, and a day.
pub const LONGEST_WAIT: Duration = Duration::from_secs(32 * 24 * 3600);

/// Turns that one look wakes at the most: others write meanwhile.
const WOKEN_AT_ONCE: u32 = 1000;

/// What became of a turn that was to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    Waits,
    /// It was cancelled meanwhile, and has ended.
    Cancelled,
}

impl Reader<'_> {
    /// How long it is until the first of the turns that wait may be claimed again.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn next_wait(&self) -> Result<Option<Duration>, StoreError> {
        let ends = self.one("read waits", NEXT, [], |row| column::natural_or_null(row, "ends"))?;
        Ok(ends.map(|ends| Duration::from_millis(ends).saturating_sub(days::uptime())))
    }
}

/// The end of the first wait.
pub(super) const NEXT: &str = "SELECT MIN(wait_ends) AS ends FROM turns
    WHERE state = 'queued' AND wait_ends IS NOT NULL";

/// Wakes what has waited until this uptime.
pub(super) const WAKE: &str = "UPDATE turns SET wait_ends = NULL, wait_ms = NULL, wait_boot = NULL,
    wait_until = NULL, wait_reason = NULL, wait_message = NULL
    WHERE position IN (SELECT position FROM turns
        WHERE state = 'queued' AND wait_ends IS NOT NULL AND wait_ends <= ?1
        ORDER BY wait_ends LIMIT ?2)";

/// Ends the waits of turns in whose session no turn waits for a reason of its own any more.
const FREE_ORPHANS: &str = "UPDATE turns SET wait_ends = NULL
    WHERE state = 'queued' AND wait_ends IS NOT NULL AND wait_until IS NULL
    AND NOT EXISTS (SELECT 1 FROM turns AS ahead
        WHERE ahead.session_id = turns.session_id AND ahead.state = 'queued'
        AND ahead.wait_ends IS NOT NULL AND ahead.wait_until IS NOT NULL)";

impl Writer<'_> {
    /// Leaves a turn until then: queued again, and not claimed before, `turn.waiting`. It holds
    /// nothing meanwhile. A cancel ends it at once, also one that was committed just before this. It
    /// waits for [`LONGEST_WAIT`] at the most.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn wait_turn(
        &mut self,
        lease: &Lease,
        waiting: &Waiting,
    ) -> Result<WaitOutcome, StoreError> {
        self.check_lease(lease)?;
        if !self.cancels(std::slice::from_ref(&lease.turn_id))?.is_empty() {
            self.end_turn(lease, TurnEnd::Cancelled)?;
            return Ok(WaitOutcome::Cancelled);
        }
        self.queue_again(&lease.turn_id)?;
        let asked = until(&waiting.until);
        let time = asked.min(LONGEST_WAIT);
        let mut waiting = waiting.clone();
        if time < asked {
            waiting.until = column::after(time);
        }
        self.put_off(&lease.session_id, time)?;
        // Time in which a budget is spent is no time in which the model was tried.
        let tried = if waiting.reason == WaitReason::Budget { 0 } else { millis(time) };
        self.execute(
            "leave turn until later",
            "UPDATE turns SET wait_until = ?2, wait_reason = ?3, wait_message = ?4, wait_ms = ?5,
             wait_boot = ?6, tried_ms = tried_ms + ?7 WHERE id = ?1",
            params![
                lease.turn_id.as_str(),
                waiting.until,
                waiting.reason.name(),
                waiting.message,
                millis(time),
                days::boot(),
                tried
            ],
        )?;
        let event = EventKind::TurnWaiting { waiting };
        self.add_events(&lease.session_id, &lease.turn_id, &[event])?;
        Ok(WaitOutcome::Waits)
    }

    /// Counts faults of the endpoint in the turn's present model call, which took so long. The next
    /// reply that is committed starts the count anew.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn count_attempt(
        &mut self,
        lease: &Lease,
        faults: u32,
        took: Duration,
    ) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        self.execute(
            "count attempt",
            "UPDATE turns SET attempts = attempts + ?4, tried_ms = tried_ms + ?2,
             attempted_at = COALESCE(attempted_at, ?3) WHERE id = ?1",
            params![lease.turn_id.as_str(), millis(took), column::now(), faults],
        )?;
        Ok(())
    }

    /// Starts the count of [`Writer::count_attempt`] anew: what was counted was of another endpoint
    /// than the one that is asked next.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn forget_attempts(&mut self, lease: &Lease) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        self.execute(
            "forget attempts",
            "UPDATE turns SET attempts = 0, attempted_at = NULL, tried_ms = 0 WHERE id = ?1",
            [lease.turn_id.as_str()],
        )
        .map(drop)
    }

    /// Lets turns be claimed again whose time has come, with those behind them. Called before
    /// [`Reader::waiting_turns`], in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn wake_turns(&mut self) -> Result<(), StoreError> {
        self.execute("wake turns", WAKE, params![millis(days::uptime()), WOKEN_AT_ONCE]).map(drop)
    }

    /// Lets turns be claimed again that wait for a budget's next period, where the wall's clock says
    /// that it has begun: the clock was set. Looks at every turn that waits, and wakes some of them;
    /// [`Writer::recheck_budgets`] finds the others.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn wake_turns_by_clock(&mut self) -> Result<(), StoreError> {
        let sessions = self.all(
            "wake turns",
            "SELECT session_id FROM turns WHERE state = 'queued' AND wait_ends IS NOT NULL
             AND wait_reason = ?1 AND wait_until <= ?2 LIMIT ?3",
            params![WaitReason::Budget.name(), column::now(), WOKEN_AT_ONCE],
            |row| column::parsed::<SessionId>(row, "session_id"),
        )?;
        // No two of a session wait for a reason of their own, but who knows.
        sessions.into_iter().collect::<BTreeSet<_>>().iter().try_for_each(|id| self.end_wait(id))
    }

    /// Goes on with waits of before the machine's last start: what is left by the wall's clock, and
    /// never more than each was to wait in all. Turns that stayed behind one which waits no more go on.
    /// Called once by each worker.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn resume_waits(&mut self) -> Result<(), StoreError> {
        self.execute("resume waits", FREE_ORPHANS, [])?;
        let uptime = days::uptime();
        let waits = self.all(
            "resume waits",
            "SELECT id, session_id, wait_until, wait_ms FROM turns
             WHERE state = 'queued' AND wait_ends IS NOT NULL AND wait_until IS NOT NULL
             AND (wait_boot <> ?1 OR wait_ends - ?2 > wait_ms)",
            params![days::boot(), millis(uptime)],
            |row| {
                let asked = Duration::from_millis(column::natural(row, "wait_ms")?);
                let left = until(&row.get::<_, String>("wait_until")?).min(asked);
                let ids = (column::parsed(row, "id")?, column::parsed(row, "session_id")?);
                Ok((ids, left))
            },
        )?;
        for ((turn, session), left) in waits {
            let (turn, session): (TurnId, SessionId) = (turn, session);
            self.put_off(&session, left)?;
            self.execute(
                "resume waits",
                "UPDATE turns SET wait_until = ?2, wait_boot = ?3 WHERE id = ?1",
                params![turn.as_str(), column::after(left), days::boot()],
            )?;
        }
        Ok(())
    }

    /// Lets a session's turns be claimed again.
    pub(super) fn end_wait(&mut self, session: &SessionId) -> Result<(), StoreError> {
        self.execute(
            "wake turns",
            "UPDATE turns SET wait_ends = NULL, wait_ms = NULL, wait_boot = NULL,
             wait_until = NULL, wait_reason = NULL, wait_message = NULL
             WHERE session_id = ?1 AND state = 'queued' AND wait_ends IS NOT NULL",
            [session.as_str()],
        )?;
        Ok(())
    }

    /// Changes until when a turn of this session waits, and why.
    pub(super) fn change_wait(
        &mut self,
        session: &SessionId,
        turn: &TurnId,
        waiting: &Waiting,
    ) -> Result<(), StoreError> {
        let time = until(&waiting.until).min(LONGEST_WAIT);
        self.put_off(session, time)?;
        self.execute(
            "leave turn until later",
            "UPDATE turns SET wait_until = ?2, wait_reason = ?3, wait_message = ?4, wait_ms = ?5,
             wait_boot = ?6 WHERE id = ?1",
            params![
                turn.as_str(),
                column::after(time),
                waiting.reason.name(),
                waiting.message,
                millis(time),
                days::boot()
            ],
        )?;
        Ok(())
    }

    /// Lets a new turn wait for as long as the one before it in its session, if that waits.
    pub(super) fn wait_behind(&mut self, turn: &TurnId) -> Result<(), StoreError> {
        self.execute(
            "queue turn",
            "UPDATE turns SET wait_ends = ahead.wait_ends FROM turns AS ahead
             WHERE turns.id = ?1 AND ahead.session_id = turns.session_id AND ahead.state = 'queued'
             AND ahead.wait_ends IS NOT NULL",
            [turn.as_str()],
        )?;
        Ok(())
    }

    /// Lets no turn of a session be claimed before this time is over.
    fn put_off(&mut self, session: &SessionId, time: Duration) -> Result<(), StoreError> {
        self.execute(
            "leave turn until later",
            "UPDATE turns SET wait_ends = ?2 WHERE session_id = ?1 AND state = 'queued'",
            params![session.as_str(), millis(days::uptime() + time)],
        )?;
        Ok(())
    }
}

/// How long it is until then, by the wall's clock; nothing where that is over, or no time.
fn until(time: &str) -> Duration {
    let time = time.parse::<jiff::Timestamp>().ok();
    let left = time.map(|time| time.duration_since(jiff::Timestamp::now()));
    left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

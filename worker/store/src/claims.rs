//! Who runs a turn: claiming, handing over, taking over, and the fence before every write.

use std::time::Duration;

use rusqlite::{Row, params};

use crate::{Claimed, PendingCall, Reader, StoreError, Writer, column, days};
use evonic_domain::{EventKind, Lease, ResponseFormat, ToolCall, TurnId};

/// A turn that was taken from a dead worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenTurn {
    pub turn_id: TurnId,
    /// Workers that died while they had it, since its last committed step.
    pub takeovers: u32,
}

impl Reader<'_> {
    /// Generations other than `own` that own running turns.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn foreign_owners(&self, own: u64) -> Result<Vec<u64>, StoreError> {
        self.all(
            "read owners",
            "SELECT DISTINCT owner FROM turns WHERE state = 'running' AND owner <> ?1
             ORDER BY owner",
            [column::integer(own)],
            |row| column::natural(row, "owner"),
        )
    }

    /// The highest generation that was registered; 0 when none was.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn last_generation(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COALESCE(MAX(number), 0) AS last FROM generations";
        self.one("read generations", sql, [], |row| column::natural(row, "last"))
    }

    /// Fails unless the lease's generation runs its turn.
    pub(super) fn check_lease(&self, lease: &Lease) -> Result<(), StoreError> {
        let owned = self.exists(
            "check owner",
            "SELECT 1 FROM turns
             WHERE id = ?1 AND session_id = ?2 AND owner = ?3 AND state = 'running'",
            params![
                lease.turn_id.as_str(),
                lease.session_id.as_str(),
                column::integer(lease.generation)
            ],
        )?;
        if owned { Ok(()) } else { Err(StoreError::Fenced) }
    }

    /// Turns that workers died with since their last committed step, the most fatal ones first: at
    /// most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn fatal_turns(&self, limit: u32) -> Result<Vec<TakenTurn>, StoreError> {
        self.all(
            "read takeovers",
            "SELECT id, takeovers FROM (
                 SELECT * FROM turns WHERE state = 'running'
                 UNION ALL SELECT * FROM turns WHERE state = 'queued')
             WHERE takeovers > 0 ORDER BY takeovers DESC, position LIMIT ?1",
            [limit],
            taken_turn,
        )
    }

    /// The command ids of every call that was started and has no result, of turns that have not
    /// ended: nobody needs any other command.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn pending_commands(&self) -> Result<Vec<String>, StoreError> {
        self.all(
            "read calls",
            "SELECT command_id FROM (
                 SELECT id FROM turns WHERE state = 'running'
                 UNION ALL SELECT id FROM turns WHERE state = 'queued') AS open
             JOIN calls ON calls.turn_id = open.id WHERE outcome IS NULL",
            [],
            |row| row.get("command_id"),
        )
    }

    /// A call that was started and has no result.
    pub(super) fn pending_call(&self, turn: &TurnId) -> Result<Option<PendingCall>, StoreError> {
        self.first(
            "read calls",
            "SELECT call_id, name, arguments, command_id, workplace, output_offset, repeated FROM calls
             WHERE turn_id = ?1 AND outcome IS NULL ORDER BY step LIMIT 1",
            [turn.as_str()],
            |row| {
                let call = ToolCall { id: row.get("call_id")?, name: row.get("name")?, arguments: row.get("arguments")? };
                Ok(PendingCall {
                    call,
                    command_id: row.get("command_id")?,
                    workplace: row.get("workplace")?,
                    output_offset: column::natural(row, "output_offset")?,
                    repeated: row.get("repeated")?,
                })
            },
        )
    }
}

impl Writer<'_> {
    /// Registers a worker: at least `proposed`, above every generation that ever was.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn register_generation(&mut self, proposed: u64, pid: u32) -> Result<u64, StoreError> {
        let number = proposed.max(self.last_generation()? + 1);
        self.execute(
            "register generation",
            "INSERT INTO generations (number, pid, started_at) VALUES (?1, ?2, ?3)",
            params![column::integer(number), pid, column::now()],
        )?;
        Ok(number)
    }

    /// Registers a worker that could not be when it started.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn ensure_generation(&mut self, number: u64, pid: u32) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO generations (number, pid, started_at) VALUES (?1, ?2, ?3)";
        let parameters = params![column::integer(number), pid, column::now()];
        self.execute("register generation", sql, parameters).map(drop)
    }

    /// Claims a turn of [`Reader::waiting_turns`], in the same transaction, and appends
    /// `turn.started` or `turn.resumed`.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; [`StoreError::NotFound`] for a turn that does not wait.
    pub fn claim_turn(&mut self, generation: u64, id: &TurnId) -> Result<Claimed, StoreError> {
        let before = self.first(
            "claim turn",
            "SELECT last_owner, partial_text, ran_ms, takeovers, attempts, tried_ms,
             response_format, corrections FROM turns
             WHERE id = ?1 AND state = 'queued'",
            [id.as_str()],
            |row| {
                Ok(Before {
                    last_owner: column::natural_or_null(row, "last_owner")?,
                    partial_text: row.get("partial_text")?,
                    ran: Duration::from_millis(column::natural(row, "ran_ms")?),
                    takeovers: row.get("takeovers")?,
                    faults: row.get("attempts")?,
                    tried: Duration::from_millis(column::natural(row, "tried_ms")?),
                    response_format: column::json_or_null(row, "response_format")?,
                    corrections: row.get("corrections")?,
                })
            },
        )?;
        let before = before.ok_or_else(|| StoreError::not_found("queued turn", id))?;
        self.execute(
            "claim turn",
            "UPDATE turns SET state = 'running', owner = ?2, last_owner = ?2, claimed_at = ?3,
             wait_until = NULL, wait_reason = NULL, wait_message = NULL,
             wait_ends = NULL, wait_ms = NULL, wait_boot = NULL, claimed_uptime = ?4, started_at = COALESCE(started_at, ?3) WHERE id = ?1",
            params![id.as_str(), column::integer(generation), column::now(), uptime_ms()],
        )?;
        let turn = self.turn(id)?;
        let agent = self.session(&turn.session_id)?.agent_id;
        let agent = self.agent(agent.as_str())?;
        let event = match before.last_owner {
            None => EventKind::TurnStarted { generation },
            Some(predecessor) => EventKind::TurnResumed { generation, predecessor },
        };
        self.add_events(&turn.session_id, id, &[event])?;
        let session_id = turn.session_id.clone();
        Ok(Claimed {
            lease: Lease { turn_id: id.clone(), session_id, generation },
            interrupted: self.pending_call(id)?,
            partial_text: before.partial_text,
            predecessor: before.last_owner,
            ran: before.ran,
            takeovers: before.takeovers,
            faults: before.faults,
            tried: before.tried,
            response_format: before.response_format,
            corrections: before.corrections,
            turn,
            agent,
        })
    }

    /// Queues again every running turn of a generation whose lock is known to be free. Each is
    /// counted as one that its worker died with, unless the worker had drained.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn take_over(&mut self, dead: u64) -> Result<Vec<TakenTurn>, StoreError> {
        let owned = self.all(
            "take turns over",
            "SELECT id FROM turns WHERE state = 'running' AND owner = ?1 ORDER BY position",
            [column::integer(dead)],
            |row| column::parsed::<TurnId>(row, "id"),
        )?;
        let mut taken = Vec::with_capacity(owned.len());
        for id in owned {
            self.queue_again(&id)?;
            taken.push(self.one(
                "take turns over",
                "UPDATE turns SET takeovers = takeovers + NOT EXISTS (
                     SELECT 1 FROM generations WHERE number = ?2 AND drained_at IS NOT NULL)
                 WHERE id = ?1 RETURNING id, takeovers",
                params![id.as_str(), column::integer(dead)],
                taken_turn,
            )?);
        }
        Ok(taken)
    }

    /// Hands a turn over as it stands: queued again, `turn.handed_over`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn hand_over(&mut self, lease: &Lease) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        self.queue_again(&lease.turn_id)?;
        let handed_over = EventKind::TurnHandedOver { generation: lease.generation };
        self.add_events(&lease.session_id, &lease.turn_id, &[handed_over])
    }

    /// Says that a worker has drained: what it still owns is not what ends it.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn retire_generation(&mut self, number: u64) -> Result<(), StoreError> {
        self.execute(
            "retire generation",
            "UPDATE generations SET drained_at = ?2 WHERE number = ?1",
            params![column::integer(number), column::now()],
        )?;
        Ok(())
    }

    /// Queues a running turn again; the time since its claim counts as time that it ran: the
    /// machine's uptime, or the clock's where that began anew.
    pub(super) fn queue_again(&mut self, turn: &TurnId) -> Result<(), StoreError> {
        self.execute(
            "queue turn again",
            "UPDATE turns SET state = 'queued', owner = NULL, claimed_at = NULL,
             claimed_uptime = NULL,
             ran_ms = ran_ms + iif(?3 >= claimed_uptime, ?3 - claimed_uptime,
                 COALESCE(MAX(0, CAST(ROUND(
                     (julianday(?2) - julianday(claimed_at)) * 86400000) AS INTEGER)), 0))
             WHERE id = ?1",
            params![turn.as_str(), column::now(), uptime_ms()],
        )?;
        Ok(())
    }
}

fn uptime_ms() -> i64 {
    i64::try_from(days::uptime().as_millis()).unwrap_or(i64::MAX)
}

/// A queued turn as its last owner left it.
struct Before {
    last_owner: Option<u64>,
    partial_text: bool,
    ran: Duration,
    takeovers: u32,
    faults: u32,
    tried: Duration,
    response_format: Option<ResponseFormat>,
    corrections: u32,
}

fn taken_turn(row: &Row<'_>) -> rusqlite::Result<TakenTurn> {
    Ok(TakenTurn { turn_id: column::parsed(row, "id")?, takeovers: row.get("takeovers")? })
}

//! Who runs a turn: claiming, handing over, taking over, and the fence before every write.

use rusqlite::params;

use crate::{Claimed, PendingCall, Reader, StoreError, Writer, column};
use evonic_domain::{AgentId, EventKind, Lease, ToolCall, TurnId};

/// A queued turn that may run.
struct Candidate {
    turn: TurnId,
    agent: AgentId,
    last_owner: Option<u64>,
    partial_text: bool,
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

    fn candidate(&self) -> Result<Option<Candidate>, StoreError> {
        self.first(
            "claim turn",
            "SELECT turns.id, sessions.agent_id, turns.last_owner, turns.partial_text
             FROM turns JOIN sessions ON sessions.id = turns.session_id
             WHERE turns.state = 'queued' AND NOT EXISTS (
                 SELECT 1 FROM turns AS other
                 WHERE other.session_id = turns.session_id AND other.state = 'running')
             ORDER BY turns.position LIMIT 1",
            [],
            |row| {
                Ok(Candidate {
                    turn: column::parsed(row, "id")?,
                    agent: column::parsed(row, "agent_id")?,
                    last_owner: column::natural_or_null(row, "last_owner")?,
                    partial_text: row.get("partial_text")?,
                })
            },
        )
    }

    /// A call that was started and has no result.
    pub(super) fn pending_call(&self, turn: &TurnId) -> Result<Option<PendingCall>, StoreError> {
        self.first(
            "read calls",
            "SELECT call_id, name, arguments, command_id, workplace, output_offset, takeovers, repeated FROM calls
             WHERE turn_id = ?1 AND outcome IS NULL ORDER BY step LIMIT 1",
            [turn.as_str()],
            |row| {
                let call = ToolCall { id: row.get("call_id")?, name: row.get("name")?, arguments: row.get("arguments")? };
                Ok(PendingCall {
                    call,
                    command_id: row.get("command_id")?,
                    workplace: row.get("workplace")?,
                    output_offset: column::natural(row, "output_offset")?,
                    takeovers: row.get("takeovers")?,
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
        let last = self.one(
            "register generation",
            "SELECT COALESCE(MAX(number), 0) AS last FROM generations",
            [],
            |row| column::natural(row, "last"),
        )?;
        let number = proposed.max(last + 1);
        self.execute(
            "register generation",
            "INSERT INTO generations (number, pid, started_at) VALUES (?1, ?2, ?3)",
            params![column::integer(number), pid, column::now()],
        )?;
        Ok(number)
    }

    /// Claims the oldest queued turn whose session has no running one, and appends `turn.started`
    /// or `turn.resumed`.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn claim_turn(&mut self, generation: u64) -> Result<Option<Claimed>, StoreError> {
        let Some(candidate) = self.candidate()? else { return Ok(None) };
        let id = &candidate.turn;
        self.execute(
            "claim turn",
            "UPDATE turns SET state = 'running', owner = ?2, last_owner = ?2,
             started_at = COALESCE(started_at, ?3) WHERE id = ?1",
            params![id.as_str(), column::integer(generation), column::now()],
        )?;
        let turn = self.turn(id)?;
        let agent = self.agent(candidate.agent.as_str())?;
        let event = match candidate.last_owner {
            None => EventKind::TurnStarted { generation },
            Some(predecessor) => EventKind::TurnResumed { generation, predecessor },
        };
        self.add_events(&turn.session_id, id, &[event])?;
        let session_id = turn.session_id.clone();
        Ok(Some(Claimed {
            lease: Lease { turn_id: id.clone(), session_id, generation },
            interrupted: self.pending_call(id)?,
            partial_text: candidate.partial_text,
            predecessor: candidate.last_owner,
            turn,
            agent,
        }))
    }

    /// Queues again every running turn of a generation whose lock is known to be free, and counts
    /// it against the call that it was in. Returns how many turns there were.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn take_over(&mut self, dead: u64) -> Result<u32, StoreError> {
        self.execute(
            "take turns over",
            "UPDATE calls SET takeovers = takeovers + 1
             WHERE outcome IS NULL AND turn_id IN (
                 SELECT id FROM turns WHERE state = 'running' AND owner = ?1)",
            [column::integer(dead)],
        )?;
        let taken = self.execute(
            "take turns over",
            "UPDATE turns SET state = 'queued', owner = NULL
             WHERE state = 'running' AND owner = ?1",
            [column::integer(dead)],
        )?;
        Ok(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// Hands a turn over as it stands: queued again, `turn.handed_over`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn hand_over(&mut self, lease: &Lease) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        self.execute(
            "hand turn over",
            "UPDATE turns SET state = 'queued', owner = NULL WHERE id = ?1",
            [lease.turn_id.as_str()],
        )?;
        let handed_over = EventKind::TurnHandedOver { generation: lease.generation };
        self.add_events(&lease.session_id, &lease.turn_id, &[handed_over])
    }
}

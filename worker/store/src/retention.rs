//! What is kept, and for how long: sessions that expire, deleted ones that go little by little, and
//! logs that are folded.
//!
//! ```text
//! session --- kept for long enough, or one too many ---> hidden (removed) --- purge_some ---> gone
//! log     --- every turn up to an event has ended: marked --- retention.deltas ---> folded up to it
//! ```
//!
//! Every look and every write is bounded. Whoever does them pauses between: `evonic-retention`.

mod fold;
mod purge;

use std::{collections::HashMap, time::Duration};

use rusqlite::{Row, params};

pub use self::fold::{Fold, FoldPlan};
use crate::{AuditedWriter, Reader, StoreError, Writer, column, days};
use evonic_domain::{Action, Agent, AgentId, Retention, SessionId};

/// Why a session is hidden that goes.
pub(super) const REMOVED: &str = "removed";

/// Sessions that one look goes over.
const PAGE: u32 = 256;

/// Events of a running turn that a look goes back over, to find where it began.
const LOOKED_AT: u32 = 20_000;

/// How long what is kept.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Of agents without a retention of their own.
    pub general: Retention,
    /// Of the others.
    pub agents: HashMap<AgentId, Retention>,
    /// `retention.deltas`.
    pub deltas: Duration,
}

impl Keep {
    /// How long the sessions of an agent are kept.
    #[must_use]
    pub fn of(&self, agent: &AgentId) -> &Retention {
        self.agents.get(agent).unwrap_or(&self.general)
    }
}

/// A session that was kept for long enough, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredSession {
    /// The session.
    pub id: SessionId,
    /// Its agent.
    pub agent_id: AgentId,
    /// A session that was changed since is not removed.
    pub updated_at: String,
}

/// Up to which event every turn of a session has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The session.
    pub id: SessionId,
    /// The event.
    pub upto: u64,
}

/// What there is to do about some sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepPage {
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
    /// Sessions of the page that are shown, and their events.
    pub sessions: u64,
    /// See [`UpkeepPage::sessions`].
    pub events: u64,
    /// Sessions of which it is not known on which day they were active last.
    pub undated: Vec<SessionId>,
    /// Sessions to be marked, to be folded later.
    pub marks: Vec<Mark>,
    /// Logs that are to be folded.
    pub folds: Vec<Fold>,
    /// Sessions that were kept for long enough.
    pub expired: Vec<ExpiredSession>,
    /// Hidden sessions, and why they are.
    pub hidden: Vec<(SessionId, String)>,
}

/// A session as the upkeep sees it.
struct Seen {
    id: SessionId,
    agent_id: AgentId,
    updated_at: String,
    last_event: u64,
    folded: u64,
    folded_away: u64,
    active_day: Option<i64>,
    hidden: Option<String>,
    /// Up to which event, since which day and time.
    mark: Option<(u64, i64, String)>,
}

impl Seen {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mark = match column::natural_or_null(row, "fold_to")? {
            Some(upto) => Some((upto, row.get("fold_day")?, row.get("fold_at")?)),
            None => None,
        };
        Ok(Self {
            id: column::parsed(row, "id")?,
            agent_id: column::parsed(row, "agent_id")?,
            updated_at: row.get("updated_at")?,
            last_event: column::natural(row, "last_event")?,
            folded: column::natural(row, "folded")?,
            folded_away: column::natural(row, "folded_away")?,
            active_day: row.get("active_day")?,
            hidden: row.get("hidden")?,
            mark,
        })
    }

    /// Whether it was kept for long enough: by the clock, and by the days that were seen since.
    fn is_expired(&self, keep: &Keep, day: i64) -> bool {
        let Some(age) = &keep.of(&self.agent_id).sessions else { return false };
        let (age, active_day) = (age.duration(), self.active_day.unwrap_or(day));
        active_day.saturating_add(days::of(age)) <= day && self.updated_at < column::before(age)
    }

    /// The fold that is due, by the clock and by the days that were seen since it was marked.
    fn fold(&self, keep: &Keep, day: i64) -> Option<Fold> {
        let (upto, marked_day, marked_at) = self.mark.as_ref()?;
        let is_due = marked_day.saturating_add(days::of(keep.deltas)) <= day
            && *marked_at < column::before(keep.deltas);
        is_due.then(|| Fold { id: self.id.clone(), after: self.folded, upto: *upto })
    }
}

impl Reader<'_> {
    /// What there is to do about the sessions after this identifier; after the empty one at the
    /// beginning.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn upkeep(&self, after: &str, keep: &Keep) -> Result<UpkeepPage, StoreError> {
        let day = self.day()?;
        let sql = "SELECT * FROM sessions WHERE id > ?1 ORDER BY id LIMIT ?2";
        let seen = self.all("look after sessions", sql, params![after, PAGE], Seen::from_row)?;
        let last = seen.last().filter(|_| seen.len() == PAGE as usize);
        let next = last.map(|session| session.id.to_string());
        let mut page = UpkeepPage { next, ..UpkeepPage::default() };
        for session in seen {
            if let Some(why) = session.hidden {
                page.hidden.push((session.id, why));
                continue;
            }
            page.sessions += 1;
            page.events += session.last_event.saturating_sub(session.folded_away);
            if session.active_day.is_none() {
                page.undated.push(session.id.clone());
            }
            if session.is_expired(keep, day) && !self.is_busy(&session.id)? {
                let Seen { id, agent_id, updated_at, .. } = session;
                page.expired.push(ExpiredSession { id, agent_id, updated_at });
            } else if let Some(fold) = session.fold(keep, day) {
                page.folds.push(fold);
            } else if session.mark.is_none() && session.folded < session.last_event {
                let upto = self.ended_upto(&session)?.filter(|upto| *upto > session.folded);
                page.marks.extend(upto.map(|upto| Mark { id: session.id, upto }));
            }
        }
        Ok(page)
    }

    /// The sessions of an agent beyond the most, of those that may go: so many at the most, those
    /// that were idle for longest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn surplus(
        &self,
        agent: &AgentId,
        most: u32,
        limit: u32,
    ) -> Result<Vec<ExpiredSession>, StoreError> {
        let count = self.one(
            "count sessions",
            "SELECT COUNT(*) AS count FROM sessions WHERE agent_id = ?1 AND hidden IS NULL",
            [agent.as_str()],
            |row| column::natural(row, "count"),
        )?;
        let surplus = count.saturating_sub(most.into()).min(limit.into());
        if surplus == 0 {
            return Ok(Vec::new());
        }
        self.all(
            "look for surplus sessions",
            "SELECT id, agent_id, updated_at FROM sessions
             WHERE agent_id = ?1 AND hidden IS NULL
             AND NOT EXISTS (SELECT 1 FROM turns WHERE session_id = sessions.id AND state = 'queued')
             AND NOT EXISTS (SELECT 1 FROM turns WHERE session_id = sessions.id AND state = 'running')
             ORDER BY updated_at, id LIMIT ?2",
            params![agent.as_str(), column::integer(surplus)],
            |row| {
                Ok(ExpiredSession {
                    id: column::parsed(row, "id")?,
                    agent_id: column::parsed(row, "agent_id")?,
                    updated_at: row.get("updated_at")?,
                })
            },
        )
    }

    /// Whether a turn of a session is queued or running.
    pub(super) fn is_busy(&self, id: &SessionId) -> Result<bool, StoreError> {
        self.exists(
            "look for turns",
            "SELECT 1 FROM turns WHERE session_id = ?1 AND state = 'queued'
             UNION ALL SELECT 1 FROM turns WHERE session_id = ?1 AND state = 'running'",
            [id.as_str()],
        )
    }

    /// The last event up to which every turn has ended: the one before the turn that has not, since
    /// turns of a session run one after the other. None where that cannot be told soon enough.
    fn ended_upto(&self, session: &Seen) -> Result<Option<u64>, StoreError> {
        let id = session.id.as_str();
        let began = self.exists(
            "look for turns",
            "SELECT 1 FROM turns WHERE session_id = ?1 AND state = 'running'
             UNION ALL SELECT 1 FROM turns
             WHERE session_id = ?1 AND state = 'queued' AND started_at IS NOT NULL",
            [id],
        )?;
        if !began {
            return Ok(Some(session.last_event));
        }
        self.first(
            "look for a turn's beginning",
            "SELECT sequence FROM (SELECT sequence, name FROM events
                 WHERE session_id = ?1 ORDER BY sequence DESC LIMIT ?2)
             WHERE name = 'turn.started' ORDER BY sequence DESC LIMIT 1",
            params![id, LOOKED_AT],
            |row| column::natural(row, "sequence").map(|sequence| sequence.saturating_sub(1)),
        )
    }
}

impl Writer<'_> {
    /// Notes of sessions that they were active today, where it is not known when.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn date_sessions(&mut self, ids: &[SessionId]) -> Result<(), StoreError> {
        let day = self.see_day()?;
        self.execute(
            "date sessions",
            "UPDATE sessions SET active_day = ?2
             WHERE id IN (SELECT value FROM json_each(?1)) AND active_day IS NULL",
            params![column::to_json(&ids), day],
        )
        .map(drop)
    }

    /// Notes up to which event the turns of sessions have ended by now.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn mark(&mut self, marks: &[Mark]) -> Result<(), StoreError> {
        let (day, now) = (self.see_day()?, column::now());
        for mark in marks {
            self.execute(
                "mark session",
                "UPDATE sessions SET fold_to = ?2, fold_day = ?3, fold_at = ?4
                 WHERE id = ?1 AND fold_to IS NULL AND folded < ?2 AND last_event >= ?2",
                params![mark.id.as_str(), column::integer(mark.upto), day, now],
            )?;
        }
        Ok(())
    }
}

impl AuditedWriter<'_, '_> {
    /// Removes sessions of an agent that were kept for long enough: nobody is shown them any more,
    /// and [`Writer::purge_some`] takes them away. Those that were changed since they were seen stay.
    /// Leaves one record. Returns those that go.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn expire_sessions(
        &mut self,
        agent: &Agent,
        expired: &[ExpiredSession],
    ) -> Result<Vec<SessionId>, StoreError> {
        let mut gone = Vec::new();
        for session in expired.iter().filter(|session| session.agent_id == agent.id) {
            if self.is_busy(&session.id)? {
                continue;
            }
            let hidden = self.execute(
                "expire session",
                "UPDATE sessions SET hidden = ?2
                 WHERE id = ?1 AND hidden IS NULL AND updated_at = ?3 AND agent_id = ?4",
                params![session.id.as_str(), REMOVED, session.updated_at, agent.id.as_str()],
            )?;
            if hidden > 0 {
                gone.push(session.id.clone());
            }
        }
        if !gone.is_empty() {
            let fields = [format!("sessions={}", gone.len())];
            let name = Some(agent.name.as_str());
            self.record(Action::AgentExpire, agent.id.as_str(), name, &fields)?;
        }
        Ok(gone)
    }
}

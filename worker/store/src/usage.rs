//! What calls of models took, counted in the transaction that commits each: a worker that is killed
//! in between counts it once, or not at all.
//!
//! | Row of `usage` | Sums |
//! |---|---|
//! | session `''`, day | every call of that day, by agent, caller and model |
//! | a session, day | the same of one session |
//! | session `''`, day 0 | every call of a model |
//!
//! So what is asked for is a few rows, found by the primary key, however many sessions there are.
//! After [`DAYS`] days on which the service ran a day is folded into its month, and a session's is
//! forgotten: how many rows there are depends on what is in use, not on how long it has been.
//!
//! A counter that would pass the largest integer stays there.

mod report;

use rusqlite::params;

pub use self::report::UsageQuery;

use crate::{Reader, StoreError, Writer, column};
use evonic_domain::{Lease, ModelCall, Session, SessionId, TurnId, Usage};

/// How many days a day is kept by itself.
const DAYS: i64 = 400;

/// Old rows that may go with each call that is counted: more than come.
const PORTION: u32 = 8;

/// The identifier of the sums over all sessions, and of what has no name.
pub(super) const ALL: &str = "";

/// Who a turn's calls are counted for, and what they took so far.
#[derive(Clone, Debug)]
pub(super) struct Payer {
    pub(super) turn: TurnId,
    pub(super) session: SessionId,
    pub(super) agent: String,
    pub(super) caller: String,
    /// Of this turn.
    pub(super) tokens: u64,
    pub(super) cost: u64,
}

/// A day as it is stored: 20261201.
pub(super) fn day_number(time: &str) -> i64 {
    let digits: String = time.chars().filter(char::is_ascii_digit).take(8).collect();
    digits.parse().unwrap_or(0)
}

impl Reader<'_> {
    /// Who pays for a turn.
    pub(super) fn payer(&self, turn: &TurnId) -> Result<Payer, StoreError> {
        let payer = self.first(
            "read turn",
            "SELECT turns.session_id, turns.posted_by, turns.cost, turns.input_tokens,
                 turns.output_tokens,
                 COALESCE(NULLIF(turns.agent_id, ''), sessions.agent_id) AS agent_id
             FROM turns JOIN sessions ON sessions.id = turns.session_id WHERE turns.id = ?1",
            [turn.as_str()],
            |row| {
                let (input, output) =
                    (column::natural(row, "input_tokens")?, column::natural(row, "output_tokens")?);
                Ok(Payer {
                    turn: turn.clone(),
                    session: column::parsed(row, "session_id")?,
                    agent: row.get("agent_id")?,
                    caller: row.get("posted_by")?,
                    tokens: input.saturating_add(output),
                    cost: column::natural(row, "cost")?,
                })
            },
        )?;
        payer.ok_or_else(|| StoreError::not_found("turn", turn))
    }
}

impl Writer<'_> {
    /// Counts a call of a model that is no step of its turn: a summary's. To be committed with what
    /// came of it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn count_call(&mut self, lease: &Lease, call: &ModelCall) -> Result<(), StoreError> {
        self.check_lease(lease)?;
        self.count(&lease.turn_id, call)
    }

    /// Adds a call to the sums of its turn, its session, and of all that it is counted by; appends
    /// `budget.reached` for each mark that is reached with it.
    pub(super) fn count(&mut self, turn: &TurnId, call: &ModelCall) -> Result<(), StoreError> {
        let before = self.payer(turn)?;
        self.add_to_turn(turn, call)?;
        self.add_to_session(&before.session, call)?;
        let now = column::now();
        let (day, session) = (day_number(&now), before.session.as_str());
        self.add_usage(ALL, 0, (ALL, ALL), call)?;
        self.add_usage(ALL, day, (&before.agent, &before.caller), call)?;
        self.add_usage(session, day, (&before.agent, &before.caller), call)?;
        self.fold(&now)?;
        self.count_against_budgets(&before, call, &now)
    }

    fn add_to_turn(&mut self, turn: &TurnId, call: &ModelCall) -> Result<(), StoreError> {
        self.execute(
            "count tokens",
            "UPDATE turns SET
                 input_tokens = MIN(9223372036854775807, input_tokens + ?2),
                 output_tokens = MIN(9223372036854775807, output_tokens + ?3),
                 cached_tokens = MIN(9223372036854775807, cached_tokens + ?4),
                 cache_write_tokens = MIN(9223372036854775807, cache_write_tokens + ?5),
                 reasoning_tokens = MIN(9223372036854775807, reasoning_tokens + ?6),
                 cost = MIN(9223372036854775807, cost + ?7)
             WHERE id = ?1",
            params![
                turn.as_str(),
                column::integer(call.usage.input_tokens),
                column::integer(call.usage.output_tokens),
                column::integer(call.usage.cached_tokens),
                column::integer(call.usage.cache_write_tokens),
                column::integer(call.usage.reasoning_tokens),
                column::integer(call.cost)
            ],
        )
        .map(drop)
    }

    fn add_to_session(&mut self, id: &SessionId, call: &ModelCall) -> Result<(), StoreError> {
        let Session { mut usage, cost, .. } = self.session(id)?;
        usage += call.usage;
        let cost = cost.saturating_add(call.cost);
        self.execute(
            "count tokens",
            "UPDATE sessions SET usage = ?2, cost = ?3 WHERE id = ?1",
            params![id.as_str(), column::to_json(&capped(usage)), column::integer(cost)],
        )
        .map(drop)
    }

    pub(super) fn add_usage(
        &mut self,
        session: &str,
        day: i64,
        (agent, caller): (&str, &str),
        call: &ModelCall,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT DO UPDATE SET {}",
            add_excluded()
        );
        let parameters = params![
            session,
            day,
            agent,
            caller,
            call.model,
            call.is_uncounted(),
            column::integer(call.usage.input_tokens),
            column::integer(call.usage.cached_tokens),
            column::integer(call.usage.cache_write_tokens),
            column::integer(call.usage.output_tokens),
            column::integer(call.usage.reasoning_tokens),
            column::integer(call.cost)
        ];
        self.execute("count tokens", &sql, parameters).map(drop)
    }

    /// Folds a few days that are long ago into their month, and forgets those of sessions. Long ago
    /// is by the clock, and by the days that were seen since: a clock that steps makes nothing old.
    fn fold(&mut self, now: &str) -> Result<(), StoreError> {
        let sql = "SELECT day FROM days WHERE number = (SELECT MAX(number) FROM days) - ?1";
        let seen = self.first("fold usage", sql, [DAYS], |row| row.get::<_, String>("day"))?;
        let Some(seen) = seen else { return Ok(()) };
        let limit = day_number(&seen).min(day_number(now));
        self.execute(
            "fold usage",
            "DELETE FROM usage WHERE (session_id, day, agent_id, caller, model) IN (
                 SELECT session_id, day, agent_id, caller, model FROM usage
                 WHERE session_id <> '' AND day < ?1 LIMIT ?2)",
            params![limit, PORTION],
        )?;
        let (list, counters) = (COUNTERS.join(", "), add_excluded());
        let sql = format!(
            "INSERT INTO usage SELECT '', day / 100, agent_id, caller, model, {list} FROM (
                 SELECT * FROM usage WHERE session_id = '' AND day >= 10000000 AND day < ?1
                 ORDER BY session_id, day, agent_id, caller, model LIMIT ?2)
             WHERE true ON CONFLICT DO UPDATE SET {counters}"
        );
        if self.execute("fold usage", &sql, params![limit, PORTION])? == 0 {
            return Ok(());
        }
        self.execute(
            "fold usage",
            "DELETE FROM usage WHERE (session_id, day, agent_id, caller, model) IN (
                 SELECT session_id, day, agent_id, caller, model FROM usage
                 WHERE session_id = '' AND day >= 10000000 AND day < ?1
                 ORDER BY session_id, day, agent_id, caller, model LIMIT ?2)",
            params![limit, PORTION],
        )
        .map(drop)
    }
}

/// The columns of `usage` that count, in their order.
const COUNTERS: [&str; 8] = [
    "calls",
    "uncounted_calls",
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
];

/// Adds the counters of a row to those of one that is there. SQLite makes a sum that is too large a
/// real number, which is larger than the largest integer.
fn add_excluded() -> String {
    let add = |name| format!("{name} = MIN(9223372036854775807, {name} + excluded.{name})");
    COUNTERS.map(add).join(", ")
}

/// Tokens that the database can hold.
fn capped(usage: Usage) -> Usage {
    let cap = |tokens: u64| column::integer(tokens).unsigned_abs();
    Usage {
        input_tokens: cap(usage.input_tokens),
        cached_tokens: cap(usage.cached_tokens),
        cache_write_tokens: cap(usage.cache_write_tokens),
        output_tokens: cap(usage.output_tokens),
        reasoning_tokens: cap(usage.reasoning_tokens),
    }
}

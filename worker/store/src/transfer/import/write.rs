//! What an import writes: a session's first row, hidden; its rows; and the session, shown.

use rusqlite::{params_from_iter, types::Value as Column};

use super::Incoming;
use crate::{
    AuditedWriter, StoreError, Writer, column, error::During, record::Record, transfer::Part,
};
use evonic_domain::{Action, AgentId, EventKind, Message, Session, SessionId, Turn, TurnId};

/// What became of a session's first line.
pub(super) enum Begun {
    Made(AgentId),
    Skipped,
    Refused(String),
}

pub(super) fn begin_session(
    writer: &mut AuditedWriter<'_, '_>,
    id: &SessionId,
    agent: &str,
    mut columns: Vec<(String, Column)>,
    generation: u64,
    skips: bool,
) -> Result<Begun, StoreError> {
    writer.require_room()?;
    let agent = match writer.agent(agent) {
        Ok(agent) => agent,
        Err(StoreError::NotFound { .. }) => {
            let problem = format!(
                "there is no agent {agent}: make it, or say which one gets the sessions (--agent)"
            );
            return Ok(Begun::Refused(problem));
        }
        Err(error) => return Err(error),
    };
    let sql = "SELECT hidden IS NULL AS shown FROM sessions WHERE id = ?1";
    match writer.first("import session", sql, [id.as_str()], |row| row.get("shown"))? {
        None => {}
        Some(true) if skips => return Ok(Begun::Skipped),
        Some(true) => {
            let problem = format!(
                "session {id} is there already: pass over those that are (--skip), or give all new \
                 identifiers (--new-ids)"
            );
            return Ok(Begun::Refused(problem));
        }
        Some(false) => {
            let problem = format!("session {id} is still being removed: try again in a moment");
            return Ok(Begun::Refused(problem));
        }
    }
    let day = writer.see_day()?;
    columns.push(("agent_id".to_owned(), agent.id.as_str().to_owned().into()));
    columns.push(("hidden".to_owned(), format!("import {generation}").into()));
    columns.push(("active_day".to_owned(), day.into()));
    insert_into(writer, Session::TABLE, &columns)?;
    read_back::<Session>(writer, id.as_str())?;
    Ok(Begun::Made(agent.id))
}

/// Shows a session that is whole, with its record.
pub(super) fn show_session(
    writer: &mut AuditedWriter<'_, '_>,
    id: &SessionId,
    open: &[String],
    events: u64,
    last_event: u64,
) -> Result<(), StoreError> {
    let folded_away = column::integer(last_event.saturating_sub(events));
    let sql = "UPDATE sessions SET hidden = NULL, folded_away = ?2 WHERE id = ?1";
    writer.execute("import session", sql, rusqlite::params![id.as_str(), folded_away])?;
    for turn in open {
        let turn: TurnId = turn.parse().map_err(|_| StoreError::not_found("turn", turn))?;
        writer.close_calls(id, &turn)?;
        writer.add_events(id, &turn, &[EventKind::TurnCancelled {}])?;
    }
    let agent = writer.agent(writer.session(id)?.agent_id.as_str())?;
    writer.record(Action::SessionImport, id.as_str(), Some(agent.name.as_str()), &[])
}

/// What a session took, of a file that says it of its turns only.
pub(super) fn sum_up(writer: &mut Writer<'_>, id: &SessionId) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET (usage, cost) = (
             SELECT json_object('input_tokens', COALESCE(SUM(input_tokens), 0),
                                'output_tokens', COALESCE(SUM(output_tokens), 0)),
                    COALESCE(SUM(cost), 0)
             FROM turns WHERE session_id = ?1)
         WHERE id = ?1";
    writer.execute("import session", sql, [id.as_str()]).map(drop)
}

pub(super) fn insert(
    writer: &mut Writer<'_>,
    part: &Part,
    columns: &[(String, Column)],
    id: Option<&str>,
) -> Result<(), StoreError> {
    insert_into(writer, part.table, columns)?;
    match (part.kind, id) {
        ("turn", Some(id)) => read_back::<Turn>(writer, id),
        ("message", Some(id)) => read_back::<Message>(writer, id),
        _ => Ok(()),
    }
}

/// Names of columns are quoted: they are a stranger's words.
fn insert_into(
    writer: &mut Writer<'_>,
    table: &str,
    columns: &[(String, Column)],
) -> Result<(), StoreError> {
    let names: Vec<_> =
        columns.iter().map(|(name, _)| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    let places = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", names.join(", "));
    let values = columns.iter().map(|(_, value)| value);
    writer.execute("import row", &sql, params_from_iter(values)).map(drop)
}

/// Whether a row that was written can be read.
fn read_back<T: Record>(writer: &Writer<'_>, id: &str) -> Result<(), StoreError> {
    let sql = format!("SELECT * FROM {} WHERE id = ?1", T::TABLE);
    writer
        .connection()
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.query_row([id], T::from_row))
        .map(drop)
        .during("read what was imported")
}

/// Why a row is not taken.
pub(super) fn refusal(row: &Incoming, error: &StoreError) -> String {
    let reason = chain(error);
    if reason.contains("UNIQUE constraint failed") {
        let (kind, id) = (row.part.kind, row.id.as_deref().unwrap_or_default());
        return format!("{kind} {id} is there already: give all new identifiers (--new-ids)");
    }
    format!("this {} is not stored: {reason}", row.part.kind)
}

pub(super) fn chain(error: &StoreError) -> String {
    evonic_shared::error_chain::ErrorChain(error).to_string()
}

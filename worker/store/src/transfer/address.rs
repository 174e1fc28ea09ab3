//! Addresses of items. In the database they name a turn by its position, which is another one in
//! every database; in a line by its place in the session, from 1. 0 is before the first turn.

use rusqlite::Row;
use serde_json::{Map, Value};

use super::Part;
use crate::{Reader, StoreError, column};

/// Whether the `data` of a line has addresses.
pub(super) fn has_any(part: &Part, fields: &Map<String, Value>) -> bool {
    match part.kind {
        "compaction" => true,
        "event" => fields.get("name").is_some_and(|name| name == "context.compacted"),
        _ => false,
    }
}

/// JSON with its addresses as `turn` gives them.
pub(super) fn mapped(
    data: &str,
    turn: &impl Fn(u64) -> Result<u64, String>,
) -> Result<String, String> {
    let mut value = serde_json::from_str(data).map_err(|error| error.to_string())?;
    map(&mut value, turn)?;
    Ok(value.to_string())
}

fn map(value: &mut Value, turn: &impl Fn(u64) -> Result<u64, String>) -> Result<(), String> {
    match value {
        Value::Object(object) => {
            if let (2, Some(from), true) = (
                object.len(),
                object.get("turn").and_then(Value::as_u64),
                object.contains_key("item"),
            ) {
                object.insert("turn".to_owned(), turn(from)?.into());
                return Ok(());
            }
            object.values_mut().try_for_each(|value| map(value, turn))
        }
        Value::Array(values) => values.iter_mut().try_for_each(|value| map(value, turn)),
        _ => Ok(()),
    }
}

/// The positions of a session's turns, read when they are asked for first.
#[derive(Debug)]
pub(super) struct Positions {
    session: String,
    turns: Option<Vec<u64>>,
}

impl Positions {
    pub(super) const fn of(session: String) -> Self {
        Self { session, turns: None }
    }

    /// Makes a row of the session what stands in a line.
    pub(super) fn settle(
        &mut self,
        reader: &Reader<'_>,
        part: &Part,
        fields: &mut Map<String, Value>,
    ) -> Result<(), StoreError> {
        if !has_any(part, fields) {
            return Ok(());
        }
        if self.turns.is_none() {
            let sql = "SELECT position FROM turns WHERE session_id = ?1 ORDER BY position";
            let position = |row: &Row<'_>| column::natural(row, "position");
            self.turns = Some(reader.all("export rows", sql, [&self.session], position)?);
        }
        let turns = self.turns.as_deref().unwrap_or_default();
        let place = |turn| Ok(turns.partition_point(|position| *position <= turn) as u64);
        let data = fields.get("data").and_then(Value::as_str).unwrap_or_default();
        // What is no JSON has no addresses: whoever imports it says so.
        if let Ok(data) = mapped(data, &place) {
            fields.insert("data".to_owned(), data.into());
        }
        Ok(())
    }
}

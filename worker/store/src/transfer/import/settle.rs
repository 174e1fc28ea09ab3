//! Lines of a file as what they are in this database: identifiers, positions, what had not ended.

use serde_json::Value;

use super::{Fields, Within};
use crate::{
    column,
    transfer::{Part, address},
};
use evonic_domain::{Attachment, Item, MessageId, NewCompaction, TurnId, TurnState};

impl Within {
    /// Gives a row the identifiers that it has here, and what belongs to this database. Returns its
    /// own, where it has one.
    pub(super) fn settle(
        &mut self,
        part: &Part,
        fields: &mut Fields,
    ) -> Result<Option<String>, String> {
        let text = |fields: &Fields, name: &str| {
            let text = fields.get(name).and_then(Value::as_str).map(str::to_owned);
            text.ok_or_else(|| format!("field '{name}' is no text"))
        };
        if matches!(part.kind, "turn" | "message") {
            let old = text(fields, "id")?;
            if let Some(new_ids) = &mut self.new_ids {
                let new = match part.kind {
                    "turn" => TurnId::new().to_string(),
                    _ => MessageId::new().to_string(),
                };
                fields.insert("id".to_owned(), new.clone().into());
                new_ids.insert(old, new);
            }
        }
        if part.kind == "turn" {
            let id = text(fields, "id")?;
            let state = text(fields, "state")?;
            if matches!(state.as_str(), "queued" | "running") {
                self.open.push(id.clone());
                fields.insert("state".to_owned(), TurnState::Cancelled.name().into());
                fields.insert("ended_at".to_owned(), column::now().into());
                fields.insert("partial_text".to_owned(), 0.into());
            }
            self.turns.insert(id);
        } else if fields.contains_key("turn_id") {
            let old = text(fields, "turn_id")?;
            let id = self.here(&old);
            if !self.turns.contains(&id) {
                return Err(format!("turn {old} is not in this session"));
            }
            fields.insert("turn_id".to_owned(), id.into());
        }
        if address::has_any(part, fields) {
            self.settle_addresses(fields)?;
        }
        match part.kind {
            "event" => self.settle_event(fields)?,
            "compaction" => {
                self.compactions += 1;
                if fields.get("number").and_then(Value::as_u64) != Some(self.compactions) {
                    return Err(format!("field 'number' is not {}", self.compactions));
                }
            }
            _ => {}
        }
        let own = matches!(part.kind, "turn" | "message").then(|| text(fields, "id"));
        own.transpose()
    }

    /// Turns by their place in the session become turns by their position in this database.
    fn settle_addresses(&self, fields: &mut Fields) -> Result<(), String> {
        let data = fields.get("data").and_then(Value::as_str).unwrap_or_default();
        let position = |turn: u64| {
            let Some(before) = turn.checked_sub(1) else { return Ok(0) };
            let index = usize::try_from(before).unwrap_or(usize::MAX);
            let found = self.positions.get(index).copied();
            found.ok_or_else(|| format!("turn number {turn} is not in this session"))
        };
        let data = address::mapped(data, &position)
            .map_err(|problem| format!("field 'data': {problem}"))?;
        fields.insert("data".to_owned(), data.into());
        Ok(())
    }

    /// The identifiers that stand in an event; its place in the log.
    fn settle_event(&mut self, fields: &mut Fields) -> Result<(), String> {
        let sequence = fields.get("sequence").and_then(Value::as_u64).unwrap_or(0);
        if sequence == 0 || sequence > self.last_event {
            return Err("field 'sequence' is not within the session's log".to_owned());
        }
        self.events += 1;
        if self.new_ids.is_none() {
            return Ok(());
        }
        let data = fields.get("data").and_then(Value::as_str).unwrap_or_default();
        let mut event: Fields =
            serde_json::from_str(data).map_err(|error| format!("field 'data': {error}"))?;
        for name in ["turn_id", "message_id"] {
            if let Some(id) = event.get(name).and_then(Value::as_str) {
                let id = self.here(id);
                event.insert(name.to_owned(), id.into());
            }
        }
        fields.insert("data".to_owned(), Value::Object(event).to_string().into());
        Ok(())
    }

    /// What something is called here.
    fn here(&self, old: &str) -> String {
        let new = self.new_ids.as_ref().and_then(|new_ids| new_ids.get(old));
        new.cloned().unwrap_or_else(|| old.to_owned())
    }
}

/// Whether what is JSON in a row can be read again. Returns what is attached to it.
pub(super) fn check(part: &Part, fields: &Fields) -> Result<Vec<Attachment>, String> {
    let data = fields.get("data").and_then(Value::as_str);
    let wrong = |error: serde_json::Error| format!("field 'data': {error}");
    match (part.kind, data) {
        ("item", Some(data)) => match serde_json::from_str(data).map_err(wrong)? {
            Item::User { attachments, .. } => Ok(attachments),
            _ => Ok(Vec::new()),
        },
        ("event", Some(data)) => {
            let event: Fields = serde_json::from_str(data).map_err(wrong)?;
            if event.get("type") != fields.get("name") {
                return Err("field 'name' is not the type of its data".to_owned());
            }
            if data.contains(['\n', '\r']) {
                return Err("field 'data' is more than a line".to_owned());
            }
            Ok(Vec::new())
        }
        ("compaction", Some(data)) => {
            serde_json::from_str::<NewCompaction>(data).map(|_| Vec::new()).map_err(wrong)
        }
        ("item" | "event" | "compaction", None) => Err("field 'data' is no text".to_owned()),
        ("message", _) => match fields.get("attachments") {
            None => Ok(Vec::new()),
            Some(attachments) => {
                let text = attachments.as_str().unwrap_or_default();
                serde_json::from_str(text).map_err(|error| format!("field 'attachments': {error}"))
            }
        },
        _ => Ok(Vec::new()),
    }
}

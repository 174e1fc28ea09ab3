//! Folding: the pieces of a step's text and of a call's output go, where the event of the whole has
//! them.
//!
//! | Piece | Goes when | Stays when |
//! |---|---|---|
//! | `text.delta` | `step.completed` has its text, or `text.retracted` made it void | the turn ended before its reply was whole |
//! | `tool.output` | the content of its `tool.completed` has all of the call's output | it was too long, or is told otherwise |
//!
//! Sequences keep their numbers.

use std::collections::HashMap;

use rusqlite::params;
use serde::Deserialize;

use crate::{Reader, StoreError, Writer, column, error::During};
use evonic_domain::SessionId;

/// Events of which a plan decides, before it ends at the next step.
const LOOKED_AT: u64 = 4096;

/// A call with more output than this keeps it: no result has that much.
const OUTPUT_BYTES: usize = 4 << 20;

/// The log of a session that is to be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The session.
    pub id: SessionId,
    /// It is folded up to this event.
    pub after: u64,
    /// And is to be up to this one.
    pub upto: u64,
}

/// What goes of a part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldPlan {
    /// Pieces: the first and the last sequence of each run of them, in order.
    pub pieces: Vec<(u64, u64)>,
    /// The log is folded up to this event when they are gone.
    pub upto: u64,
}

/// Pieces of which it is not decided yet.
#[derive(Debug, Default)]
struct Pieces(Vec<(u64, u64)>);

impl Pieces {
    fn push(&mut self, sequence: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == sequence => *last = sequence,
            _ => self.0.push((sequence, sequence)),
        }
    }
}

/// The output of one call.
#[derive(Debug, Default)]
struct Output {
    pieces: Pieces,
    text: String,
    is_too_long: bool,
}

/// What a plan is made of, on the way through a log.
#[derive(Debug, Default)]
struct Planner {
    text: Pieces,
    outputs: HashMap<String, Output>,
    pieces: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
struct OutputPiece {
    call_id: String,
    text: String,
}

#[derive(Deserialize)]
struct CallResult {
    call_id: String,
    content: String,
}

impl Planner {
    /// Takes an event in; its data where it is of a call. Returns whether everything up to it is
    /// decided.
    fn take(&mut self, sequence: u64, name: &str, data: Option<&str>) -> bool {
        match name {
            "text.delta" => self.text.push(sequence),
            "text.retracted" => self.pieces.append(&mut self.text.0),
            "tool.output" => self.add_output(sequence, data),
            "tool.completed" => self.end_output(data),
            "step.completed" => {
                self.pieces.append(&mut self.text.0);
                self.outputs.clear();
                return true;
            }
            "turn.completed" | "turn.failed" | "turn.cancelled" => {
                self.text.0.clear();
                self.outputs.clear();
                return true;
            }
            _ => {}
        }
        false
    }

    fn add_output(&mut self, sequence: u64, data: Option<&str>) {
        let Some(piece) = data.and_then(|data| serde_json::from_str::<OutputPiece>(data).ok())
        else {
            return;
        };
        let output = self.outputs.entry(piece.call_id).or_default();
        output.pieces.push(sequence);
        output.is_too_long |= output.text.len() + piece.text.len() > OUTPUT_BYTES;
        if output.is_too_long {
            output.text = String::new();
        } else {
            output.text.push_str(&piece.text);
        }
    }

    fn end_output(&mut self, data: Option<&str>) {
        let Some(result) = data.and_then(|data| serde_json::from_str::<CallResult>(data).ok())
        else {
            return;
        };
        if let Some(mut output) = self.outputs.remove(&result.call_id)
            && !output.is_too_long
            && result.content.contains(output.text.trim_end_matches('\n'))
        {
            self.pieces.append(&mut output.pieces.0);
        }
    }
}

impl Reader<'_> {
    /// What goes of the next part of a log that is to be folded: some thousand events, to the end
    /// of a step.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn fold_plan(&self, fold: &Fold) -> Result<FoldPlan, StoreError> {
        let operation = "plan fold";
        let sql = "SELECT sequence, name, CASE WHEN name IN ('tool.output', 'tool.completed')
                       AND octet_length(data) <= ?4 THEN data END AS data
             FROM events WHERE session_id = ?1 AND sequence > ?2 AND sequence <= ?3
             ORDER BY sequence";
        let mut statement = self.connection().prepare_cached(sql).during(operation)?;
        let most = column::integer(2 * OUTPUT_BYTES as u64);
        let (after, upto) = (column::integer(fold.after), column::integer(fold.upto));
        let parameters = params![fold.id.as_str(), after, upto, most];
        let mut rows = statement.query(parameters).during(operation)?;
        let (mut planner, mut looked_at) = (Planner::default(), 0);
        while let Some(row) = rows.next().during(operation)? {
            let sequence = column::natural(row, "sequence").during(operation)?;
            let name = row.get_ref("name").during(operation)?.as_str().unwrap_or_default();
            let data = row.get_ref("data").during(operation)?.as_str().ok();
            looked_at += 1;
            if planner.take(sequence, name, data) && looked_at >= LOOKED_AT {
                return Ok(FoldPlan { pieces: sorted(planner.pieces), upto: sequence });
            }
        }
        Ok(FoldPlan { pieces: sorted(planner.pieces), upto: fold.upto })
    }
}

fn sorted(mut pieces: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    pieces.sort_unstable();
    pieces
}

impl FoldPlan {
    /// The same pieces in portions of at most so many events.
    pub fn portions(&self, most: u64) -> impl Iterator<Item = Vec<(u64, u64)>> {
        let mut portions = vec![Vec::new()];
        let mut room = most;
        for &(first, last) in &self.pieces {
            let mut first = first;
            while first <= last {
                if room == 0 {
                    portions.push(Vec::new());
                    room = most;
                }
                let end = last.min(first + room - 1);
                room -= end - first + 1;
                if let Some(portion) = portions.last_mut() {
                    portion.push((first, end));
                }
                first = end + 1;
            }
        }
        portions.into_iter().filter(|portion| !portion.is_empty())
    }
}

impl Writer<'_> {
    /// Takes pieces of a session's log away. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn take_pieces(
        &mut self,
        id: &SessionId,
        pieces: &[(u64, u64)],
    ) -> Result<u64, StoreError> {
        let mut gone = 0;
        for &(first, last) in pieces {
            let sql = "DELETE FROM events WHERE session_id = ?1 AND sequence BETWEEN ?2 AND ?3";
            let parameters = params![id.as_str(), column::integer(first), column::integer(last)];
            gone += self.execute("fold events", sql, parameters)? as u64;
        }
        // A cursor is too old as soon as one of them is gone.
        let last = pieces.last().map_or(0, |(_, last)| *last);
        self.execute(
            "fold events",
            "UPDATE sessions SET folded_away = folded_away + ?2, folded = max(folded, ?3)
             WHERE id = ?1",
            params![id.as_str(), column::integer(gone), column::integer(last)],
        )?;
        Ok(gone)
    }

    /// Notes up to which event a session's log is folded; that it need not be folded further once
    /// that is the one it was marked with.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn folded(&mut self, id: &SessionId, upto: u64) -> Result<(), StoreError> {
        self.execute(
            "fold events",
            "UPDATE sessions SET folded = max(folded, ?2),
                 fold_at = iif(fold_to <= ?2, NULL, fold_at),
                 fold_day = iif(fold_to <= ?2, NULL, fold_day),
                 fold_to = iif(fold_to <= ?2, NULL, fold_to)
             WHERE id = ?1",
            params![id.as_str(), column::integer(upto)],
        )
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(events: &[(&str, &str)]) -> Vec<(u64, u64)> {
        let mut planner = Planner::default();
        for (sequence, (name, data)) in (1..).zip(events) {
            planner.take(sequence, name, Some(data));
        }
        sorted(planner.pieces)
    }

    #[test]
    fn the_text_of_a_step_goes_and_that_of_none_stays() {
        let delta = ("text.delta", "");
        assert_eq!(plan(&[delta, delta, ("step.completed", "")]), [(1, 2)]);
        assert_eq!(
            plan(&[delta, ("message.created", ""), delta, ("step.completed", "")]),
            [(1, 1), (3, 3)]
        );
        assert_eq!(plan(&[delta, ("text.retracted", ""), delta, ("turn.cancelled", "")]), [(1, 1)]);
        assert_eq!(plan(&[delta, ("turn.failed", ""), ("step.completed", "")]), []);
        assert_eq!(plan(&[delta]), []);
    }

    #[test]
    fn the_output_of_a_call_goes_where_its_result_has_all_of_it() {
        let piece = |call: &str, text: &str| format!(r#"{{"call_id":"{call}","text":"{text}"}}"#);
        let result =
            |call: &str, text: &str| format!(r#"{{"call_id":"{call}","content":"{text}"}}"#);
        let (a, b, c) = (piece("1", "one "), piece("2", "other"), piece("1", "two\\n"));
        let (whole, cut) = (result("1", "one two\\nexit code 0"), result("2", "ot...er"));
        let events = [
            ("tool.output", a.as_str()),
            ("tool.output", b.as_str()),
            ("tool.output", c.as_str()),
            ("tool.completed", whole.as_str()),
            ("tool.completed", cut.as_str()),
            ("step.completed", ""),
        ];
        assert_eq!(plan(&events), [(1, 1), (3, 3)]);
    }

    #[test]
    fn a_plan_is_done_in_portions() {
        let plan = FoldPlan { pieces: vec![(1, 3), (5, 5), (7, 12)], upto: 12 };
        let portions: Vec<_> = plan.portions(4).collect();
        assert_eq!(portions, [vec![(1, 3), (5, 5)], vec![(7, 10)], vec![(11, 12)]]);
        assert_eq!(FoldPlan::default().portions(4).count(), 0);
    }
}

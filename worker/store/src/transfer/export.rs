//! Sessions on their way out, a bounded piece at a time.

use rusqlite::{ToSql, types::Value as Column};
use serde_json::{Map, Value, json};

use super::{Owner, PARTS, Part, SESSION_LEFT_OUT, VERSION, row};
use crate::{Reader, StoreError, column, error::During, schema};
use evonic_domain::{AgentId, SessionId};

/// A piece is full from this size on; a single line may make it larger.
const PIECE_BYTES: usize = 128 * 1024;

/// Which sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportOf {
    /// This one.
    Session(SessionId),
    /// All of these agents; of every agent where none are given.
    Agents(Option<Vec<AgentId>>),
}

/// An export that is under way. It holds no handle: each piece is read anew.
#[derive(Debug)]
pub struct Export {
    of: ExportOf,
    stage: Stage,
    /// The last session that was begun.
    last: String,
    sessions: u64,
}

#[derive(Debug)]
enum Stage {
    Head,
    /// Between two sessions.
    Next,
    Within(Box<Within>),
    Ended,
}

/// Where an export is within a session.
#[derive(Debug)]
struct Within {
    id: String,
    /// Its last turn, message and event when it was begun: what came since is not in it.
    last: [i64; 3],
    /// Which of the parts that hang on the session.
    part: usize,
    cursor: Vec<Column>,
    /// Within a turn: which, and which of the parts that hang on it.
    turn: Option<(String, usize, Vec<Column>)>,
    lines: u64,
}

/// A session's identifier and its line.
type SessionLine = (String, Map<String, Value>);

fn parts(owner: Owner) -> Vec<&'static Part> {
    PARTS.iter().filter(|part| part.owner == owner).collect()
}

impl Export {
    /// An export of these sessions.
    #[must_use]
    pub fn new(of: ExportOf) -> Self {
        Self { of, stage: Stage::Head, last: String::new(), sessions: 0 }
    }

    /// The next piece: whole lines. None at the end.
    ///
    /// # Errors
    /// [`StoreError::Sql`]; [`StoreError::NotFound`] for a session that is asked for by itself.
    pub fn next_piece(&mut self, reader: &Reader<'_>) -> Result<Option<String>, StoreError> {
        let mut piece = String::new();
        while piece.len() < PIECE_BYTES {
            match &mut self.stage {
                Stage::Head => {
                    let program = env!("CARGO_PKG_VERSION");
                    let known = schema::KNOWN;
                    add(
                        &mut piece,
                        &json!({
                            "kind": "export", "version": VERSION, "schema": known, "program": program,
                        }),
                    );
                    self.stage = Stage::Next;
                }
                Stage::Next => match self.next_session(reader)? {
                    Some((id, line)) => {
                        add(&mut piece, &Value::Object(line));
                        let within = Within::begin(reader, id.clone())?;
                        (self.last, self.stage) = (id, Stage::Within(Box::new(within)));
                        self.sessions += 1;
                    }
                    None => {
                        add(&mut piece, &json!({ "kind": "end", "sessions": self.sessions }));
                        self.stage = Stage::Ended;
                    }
                },
                Stage::Within(within) => {
                    if !within.add_rows(reader, &mut piece)? {
                        add(&mut piece, &within.end(reader)?);
                        self.stage = Stage::Next;
                    }
                }
                Stage::Ended => break,
            }
        }
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// The next session: its identifier and its line.
    fn next_session(&self, reader: &Reader<'_>) -> Result<Option<SessionLine>, StoreError> {
        let select = "SELECT sessions.id, agents.name AS agent, sessions.* FROM sessions
             JOIN agents ON agents.id = sessions.agent_id WHERE hidden IS NULL";
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get("id")?, row::fields(row, "session", &SESSION_LEFT_OUT)?))
        };
        match &self.of {
            ExportOf::Session(_) if self.sessions > 0 => Ok(None),
            ExportOf::Session(id) => {
                let sql = format!("{select} AND sessions.id = ?1");
                let found = reader.first("export session", &sql, [id.as_str()], read)?;
                found.map(Some).ok_or_else(|| StoreError::not_found("session", id))
            }
            ExportOf::Agents(None) => {
                let sql = format!("{select} AND sessions.id > ?1 ORDER BY sessions.id LIMIT 1");
                reader.first("export session", &sql, [&self.last], read)
            }
            ExportOf::Agents(Some(agents)) => {
                let sql = format!(
                    "{select} AND sessions.id > ?1
                     AND agent_id IN (SELECT value FROM json_each(?2))
                     ORDER BY sessions.id LIMIT 1"
                );
                let parameters = [&self.last, &column::to_json(agents)];
                reader.first("export session", &sql, parameters, read)
            }
        }
    }
}

impl Within {
    fn begin(reader: &Reader<'_>, id: String) -> Result<Self, StoreError> {
        let last = |sql: &str| {
            reader.one("export session", sql, [id.as_str()], |row| row.get::<_, i64>("last"))
        };
        let last = [
            last("SELECT COALESCE(MAX(position), 0) AS last FROM turns WHERE session_id = ?1")?,
            last("SELECT COALESCE(MAX(position), 0) AS last FROM messages WHERE session_id = ?1")?,
            last("SELECT COALESCE(MAX(sequence), 0) AS last FROM events WHERE session_id = ?1")?,
        ];
        Ok(Self { id, last, part: 0, cursor: Vec::new(), turn: None, lines: 1 })
    }

    /// Adds one row. Returns whether there was one.
    fn add_rows(&mut self, reader: &Reader<'_>, piece: &mut String) -> Result<bool, StoreError> {
        loop {
            if let Some((turn, index, cursor)) = &mut self.turn {
                let of_turn = parts(Owner::Turn);
                let Some(part) = of_turn.get(*index) else {
                    self.turn = None;
                    continue;
                };
                let added = add_part(reader, part, turn, cursor, i64::MAX, piece)?;
                self.lines += added.lines;
                if added.is_last {
                    (*index, *cursor) = (*index + 1, Vec::new());
                }
                return Ok(true);
            }
            let of_session = parts(Owner::Session);
            let Some(part) = of_session.get(self.part) else { return Ok(false) };
            let most = self.last.get(self.part).copied().unwrap_or(i64::MAX);
            let added = add_part(reader, part, &self.id, &mut self.cursor, most, piece)?;
            self.lines += added.lines;
            if added.is_last {
                (self.part, self.cursor) = (self.part + 1, Vec::new());
            }
            if part.kind == "turn" && !added.is_last {
                self.turn = Some((added.id, 0, Vec::new()));
            }
            return Ok(true);
        }
    }

    /// The line that ends the session. One that was deleted meanwhile is not whole.
    fn end(&self, reader: &Reader<'_>) -> Result<Value, StoreError> {
        let sql = "SELECT 1 FROM sessions WHERE id = ?1 AND hidden IS NULL";
        let is_whole = reader.exists("export session", sql, [self.id.as_str()])?;
        let (id, lines) = (&self.id, self.lines);
        Ok(json!({ "kind": "session_end", "id": id, "lines": lines, "whole": is_whole }))
    }
}

/// What was added of a part.
struct Added {
    lines: u64,
    /// The identifier of the last row, where rows have one.
    id: String,
    /// Whether nothing follows.
    is_last: bool,
}

/// Adds rows of a part behind a cursor, until the piece is full; of turns a single one, for what hangs
/// on it follows.
fn add_part(
    reader: &Reader<'_>,
    part: &Part,
    owner: &str,
    cursor: &mut Vec<Column>,
    most: i64,
    piece: &mut String,
) -> Result<Added, StoreError> {
    let operation = "export rows";
    let (table, of, order) = (part.table, part.owner.column(), part.order.join(", "));
    let first = part.order.first().copied().unwrap_or_default();
    let places: Vec<_> = (3..).take(cursor.len()).map(|place| format!("?{place}")).collect();
    let after = match places.is_empty() {
        true => String::new(),
        false => format!("AND ({order}) > ({})", places.join(", ")),
    };
    let sql =
        format!("SELECT * FROM {table} WHERE {of} = ?1 AND {first} <= ?2 {after} ORDER BY {order}");
    let mut parameters: Vec<&dyn ToSql> = vec![&owner, &most];
    parameters.extend(cursor.iter().map(|value| value as &dyn ToSql));
    let mut statement = reader.connection().prepare_cached(&sql).during(operation)?;
    let mut rows = statement.query(&parameters[..]).during(operation)?;
    let (mut added, mut last) = (Added { lines: 0, id: String::new(), is_last: false }, None);
    loop {
        let Some(row) = rows.next().during(operation)? else {
            added.is_last = true;
            break;
        };
        let fields = row::fields(row, part.kind, part.left_out).during(operation)?;
        let keys: rusqlite::Result<Vec<Column>> =
            part.order.iter().map(|name| row.get(*name)).collect();
        last = Some(keys.during(operation)?);
        added.lines += 1;
        if part.kind == "turn" {
            added.id = row.get("id").during(operation)?;
        }
        add(piece, &Value::Object(fields));
        if piece.len() >= PIECE_BYTES || part.kind == "turn" {
            break;
        }
    }
    drop(rows);
    drop(statement);
    if let Some(last) = last {
        *cursor = last;
    }
    Ok(added)
}

fn add(piece: &mut String, line: &Value) {
    piece.push_str(&line.to_string());
    piece.push('\n');
}

//! Sessions on their way out, a bounded piece at a time.

use rusqlite::{ToSql, types::Value as Column};
use serde_json::{Map, Value, json};

use super::{Owner, PARTS, Part, SESSION_LEFT_OUT, VERSION, address::Positions, row};
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
    /// The last of each part that grows when it was begun: what came since is not in it.
    last: Vec<i64>,
    /// Which of the parts that hang on the session.
    part: usize,
    cursor: Vec<Column>,
    /// Within a turn or a content.
    below: Option<Below>,
    positions: Positions,
    lines: u64,
}

/// Where an export is within what hangs on a row of a session.
#[derive(Debug)]
struct Below {
    owner: Owner,
    id: Column,
    /// Which of the parts that hang on it.
    part: usize,
    cursor: Vec<Column>,
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
            Ok((
                row.get("id")?,
                row::fields(row, "session", |name| SESSION_LEFT_OUT.contains(&name))?,
            ))
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
        let last = |part: &&Part| {
            let (Some(first), true) = (part.order.first(), part.grows) else { return Ok(i64::MAX) };
            let table = part.table;
            let sql = format!(
                "SELECT COALESCE(MAX({first}), 0) AS last FROM {table} WHERE session_id = ?1"
            );
            reader.one("export session", &sql, [id.as_str()], |row| row.get("last"))
        };
        let last = parts(Owner::Session).iter().map(last).collect::<Result<_, StoreError>>()?;
        let positions = Positions::of(id.clone());
        Ok(Self { id, last, part: 0, cursor: Vec::new(), below: None, positions, lines: 1 })
    }

    /// Adds rows of one part. Returns whether there was one.
    fn add_rows(&mut self, reader: &Reader<'_>, piece: &mut String) -> Result<bool, StoreError> {
        loop {
            if let Some(below) = &mut self.below {
                let of_owner = parts(below.owner);
                let Some(part) = of_owner.get(below.part) else {
                    self.below = None;
                    continue;
                };
                let (id, cursor) = (&below.id, &mut below.cursor);
                let positions = &mut self.positions;
                let added = add_part(reader, part, id, cursor, None, positions, piece)?;
                self.lines += added.lines;
                if added.is_last {
                    (below.part, below.cursor) = (below.part + 1, Vec::new());
                }
                return Ok(true);
            }
            let of_session = parts(Owner::Session);
            let Some(part) = of_session.get(self.part) else { return Ok(false) };
            let most = self.last.get(self.part).copied().filter(|_| part.grows);
            let owner = Column::from(self.id.clone());
            let (cursor, positions) = (&mut self.cursor, &mut self.positions);
            let added = add_part(reader, part, &owner, cursor, most, positions, piece)?;
            self.lines += added.lines;
            if added.is_last {
                (self.part, self.cursor) = (self.part + 1, Vec::new());
            }
            if let Some((owner, id)) = added.below {
                self.below = Some(Below { owner, id, part: 0, cursor: Vec::new() });
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
#[derive(Default)]
struct Added {
    lines: u64,
    /// What has lines of its own that follow now.
    below: Option<(Owner, Column)>,
    /// Whether nothing follows.
    is_last: bool,
}

/// Adds rows of a part behind a cursor, until the piece is full; a single one of what has lines of its
/// own, for these follow. `most` is the last that is taken of a part that grows.
fn add_part(
    reader: &Reader<'_>,
    part: &Part,
    owner: &Column,
    cursor: &mut Vec<Column>,
    most: Option<i64>,
    positions: &mut Positions,
    piece: &mut String,
) -> Result<Added, StoreError> {
    let operation = "export rows";
    let (from, of, order) = (part.rows, part.owner.column(), part.order.join(", "));
    let mut parameters: Vec<&dyn ToSql> = vec![owner];
    let mut sql = format!("SELECT * FROM {from} WHERE {of} = ?1");
    if let (Some(most), Some(first)) = (&most, part.order.first()) {
        parameters.push(most);
        sql.push_str(&format!(" AND {first} <= ?{}", parameters.len()));
    }
    if !cursor.is_empty() {
        let places: Vec<_> =
            (parameters.len() + 1..).take(cursor.len()).map(|place| format!("?{place}")).collect();
        sql.push_str(&format!(" AND ({order}) > ({})", places.join(", ")));
        parameters.extend(cursor.iter().map(|value| value as &dyn ToSql));
    }
    sql.push_str(&format!(" ORDER BY {order}"));
    let mut statement = reader.connection().prepare_cached(&sql).during(operation)?;
    let mut rows = statement.query(&parameters[..]).during(operation)?;
    let (mut added, mut last) = (Added::default(), None);
    loop {
        let Some(row) = rows.next().during(operation)? else {
            added.is_last = true;
            break;
        };
        let mut fields =
            row::fields(row, part.kind, |name| part.leaves_out(name)).during(operation)?;
        let keys: rusqlite::Result<Vec<Column>> =
            part.order.iter().map(|name| row.get(*name)).collect();
        last = Some(keys.during(operation)?);
        added.lines += 1;
        if let Some((owner, id)) = part.below() {
            added.below = Some((owner, row.get(id).during(operation)?));
        }
        positions.settle(reader, part, &mut fields)?;
        add(piece, &Value::Object(fields));
        if piece.len() >= PIECE_BYTES || added.below.is_some() {
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

//! Sessions on their way in: line by line, each session hidden until it is whole.
//!
//! ```text
//! head -> session (hidden) -> its rows, some hundreds a transaction -> session_end: shown -> ...
//!                    \-> anything wrong, or nothing more: what is there of it is taken away
//! ```
//!
//! A turn that was queued or running is cancelled: nobody goes on with it. What turns took stands in
//! the session and its turns only: the bill is that of where they ran.

mod content;
mod settle;
mod write;

use std::collections::{HashMap, HashSet};

use rusqlite::types::Value as Column;
use serde_json::{Map, Value};

use self::{
    content::Content,
    settle::check,
    write::{Begun, begin_session, chain, insert, refusal, show_session, sum_up},
};
use super::{MAX_LINE_BYTES, Owner, PARTS, Part, SESSION_LEFT_OUT, VERSION, address, row};
use crate::{Making, Store, StoreError, retention::REMOVED, schema};
use evonic_domain::{AgentId, Origin, SessionId};

/// Rows that are written in one transaction, and their bytes.
const ROWS: usize = 256;
/// See [`ROWS`].
const BATCH_BYTES: usize = 1 << 20;

/// What SQLite calls a row's place, whatever its columns are called.
const ROW_IDS: [&str; 3] = ["rowid", "oid", "_rowid_"];

/// What becomes of a session that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// The import ends.
    #[default]
    Refuse,
    /// It is passed over.
    Skip,
    /// All get identifiers of their own, whatever is there.
    NewIds,
}

/// How sessions are imported.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The name or identifier of the agent that gets them; that of the file where none is given.
    pub agent: Option<String>,
    /// See [`Existing`].
    pub existing: Existing,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Imported {
    /// Sessions that are there now.
    pub sessions: u64,
    /// Sessions that were there already.
    pub skipped: u64,
    /// Events of those that were imported.
    pub events: u64,
}

/// Why an import ended.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is not what an export has there.
    #[error("line {line}: {problem}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The database does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An import that is under way.
#[derive(Debug)]
pub struct Importer {
    store: Store,
    origin: Origin,
    options: ImportOptions,
    generation: u64,
    line: u64,
    stage: Stage,
    done: Imported,
}

#[derive(Debug)]
enum Stage {
    Head,
    /// Between two sessions.
    Next,
    /// Within one that is passed over.
    Skipping,
    Within(Box<Within>),
    Ended,
}

/// A session on its way in.
#[derive(Debug)]
struct Within {
    /// As it is called here.
    id: SessionId,
    agent_id: AgentId,
    /// Of a line: as it is called in the file.
    old_id: String,
    /// What turns and messages are called here, where all get identifiers of their own.
    new_ids: Option<HashMap<String, String>>,
    turns: HashSet<String>,
    /// The positions of those that were written, in order.
    positions: Vec<u64>,
    compactions: u64,
    /// What is on its way in pieces.
    content: Option<Content>,
    /// Contents that are whole.
    contents: HashSet<String>,
    /// The first line that has an attachment, by its content.
    attached: HashMap<String, u64>,
    /// Whether the session's own line says what it took.
    has_usage: bool,
    /// Turns that had not ended.
    open: Vec<String>,
    batch: Vec<Incoming>,
    batch_bytes: usize,
    lines: u64,
    events: u64,
    last_event: u64,
    _making: Making,
}

/// A row that is to be written.
#[derive(Debug)]
struct Incoming {
    line: u64,
    part: &'static Part,
    columns: Vec<(String, Column)>,
    /// Its identifier, where it has one.
    id: Option<String>,
}

type Fields = Map<String, Value>;

impl Importer {
    /// An import into this database, of a worker of this generation.
    #[must_use]
    pub fn new(store: Store, origin: Origin, options: ImportOptions, generation: u64) -> Self {
        let (stage, done) = (Stage::Head, Imported::default());
        Self { store, origin, options, generation, line: 0, stage, done }
    }

    /// What was imported so far.
    #[must_use]
    pub const fn done(&self) -> Imported {
        self.done
    }

    /// Takes the next line, without its end.
    ///
    /// # Errors
    /// [`ImportError`]: nothing more is taken; sessions that were whole by then stay.
    pub async fn take(&mut self, line: &[u8]) -> Result<(), ImportError> {
        self.line += 1;
        let taken = self.try_take(line).await;
        if taken.is_err() {
            self.abandon().await;
        }
        taken
    }

    /// Ends the import.
    ///
    /// # Errors
    /// [`ImportError::Line`] when the file ends before its last line.
    pub async fn end(&mut self) -> Result<Imported, ImportError> {
        if matches!(self.stage, Stage::Ended) {
            return Ok(self.done);
        }
        self.line += 1;
        self.abandon().await;
        Err(self.refuse("the file ends too early: its last line is of kind 'end'"))
    }

    fn refuse(&self, problem: impl Into<String>) -> ImportError {
        ImportError::Line { line: self.line, problem: problem.into() }
    }

    async fn try_take(&mut self, line: &[u8]) -> Result<(), ImportError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(self.refuse(format!("a line has at most {MAX_LINE_BYTES} bytes")));
        }
        let fields: Fields = serde_json::from_slice(line)
            .map_err(|error| self.refuse(format!("no JSON object: {error}")))?;
        let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (&mut self.stage, kind.as_str()) {
            (Stage::Head, "export") => self.begin(&fields),
            (Stage::Head, _) => Err(self.refuse("no export of evonic: the first line says so")),
            (Stage::Next, "session") => self.begin_session(fields).await,
            (Stage::Next, "end") => {
                self.stage = Stage::Ended;
                Ok(())
            }
            (Stage::Skipping, "session_end") => {
                self.done.skipped += 1;
                self.stage = Stage::Next;
                Ok(())
            }
            (Stage::Skipping, _) => Ok(()),
            (Stage::Within(_), "session_end") => self.end_session(&fields).await,
            (Stage::Within(_), kind) => match PARTS.iter().find(|part| part.kind == kind) {
                Some(part) => self.add_row(part, fields).await,
                None => Err(self.refuse(format!("lines of kind '{kind}' are not known here"))),
            },
            (Stage::Next, kind) => {
                Err(self.refuse(format!("a line of kind '{kind}' where a session begins")))
            }
            (Stage::Ended, _) => Err(self.refuse("a line behind the last one")),
        }
    }

    fn begin(&mut self, fields: &Fields) -> Result<(), ImportError> {
        let number = |name: &str| fields.get(name).and_then(Value::as_u64);
        match number("version") {
            Some(VERSION) => {}
            Some(found) if found > VERSION => {
                let problem = format!(
                    "it is of version {found}, and this program knows {VERSION}: install a later one"
                );
                return Err(self.refuse(problem));
            }
            _ => return Err(self.refuse("its version is missing")),
        }
        let known = u64::from(schema::KNOWN);
        match number("schema") {
            Some(found) if found <= known => {}
            Some(found) => {
                let problem = format!(
                    "it is of schema {found}, and this program knows {known}: install a later one"
                );
                return Err(self.refuse(problem));
            }
            None => return Err(self.refuse("its schema is missing")),
        }
        self.stage = Stage::Next;
        Ok(())
    }

    async fn begin_session(&mut self, mut fields: Fields) -> Result<(), ImportError> {
        let old_id = self.text(&fields, "id")?;
        let named = self.text(&fields, "agent")?;
        fields.remove("kind");
        fields.remove("agent");
        let own: SessionId = match self.options.existing {
            Existing::NewIds => SessionId::new(),
            _ => old_id.parse().map_err(|_| self.refuse("field 'id' names no session"))?,
        };
        fields.insert("id".to_owned(), own.as_str().into());
        let last_event = fields.get("last_event").and_then(Value::as_u64);
        let last_event =
            last_event.ok_or_else(|| self.refuse("field 'last_event' is no number"))?;
        let has_usage = fields.contains_key("usage");
        let columns = self.columns(fields, &SESSION_LEFT_OUT)?;
        let which = self.options.agent.clone().unwrap_or_else(|| named.clone());
        let (id, generation, skips) =
            (own.clone(), self.generation, self.options.existing == Existing::Skip);
        // From now on nobody takes it for one that was left half made.
        let making = self.store.making(&own);
        let begun = self.store.change(self.origin.clone(), move |writer| {
            begin_session(writer, &id, &which, columns, generation, skips)
        });
        let agent_id = match begun.await {
            Ok(Begun::Made(agent_id)) => agent_id,
            Ok(Begun::Skipped) => {
                self.stage = Stage::Skipping;
                return Ok(());
            }
            Ok(Begun::Refused(problem)) => return Err(self.refuse(problem)),
            Err(error) => return Err(self.sorted(error)),
        };
        let is_new = self.options.existing == Existing::NewIds;
        self.stage = Stage::Within(Box::new(Within {
            id: own,
            agent_id,
            old_id,
            new_ids: is_new.then(HashMap::new),
            turns: HashSet::new(),
            positions: Vec::new(),
            compactions: 0,
            content: None,
            contents: HashSet::new(),
            attached: HashMap::new(),
            has_usage,
            open: Vec::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            lines: 1,
            events: 0,
            last_event,
            _making: making,
        }));
        Ok(())
    }

    async fn add_row(
        &mut self,
        part: &'static Part,
        mut fields: Fields,
    ) -> Result<(), ImportError> {
        let line = self.line;
        let refuse = |problem: String| ImportError::Line { line, problem };
        fields.remove("kind");
        for name in part.of_before {
            fields.remove(*name);
        }
        let Stage::Within(within) = &self.stage else { return Ok(()) };
        if let (Some(content), true) = (&within.content, part.kind != "piece") {
            return Err(refuse(content.missing()));
        }
        match part.kind {
            "blob" => return self.begin_content(&fields).await,
            "piece" => return self.add_piece(fields).await,
            // They name turns by what these are called once they are written.
            _ if address::has_any(part, &fields) && within.positions.len() < within.turns.len() => {
                self.flush().await?;
            }
            _ => {}
        }
        let Stage::Within(within) = &mut self.stage else { return Ok(()) };
        let id = within.settle(part, &mut fields).map_err(refuse)?;
        for attachment in check(part, &fields).map_err(refuse)? {
            within.attached.entry(attachment.sha256).or_insert(line);
        }
        let bytes = fields.values().map(|value| value.as_str().map_or(8, str::len)).sum::<usize>();
        let columns = self.columns(fields, part.left_out)?;
        let Stage::Within(within) = &mut self.stage else { return Ok(()) };
        let mut columns = columns;
        if part.owner == Owner::Session {
            let of = part.owner.column().to_owned();
            columns.push((of, within.id.as_str().to_owned().into()));
        }
        if part.kind == "turn" {
            columns.push(("agent_id".to_owned(), within.agent_id.as_str().to_owned().into()));
        }
        within.lines += 1;
        within.batch_bytes += bytes;
        within.batch.push(Incoming { line, part, columns, id });
        if within.batch.len() >= ROWS || within.batch_bytes >= BATCH_BYTES {
            return self.flush().await;
        }
        Ok(())
    }

    /// Writes what was gathered.
    async fn flush(&mut self) -> Result<(), ImportError> {
        let Stage::Within(within) = &mut self.stage else { return Ok(()) };
        within.batch_bytes = 0;
        let batch = std::mem::take(&mut within.batch);
        let written = self.store.write(move |writer| {
            let mut positions = Vec::new();
            for row in &batch {
                if let Err(error) = insert(writer, row.part, &row.columns, row.id.as_deref()) {
                    // What is wrong with the database itself is no fault of the line.
                    return match error.state() {
                        Some(_) => Err(error),
                        None => Ok(Err((row.line, refusal(row, &error)))),
                    };
                }
                if row.part.kind == "turn" {
                    positions.push(writer.connection().last_insert_rowid().unsigned_abs());
                }
            }
            Ok(Ok(positions))
        });
        match written.await? {
            Ok(positions) => within.positions.extend(positions),
            Err((line, problem)) => return Err(ImportError::Line { line, problem }),
        }
        Ok(())
    }

    async fn end_session(&mut self, fields: &Fields) -> Result<(), ImportError> {
        self.flush().await?;
        let Stage::Within(within) = &self.stage else { return Ok(()) };
        let lines = fields.get("lines").and_then(Value::as_u64);
        if lines != Some(within.lines)
            || fields.get("id").and_then(Value::as_str) != Some(within.old_id.as_str())
        {
            let problem = format!("lines of session {} are missing", within.old_id);
            return Err(self.refuse(problem));
        }
        if fields.get("whole").and_then(Value::as_bool) != Some(true) {
            // It was deleted while it was exported.
            self.abandon().await;
            self.stage = Stage::Next;
            return Ok(());
        }
        if let Some(content) = &within.content {
            return Err(self.refuse(content.missing()));
        }
        let missing =
            within.attached.iter().filter(|(sha256, _)| !within.contents.contains(*sha256));
        if let Some((sha256, line)) = missing.min_by_key(|(_, line)| **line) {
            let problem =
                format!("its attachment {sha256} is missing: no line of kind 'blob' has it");
            return Err(ImportError::Line { line: *line, problem });
        }
        let Stage::Within(within) = std::mem::replace(&mut self.stage, Stage::Next) else {
            return Ok(());
        };
        let (id, open, events) = (within.id.clone(), within.open.clone(), within.events);
        let (last, has_usage) = (within.last_event, within.has_usage);
        let shown = self.store.change(self.origin.clone(), move |writer| {
            if !has_usage {
                sum_up(writer, &id)?;
            }
            show_session(writer, &id, &open, events, last)
        });
        if let Err(error) = shown.await {
            self.stage = Stage::Within(within);
            return Err(self.sorted(error));
        }
        self.done.sessions += 1;
        self.done.events += within.events;
        Ok(())
    }

    /// Takes away what is there of a session that does not become whole: what can go at once; the
    /// rest is looked after.
    async fn abandon(&mut self) {
        let Stage::Within(within) = std::mem::replace(&mut self.stage, Stage::Next) else { return };
        let id = within.id.clone();
        let purge = self.store.write(move |writer| {
            let sql = "UPDATE sessions SET hidden = ?2 WHERE id = ?1 AND hidden IS NOT NULL";
            writer.execute("abandon session", sql, [id.as_str(), REMOVED])?;
            writer.purge_some(id.as_str()).map(drop)
        });
        if let Err(error) = purge.await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "what was imported of a session goes later");
        }
    }

    fn sorted(&self, error: StoreError) -> ImportError {
        match error {
            StoreError::Conflict { message, .. } => self.refuse(message),
            // It goes with its agent, when somebody removes that meanwhile.
            StoreError::NotFound { .. } => self.refuse(chain(&error)),
            StoreError::Sql { .. } if error.state().is_none() => self.refuse(chain(&error)),
            error => ImportError::Store(error),
        }
    }

    fn text(&self, fields: &Fields, name: &str) -> Result<String, ImportError> {
        let text = fields.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| self.refuse(format!("field '{name}' is no text")))
    }

    fn columns(
        &self,
        fields: Fields,
        left_out: &[&str],
    ) -> Result<Vec<(String, Column)>, ImportError> {
        let mut columns = Vec::with_capacity(fields.len() + 2);
        for (name, value) in fields {
            // SQLite takes a column by other names as well.
            let is_column = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if !is_column || ROW_IDS.contains(&name.as_str()) || left_out.contains(&name.as_str()) {
                return Err(self.refuse(format!("field '{name}' is not known here")));
            }
            let Some(value) = row::column(value) else {
                return Err(self.refuse(format!("field '{name}' is nothing that is stored")));
            };
            columns.push((name, value));
        }
        Ok(columns)
    }
}

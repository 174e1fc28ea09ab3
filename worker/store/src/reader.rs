//! What can be read, within one transaction of one handle.
//!
//! The reads themselves stand with what they read: `agents`, `sessions`, `messages`, `turns`,
//! `events`, `claims`, `keys`.

use rusqlite::{Connection, OptionalExtension, Params, Row, ToSql, params};

use crate::{
    Cursor, List, Paging, StoreError, column,
    error::During,
    page::{self, Entry},
    record::Record,
};
use evonic_domain::{AgentId, SessionId};

/// A handle that lives no longer than the call that got it.
#[derive(Debug)]
pub struct Reader<'a> {
    connection: &'a Connection,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }

    pub(super) const fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// The first row, if there is one.
    pub(super) fn first<T>(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(parameters, map).optional())
            .during(operation)
    }

    /// The one row of a query that always has one.
    pub(super) fn one<T>(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
        map: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(parameters, map))
            .during(operation)
    }

    /// Whether the query has a row.
    pub(super) fn exists(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
    ) -> Result<bool, StoreError> {
        Ok(self.first(operation, sql, parameters, |_| Ok(()))?.is_some())
    }

    /// The record for which `condition` holds with `which` as its parameter.
    pub(super) fn find<T: Record>(
        &self,
        operation: &'static str,
        condition: &str,
        which: &str,
    ) -> Result<T, StoreError> {
        let sql = format!("SELECT * FROM {} WHERE ({condition}) AND {}", T::TABLE, T::SHOWN);
        self.first(operation, &sql, [which], T::from_row)?
            .ok_or_else(|| StoreError::not_found(T::NAME, which))
    }

    /// Records by identifier, oldest first; with one of these identifiers in a column when given.
    pub(super) fn list<T: Record>(
        &self,
        operation: &'static str,
        among: Option<(&str, &[AgentId])>,
        paging: &Paging,
    ) -> Result<List<T>, StoreError> {
        let (after, limit) = (paging.after_id(), paging.rows());
        let mut parameters: Vec<&dyn ToSql> = vec![&after, &limit];
        let mut filter = String::new();
        let ids = among.map(|(_, ids)| column::to_json(&ids));
        if let (Some((name, _)), Some(ids)) = (among, &ids) {
            filter = format!("AND {name} IN (SELECT value FROM json_each(?3))");
            parameters.push(ids);
        }
        let (table, shown) = (T::TABLE, T::SHOWN);
        let sql = format!(
            "SELECT * FROM {table} WHERE id > ?1 AND {shown} {filter} ORDER BY id LIMIT ?2"
        );
        self.page(operation, &sql, &parameters[..], T::from_row, paging)
    }

    /// Records of a session by position, oldest first. After a cursor that was never given out
    /// there is nothing.
    pub(super) fn list_of_session<T: Record>(
        &self,
        operation: &'static str,
        session: &SessionId,
        paging: &Paging,
    ) -> Result<List<T>, StoreError> {
        self.session(session)?;
        let (table, session) = (T::TABLE, session.as_str());
        let after = match &paging.after {
            None => 0,
            Some(Cursor(id)) => {
                let sql = format!("SELECT position FROM {table} WHERE id = ?1 AND session_id = ?2");
                let place =
                    self.first(operation, &sql, [id, session], |row| row.get("position"))?;
                place.unwrap_or(i64::MAX)
            }
        };
        let sql = format!(
            "SELECT * FROM {table} WHERE session_id = ?1 AND position > ?2
             ORDER BY position LIMIT ?3"
        );
        self.page(operation, &sql, params![session, after, paging.rows()], T::from_row, paging)
    }

    /// The rows of a page. Those after it are not read.
    pub(super) fn page<T: Entry>(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        paging: &Paging,
    ) -> Result<List<T>, StoreError> {
        let (data, more) = self.some(operation, sql, parameters, map, paging.size(), T::bytes)?;
        let next = data.last().filter(|_| more).map(|last| Cursor(last.id()));
        Ok(List { data, next })
    }

    /// At most `most` rows, and fewer when they are large; whether there are more. Those after
    /// them are not read.
    pub(super) fn some<T>(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        most: u32,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<(Vec<T>, bool), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| {
                page::gather(statement.query_map(parameters, map)?, most as usize, bytes)
            })
            .during(operation)
    }

    /// Every row.
    pub(super) fn all<T>(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(parameters, map)?.collect())
            .during(operation)
    }
}

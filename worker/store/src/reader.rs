//! What can be read, within one transaction of one handle.
//!
//! The reads themselves stand with what they read: `agents`, `sessions`, `messages`, `turns`,
//! `events`, `claims`, `keys`.

use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::{
    List, Paging, StoreError,
    error::During,
    page::{self, Entry},
};

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

    /// The rows of a page. Those after it are not read.
    pub(super) fn page<T: Entry>(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: impl Params,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        paging: &Paging,
    ) -> Result<List<T>, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| List::gather(statement.query_map(parameters, map)?, paging))
            .during(operation)
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

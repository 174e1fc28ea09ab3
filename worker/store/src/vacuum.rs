//! Free pages, given back to the file system.
//!
//! A database that this program made keeps what it needs for that (`auto_vacuum = INCREMENTAL`). One
//! of before does not: its free pages are used again, and `evonic backup` and `evonic restore` make it
//! one that does.

use rusqlite::Connection;

use crate::{Reader, StoreError, Writer, error::During};

/// From this part of free pages on they are given back.
const PART: u64 = 4;

/// They are until this part is left.
const LEFT: u64 = 16;

/// A smaller database is not worth it.
const LEAST_PAGES: u64 = 256;

/// What `PRAGMA auto_vacuum` says of a database whose pages can be given back.
const INCREMENTAL: i64 = 2;

/// The pages of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) count: u64,
    pub(super) free: u64,
    /// Of one page.
    pub(super) bytes: u64,
    /// Whether free ones can be given back.
    pub(super) shrink: bool,
}

impl Pages {
    /// As the file's header says.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |pragma| {
            let number: i64 = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
            Ok::<_, rusqlite::Error>(number)
        };
        let natural = |pragma| number(pragma).map(|number| u64::try_from(number).unwrap_or(0));
        Ok(Self {
            count: natural("page_count")?,
            free: natural("freelist_count")?,
            bytes: natural("page_size")?,
            shrink: number("auto_vacuum")? == INCREMENTAL,
        })
    }

    /// Whether so much is free that it is given back.
    fn is_mostly_free(self) -> bool {
        self.shrink && self.count >= LEAST_PAGES && self.free >= self.count / PART
    }
}

impl Reader<'_> {
    /// Whether a quarter of the file is free and can be given back.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn wants_vacuum(&self) -> Result<bool, StoreError> {
        let pages = Pages::of(self.connection()).during("read size")?;
        Ok(pages.is_mostly_free())
    }
}

impl Writer<'_> {
    /// Gives so many free pages back. Returns how many bytes that were; none once little is left.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn vacuum(&mut self, pages: u32) -> Result<Option<u64>, StoreError> {
        let before = Pages::of(self.connection()).during("read size")?;
        if !before.shrink || before.free < before.count / LEFT {
            return Ok(None);
        }
        let connection = self.connection();
        let sql = format!("PRAGMA incremental_vacuum({pages})");
        let mut statement = connection.prepare(&sql).during("vacuum")?;
        // Each row is a page.
        let mut rows = statement.query([]).during("vacuum")?;
        while rows.next().during("vacuum")?.is_some() {}
        let after = Pages::of(connection).during("read size")?;
        Ok(Some(before.count.saturating_sub(after.count) * before.bytes))
    }
}

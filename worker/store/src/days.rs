//! Days on which the service ran, counted: what is kept for some days is kept for so many of these,
//! whatever the wall's clock does meanwhile.
//!
//! A day counts once, by its date, and only half a day of uptime, or a start of the machine, after the
//! one before it. So a step of the clock, forwards or back, counts one day at the most; a machine that
//! is off counts none.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::{Reader, StoreError, Writer, column, error::During};

/// The least uptime between two days that count.
const LEAST_SECONDS: i64 = 12 * 60 * 60;

const DAY: u64 = 24 * 60 * 60;

/// So many days.
pub(super) const fn of(time: Duration) -> i64 {
    time.as_secs().div_ceil(DAY).cast_signed()
}

/// Since the machine's start, times asleep included. No step of the wall's clock changes it.
#[must_use]
pub fn uptime() -> Duration {
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(uptime).unwrap_or_default()
}

impl Reader<'_> {
    /// The number of the current day; 0 before the first.
    pub(super) fn day(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COALESCE(MAX(number), 0) AS number FROM days";
        self.one("read days", sql, [], |row| row.get("number"))
    }
}

impl Writer<'_> {
    /// Counts today, if it is a day that counts; the number of the current day.
    pub(super) fn see_day(&mut self) -> Result<i64, StoreError> {
        see(self.connection()).during("count days")
    }
}

/// Whether today is to be counted.
pub(super) fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let last = "SELECT day, uptime, boot FROM days ORDER BY number DESC LIMIT 1";
    let last = connection
        .prepare_cached(last)?
        .query_row([], |row| {
            let (day, boot): (String, String) = (row.get("day")?, row.get("boot")?);
            Ok((day, row.get::<_, i64>("uptime")?, boot))
        })
        .optional()?;
    let now = seconds();
    // Uptimes of two boots say nothing about each other.
    Ok(last.is_none_or(|(day, then, boot)| {
        day != today() && (now < then || now - then >= LEAST_SECONDS || boot != self::boot())
    }))
}

/// See [`Writer::see_day`].
pub(super) fn see(connection: &Connection) -> rusqlite::Result<i64> {
    if is_new(connection)? {
        let sql = "INSERT OR IGNORE INTO days (day, uptime, boot, audit)
                   VALUES (?1, ?2, ?3, (SELECT COALESCE(MAX(position), 0) FROM audit))";
        connection.prepare_cached(sql)?.execute(params![today(), seconds(), boot()])?;
    }
    let sql = "SELECT COALESCE(MAX(number), 0) AS number FROM days";
    connection.prepare_cached(sql)?.query_row([], |row| row.get("number"))
}

fn today() -> String {
    column::now().get(..10).unwrap_or_default().to_owned()
}

/// Which start of the machine this is; empty where `/proc` does not say.
pub(super) fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    boot.unwrap_or_default().trim().to_owned()
}

fn seconds() -> i64 {
    i64::try_from(uptime().as_secs()).unwrap_or(i64::MAX)
}

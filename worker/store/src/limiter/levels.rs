//! The statement that counts a request.
//!
//! The algorithm is GCRA, a leaky bucket in one number a meter: the *theoretical arrival time*,
//! the moment at which everything that was granted is paid off. A request costs the time in which
//! its quota grants one (window / requests). It has room if, paid for, the meter is at most one
//! window ahead of now.
//!
//! The clock is the wall's, because two processes share no other one. When it steps forwards,
//! meters are paid off sooner, once. When it steps backwards, a meter was charged at a moment that
//! is to come: what it still had to pay off then is what it has to pay off now.

use evonic_shared::config::Quota;
use rusqlite::{Connection, ToSql, params};

use super::{
    super::{StoreError, error::During},
    meter::{Level, Meter},
};

/// The table. A row whose moment has passed says the same as none.
pub(super) const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS levels (
    subject TEXT NOT NULL,
    span INTEGER NOT NULL,
    paid_at INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    charged_at INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subject, span)
) STRICT, WITHOUT ROWID;";

/// Adds what files of earlier versions lack. A worker of before leaves it at zero.
pub(super) const CHARGED_AT: &str =
    "ALTER TABLE levels ADD COLUMN charged_at INTEGER NOT NULL DEFAULT 0;";

/// A meter that was charged later than this from now was so before the clock stepped back. More
/// than a statement waits for its lock, and with it the moment that it was given.
const AHEAD: i64 = 1_000_000_000;

/// The longest window, in nanoseconds.
const LONGEST: i64 = Quota::LONGEST as i64 * 1_000_000_000;

/// Every so many requests a few rows are looked at whether they may go.
const SWEEP_EVERY: u32 = 64;

/// So many rows: more than can have come since the last time.
const SWEEP_ROWS: u32 = 16 * SWEEP_EVERY;

/// A moment of the wall's clock: nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) i64);

/// Counts requests on whatever handle it is given.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Requests since rows were removed.
    counted: u32,
    /// The last subject that was looked at then.
    swept: String,
}

impl Levels {
    /// Counts one request; the levels of its meters afterwards.
    pub(super) fn count(
        &mut self,
        handle: &Connection,
        meters: &[Meter],
        now: Moment,
    ) -> Result<Vec<Level>, StoreError> {
        let levels = charge(handle, meters, now)?;
        self.counted += 1;
        if self.counted >= SWEEP_EVERY {
            self.counted = 0;
            self.sweep(handle, now)?;
        }
        Ok(levels)
    }

    /// Removes rows that say nothing any more, a part of the table at a time. Those of before the
    /// clock stepped back are among them.
    fn sweep(&mut self, handle: &Connection, now: Moment) -> Result<(), StoreError> {
        let last: Option<String> = handle
            .query_row(
                "SELECT max(subject) AS last FROM
                   (SELECT subject FROM levels WHERE subject > ?1 ORDER BY subject LIMIT ?2)",
                params![self.swept, SWEEP_ROWS],
                |row| row.get("last"),
            )
            .during("look for old limits")?;
        let Some(last) = last else {
            self.swept.clear();
            return Ok(());
        };
        handle
            .execute(
                "DELETE FROM levels WHERE subject > ?1 AND subject <= ?2
                   AND (paid_at <= ?3 OR paid_at > ?3 + ?4)",
                params![self.swept, last, now.0, LONGEST + AHEAD],
            )
            .during("remove old limits")?;
        self.swept = last;
        Ok(())
    }
}

/// The one statement of a request.
fn charge(handle: &Connection, meters: &[Meter], now: Moment) -> Result<Vec<Level>, StoreError> {
    if meters.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<[i64; 3]> =
        meters.iter().map(|meter| [meter.span(), meter.step(), meter.cost()]).collect();
    let mut parameters: Vec<&dyn ToSql> = vec![&now.0, &AHEAD];
    for (meter, numbers) in meters.iter().zip(&numbers) {
        parameters.push(&meter.subject);
        parameters.extend(numbers.iter().map(|number| number as &dyn ToSql));
    }
    let mut levels: Vec<Level> = meters.iter().map(|meter| meter.level(0, true)).collect();
    let mut statement = handle.prepare(&statement(meters.len())).during("count request")?;
    let counted = statement.query_map(parameters.as_slice(), |row| {
        let (subject, span): (String, i64) = (row.get("subject")?, row.get("span")?);
        Ok((subject, span, row.get::<_, i64>("paid_at")?, row.get("granted")?))
    });
    for counted in counted.during("count request")? {
        let (subject, span, paid_at, granted) = counted.during("count request")?;
        for (meter, level) in meters.iter().zip(&mut levels) {
            if (meter.span(), &meter.subject) == (span, &subject) {
                *level = meter.level(paid_at - now.0, granted);
            }
        }
    }
    Ok(levels)
}

/// Grants when every meter has room for one request; then charges each its cost, else none. Rows
/// are written for what is charged, and for what refuses, which is thereby returned.
fn statement(meters: usize) -> String {
    let asked: Vec<String> = (0..meters)
        .map(|meter| {
            let first = 3 + 4 * meter;
            format!("(?{first}, ?{}, ?{}, ?{})", first + 1, first + 2, first + 3)
        })
        .collect();
    format!(
        "WITH asked (subject, span, step, cost) AS (VALUES {}),
           known AS MATERIALIZED (
             SELECT asked.subject AS subject, asked.span AS span, step, cost,
                    CASE WHEN charged_at > ?1 + ?2
                         THEN ?1 + min(max(paid_at - charged_at, 0), asked.span)
                         WHEN coalesce(paid_at, 0) > ?1 + asked.span + ?2 THEN ?1 + asked.span
                         ELSE max(coalesce(paid_at, 0), ?1) END AS owed
             FROM asked LEFT JOIN levels
               ON levels.subject = asked.subject AND levels.span = asked.span),
           verdict AS MATERIALIZED (
             SELECT min(owed + step <= ?1 + span) AS granted FROM known)
         INSERT INTO levels (subject, span, paid_at, granted, charged_at)
         SELECT subject, span, owed + granted * cost, granted, ?1 FROM known, verdict
         WHERE cost > 0 OR owed + step > ?1 + span
         ON CONFLICT (subject, span) DO UPDATE
           SET paid_at = excluded.paid_at, granted = excluded.granted,
               charged_at = excluded.charged_at
         RETURNING subject, span, paid_at, granted",
        asked.join(", ")
    )
}

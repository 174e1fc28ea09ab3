//! Sums of usage: by what they are asked for, and of one budget's share.

use rusqlite::{Row, ToSql};

use super::{COUNTERS, day_number};
use crate::{Cursor, List, Paging, Reader, StoreError, column, page::Entry};
use evonic_domain::{AgentId, Usage, UsageBy, UsageSum};

/// Which calls are summed, and by what.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    pub by: UsageBy,
    /// From this day on, `2026-12-01`.
    pub from: Option<String>,
    /// Up to this day, and with it.
    pub to: Option<String>,
    /// Of these agents only.
    pub agents: Option<Vec<AgentId>>,
    /// Of this caller, as the audit log names them.
    pub caller: Option<String>,
    pub session: Option<String>,
}

/// The lowest and the highest number of a day.
const DAYS: (i64, i64) = (10_000_000, 99_999_999);

impl UsageQuery {
    /// The days that are asked for, and the months of those that were folded: a month counts where
    /// its first day does.
    fn ranges(&self) -> [(i64, i64); 2] {
        let from = self.from.as_deref().map_or(DAYS.0, day_number);
        let to = self.to.as_deref().map_or(DAYS.1, day_number);
        let first = if from % 100 > 1 { from / 100 + 1 } else { from / 100 };
        [(first, to / 100), (from, to)]
    }

    const fn column(&self) -> &'static str {
        match self.by {
            UsageBy::Day => "day",
            UsageBy::Agent => "agent_id",
            UsageBy::Key => "caller",
            UsageBy::Session => "session_id",
            UsageBy::Model => "model",
        }
    }
}

impl Entry for UsageSum {
    fn id(&self) -> String {
        self.of.clone()
    }

    fn bytes(&self) -> usize {
        self.of.len()
    }
}

/// What is asked of the table: a condition, and the columns to group by.
pub(in crate::usage) struct Asked {
    pub(super) sql: String,
    parameters: Vec<Box<dyn ToSql>>,
}

impl UsageQuery {
    /// The statement of a page.
    pub(in crate::usage) fn asked(&self, paging: &Paging) -> Asked {
        let group = self.column();
        let [months, days] = self.ranges();
        let mut parameters: Vec<Box<dyn ToSql>> = vec![
            Box::new(months.0),
            Box::new(months.1),
            Box::new(days.0),
            Box::new(days.1),
            Box::new(paging.rows()),
        ];
        let mut condition = |sql: &str, value: Box<dyn ToSql>| {
            parameters.push(value);
            sql.replace('?', &format!("?{}", parameters.len()))
        };
        let session = match (&self.session, self.by) {
            (Some(id), _) => condition("session_id = ?", Box::new(id.clone())),
            (None, UsageBy::Session) => "session_id > ''".to_owned(),
            (None, _) => "session_id = ''".to_owned(),
        };
        let mut conditions = vec![session];
        if let Some(Cursor(after)) = &paging.after {
            let after: Box<dyn ToSql> = match self.by {
                UsageBy::Day => Box::new(day_number(after)),
                _ => Box::new(after.clone()),
            };
            conditions.push(condition(&format!("{group} > ?"), after));
        }
        if let Some(agents) = &self.agents {
            let agents = Box::new(column::to_json(agents));
            conditions.push(condition("agent_id IN (SELECT value FROM json_each(?))", agents));
        }
        if let Some(caller) = &self.caller {
            conditions.push(condition("caller = ?", Box::new(caller.clone())));
        }
        let (conditions, sums) = (conditions.join(" AND "), sums());
        let within =
            |range| format!("SELECT * FROM usage WHERE {conditions} AND day BETWEEN {range}");
        let rows = match self.by {
            // In the order of the primary key: what is after the page is not read.
            UsageBy::Session => {
                format!("{} OR {conditions} AND day BETWEEN ?3 AND ?4", within("?1 AND ?2"))
            }
            _ => format!("{} UNION ALL {}", within("?1 AND ?2"), within("?3 AND ?4")),
        };
        let sql = format!(
            "SELECT {group} AS of, {sums} FROM ({rows}) GROUP BY {group} ORDER BY {group} LIMIT ?5"
        );
        Asked { sql, parameters }
    }
}

/// The sums of every counter, in two halves of 32 bits: SQLite refuses a sum that is too large.
fn sums() -> String {
    let halves =
        |name| format!("SUM({name} >> 32) AS {name}_high, SUM({name} & 4294967295) AS {name}_low");
    COUNTERS.map(halves).join(", ")
}

/// A sum of its two halves; the largest integer of the database where it is larger.
fn sum(row: &Row<'_>, name: &str) -> rusqlite::Result<u64> {
    let half = |part: &str| {
        let half: Option<i64> = row.get(format!("{name}_{part}").as_str())?;
        Ok::<_, rusqlite::Error>(i128::from(half.unwrap_or(0)))
    };
    let sum = (half("high")? << 32) + half("low")?;
    Ok(u64::try_from(sum).unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs()))
}

fn sums_of(row: &Row<'_>) -> rusqlite::Result<UsageSum> {
    Ok(UsageSum {
        of: String::new(),
        name: None,
        calls: sum(row, "calls")?,
        uncounted_calls: sum(row, "uncounted_calls")?,
        usage: Usage {
            input_tokens: sum(row, "input_tokens")?,
            cached_tokens: sum(row, "cached_tokens")?,
            cache_write_tokens: sum(row, "cache_write_tokens")?,
            output_tokens: sum(row, "output_tokens")?,
            reasoning_tokens: sum(row, "reasoning_tokens")?,
        },
        cost: sum(row, "cost")?,
    })
}

/// A day as the API has it: `2026-12-01`, or `2026-12`.
fn day_text(day: i64) -> String {
    match day {
        ..=999_999 => format!("{:04}-{:02}", day / 100, day % 100),
        _ => format!("{:04}-{:02}-{:02}", day / 10_000, day / 100 % 100, day % 100),
    }
}

impl Reader<'_> {
    /// Sums of usage, by what they are asked for, in its order.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn usage(&self, query: &UsageQuery, paging: &Paging) -> Result<List<UsageSum>, StoreError> {
        let Asked { sql, parameters } = query.asked(paging);
        let parameters: Vec<&dyn ToSql> = parameters.iter().map(AsRef::as_ref).collect();
        let by_day = query.by == UsageBy::Day;
        let mut page = self.page(
            "sum usage",
            &sql,
            &parameters[..],
            |row| {
                let of = if by_day { day_text(row.get("of")?) } else { row.get("of")? };
                Ok(UsageSum { of, ..sums_of(row)? })
            },
            paging,
        )?;
        for sum in &mut page.data {
            sum.name = match query.by {
                UsageBy::Agent => self.name_of("agents", &sum.of)?,
                UsageBy::Key => self.name_of("api_keys", &sum.of)?,
                UsageBy::Session => self.title_of(&sum.of)?,
                UsageBy::Day | UsageBy::Model => None,
            };
        }
        Ok(page)
    }

    /// What every model took since the beginning, for metrics: the first so many by name.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn model_totals(&self, limit: u32) -> Result<Vec<UsageSum>, StoreError> {
        let (sql, sums) = ("session_id = '' AND day = 0", sums());
        let sql = format!(
            "SELECT model AS of, {sums} FROM usage WHERE {sql} GROUP BY model ORDER BY model LIMIT ?1"
        );
        self.all("sum usage", &sql, [limit], |row| {
            Ok(UsageSum { of: row.get("of")?, ..sums_of(row)? })
        })
    }

    /// What was taken within these days by those that a condition is about, whose parameter is `?1`.
    pub(crate) fn usage_within(
        &self,
        condition: &str,
        of: &str,
        (from, to): (i64, i64),
    ) -> Result<UsageSum, StoreError> {
        let sums = sums();
        let sql = format!("SELECT {sums} FROM usage WHERE {condition} AND day BETWEEN ?2 AND ?3");
        self.one("sum usage", &sql, rusqlite::params![of, from, to], sums_of)
    }

    fn name_of(&self, table: &str, id: &str) -> Result<Option<String>, StoreError> {
        let sql = format!("SELECT name FROM {table} WHERE id = ?1");
        self.first("read name", &sql, [id], |row| row.get("name"))
    }

    fn title_of(&self, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT NULLIF(title, '') AS title FROM sessions WHERE id = ?1";
        Ok(self.first("read title", sql, [id], |row| row.get("title"))?.flatten())
    }
}

#[cfg(test)]
impl Reader<'_> {
    /// How SQLite answers a query.
    pub(crate) fn usage_plan(&self, query: &UsageQuery) -> Result<String, StoreError> {
        let Asked { sql, parameters } = query.asked(&Paging { limit: 50, after: None });
        let parameters: Vec<&dyn ToSql> = parameters.iter().map(AsRef::as_ref).collect();
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let lines =
            self.all("explain", &sql, &parameters[..], |row| row.get::<_, String>("detail"));
        Ok(lines?.join("\n"))
    }
}

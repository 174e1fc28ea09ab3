//! The audit log, to be read. `audited_writer` writes it.

use rusqlite::{Row, params};

use crate::{Cursor, List, Paging, Reader, StoreError, column, page::Entry};
use evonic_domain::{Action, AuditRecord, AuditTarget};

/// The most records that one page looks at: a filter that fits few of a long log is answered with
/// short pages, each in bounded time.
const LOOKED_AT: i64 = 20_000;

/// Which records are asked for, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Of this actor.
    pub actor: Option<String>,
    /// Of what has this identifier or name.
    pub target: Option<String>,
    /// Of this action.
    pub action: Option<Action>,
    /// In which order.
    pub order: Order,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As everything is listed.
    #[default]
    OldestFirst,
    /// The last one first.
    NewestFirst,
}

const SELECT: &str = "SELECT * FROM audit
     WHERE position > ?1 AND position < ?2 AND (?3 IS NULL OR actor = ?3)
     AND (?4 IS NULL OR target = ?4 OR target_name = ?4) AND (?5 IS NULL OR action = ?5)
     ORDER BY position";

fn record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    let action: Action = column::word(row, "action")?;
    Ok(AuditRecord {
        position: column::natural(row, "position")?,
        at: row.get("at")?,
        actor: row.get("actor")?,
        address: row.get("address")?,
        request_id: row.get("request_id")?,
        action,
        target: AuditTarget {
            kind: action.target().to_owned(),
            id: row.get("target")?,
            name: row.get("target_name")?,
        },
        fields: column::json(row, "fields")?,
    })
}

impl Entry for AuditRecord {
    fn id(&self) -> String {
        self.position.to_string()
    }

    fn bytes(&self) -> usize {
        let texts = [Some(&self.target.id), self.target.name.as_ref(), self.address.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.fields).chain(&self.request_id);
        texts.map(String::len).sum()
    }
}

impl Reader<'_> {
    /// Records of the audit log. After a cursor that was never given out there is nothing.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn audit(
        &self,
        query: &AuditQuery,
        paging: &Paging,
    ) -> Result<List<AuditRecord>, StoreError> {
        let (first, last): (i64, i64) = self.one(
            "list audit",
            "SELECT COALESCE((SELECT position FROM audit ORDER BY position LIMIT 1), 1) AS first,
                    COALESCE((SELECT position FROM audit ORDER BY position DESC LIMIT 1), 0) AS last",
            [],
            |row| Ok((row.get("first")?, row.get("last")?)),
        )?;
        let begin = paging.after.as_ref().map(|Cursor(text)| text.parse::<i64>().ok());
        // Between these two, neither of them, lies what this page looks at.
        let (low, high, order) = match query.order {
            Order::OldestFirst => {
                let low = begin.map_or(first - 1, |place| place.unwrap_or(last)).max(first - 1);
                let high = low.saturating_add(LOOKED_AT).min(last).saturating_add(1);
                (low, high, "ASC")
            }
            Order::NewestFirst => {
                let high = begin.map_or(last + 1, |place| place.unwrap_or(first)).min(last + 1);
                let low = high.saturating_sub(LOOKED_AT + 1).max(first - 1);
                (low, high, "DESC")
            }
        };
        let action = query.action.map(Action::name);
        let parameters = params![low, high, query.actor, query.target, action, paging.rows()];
        let sql = format!("{SELECT} {order} LIMIT ?6");
        let page = self.page("list audit", &sql, parameters, record, paging)?;
        let rest = match query.order {
            Order::OldestFirst => (high <= last).then(|| high - 1),
            Order::NewestFirst => (low >= first).then(|| low + 1),
        };
        let rest = rest.map(|place| Cursor(place.to_string()));
        Ok(List { next: page.next.or(rest), ..page })
    }
}

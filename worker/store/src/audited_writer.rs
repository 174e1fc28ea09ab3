//! Changes that a client or the service asks for: each is recorded in its own transaction, or is not made.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use rusqlite::params;
use serde::Serialize;
use serde_json::Value;

use crate::{StoreError, Writer, column, days, space::Room};
use evonic_domain::{Action, Origin};

/// Records that may go for each that comes: more than one, so that the log shrinks when it is to
/// be kept for a shorter time than before.
const PORTION: u32 = 4;

/// The writer's handle within one audited change. What is not audited it does
/// as a [`Writer`], by dereference; what is can be done with nothing else, and leaves a record.
///
/// ```compile_fail
/// use evonic_store::{AuditedWriter, Writer};
/// // Only `Store::change` makes one.
/// fn make(writer: &mut Writer<'_>, origin: evonic_domain::Origin) {
///     AuditedWriter::new(writer, origin, std::time::Duration::ZERO);
/// }
/// ```
#[derive(Debug)]
pub struct AuditedWriter<'w, 'a> {
    writer: &'w mut Writer<'a>,
    origin: Origin,
    keep: Duration,
    room: &'w Room,
}

impl<'a> Deref for AuditedWriter<'_, 'a> {
    type Target = Writer<'a>;

    fn deref(&self) -> &Writer<'a> {
        self.writer
    }
}

impl<'a> DerefMut for AuditedWriter<'_, 'a> {
    fn deref_mut(&mut self) -> &mut Writer<'a> {
        self.writer
    }
}

impl<'w, 'a> AuditedWriter<'w, 'a> {
    /// Changes by this one; records are kept so long, and nothing new comes without room.
    pub(super) const fn new(
        writer: &'w mut Writer<'a>,
        origin: Origin,
        keep: Duration,
        room: &'w Room,
    ) -> Self {
        Self { writer, origin, keep, room }
    }

    /// Refuses what is new where the disk has too little room.
    pub(super) fn require_room(&self) -> Result<(), StoreError> {
        self.room.require()
    }

    /// Who asks for the change.
    pub(super) fn actor(&self) -> &str {
        &self.origin.actor
    }

    /// Records a change, and lets a few records go that are too old. What is done outside the
    /// database is recorded by the caller, all else by what does it.
    ///
    /// # Errors
    /// [`StoreError::Sql`]: it must not be done.
    pub fn record(
        &mut self,
        action: Action,
        target: &str,
        name: Option<&str>,
        fields: &[String],
    ) -> Result<(), StoreError> {
        let origin = self.origin.clone();
        self.execute(
            "record change",
            "INSERT INTO audit (at, actor, address, request_id, action, target, target_name, fields)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                column::now(),
                origin.actor,
                origin.address.map(|address| address.to_string()),
                origin.request_id,
                action.name(),
                target,
                name,
                column::to_json(&fields),
            ],
        )?;
        self.forget_old()
    }

    /// A record goes when it is old by the clock, and so many days were seen since it was made: a
    /// clock that steps makes nothing old.
    fn forget_old(&mut self) -> Result<(), StoreError> {
        let keep = self.keep;
        self.forget_old_changes(keep, PORTION).map(drop)
    }
}

impl Writer<'_> {
    /// Lets so many records of the audit log go that are too old. Returns how many went.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn forget_old_changes(&mut self, keep: Duration, most: u32) -> Result<usize, StoreError> {
        self.see_day()?;
        let (before, keep_days) = (column::before(keep), days::of(keep));
        self.execute(
            "forget old changes",
            "DELETE FROM audit WHERE position IN (
                 SELECT position FROM audit WHERE at < ?1 AND position <= (
                     SELECT audit FROM days ORDER BY number DESC LIMIT 1 OFFSET ?2)
                 ORDER BY position LIMIT ?3)",
            params![before, keep_days - 1, most],
        )
    }
}

/// The names of the fields in which two forms of the same thing differ; those of settings with
/// `settings.` before them. What is in a field stays here.
pub(super) fn differences<T: Serialize>(before: &T, after: &T) -> Vec<String> {
    let form = |value: &T| serde_json::to_value(value).unwrap_or_default();
    let mut names = Vec::new();
    differ("", &form(before), &form(after), &mut names);
    names.retain(|name| name != "updated_at");
    names
}

fn differ(prefix: &str, before: &Value, after: &Value, names: &mut Vec<String>) {
    let nothing = serde_json::Map::new();
    let fields = |value: &Value| value.as_object().unwrap_or(&nothing).clone();
    let (before, after) = (fields(before), fields(after));
    let all: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for name in all {
        let (old, new) = (before.get(name), after.get(name));
        if old == new {
            continue;
        }
        let name = format!("{prefix}{name}");
        if name == "settings" {
            let whole = |value: Option<&Value>| value.cloned().unwrap_or_default();
            differ("settings.", &whole(old), &whole(new), names);
        } else {
            names.push(name);
        }
    }
}

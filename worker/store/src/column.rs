//! Values of the domain in and out of columns, which are read by name.

use std::{str::FromStr, time::Duration};

use rusqlite::{Row, types::Type};
use serde::{
    Serialize,
    de::{DeserializeOwned, IntoDeserializer, value::Error as NameError},
};

/// Now: RFC 3339, UTC, milliseconds.
pub(super) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// So much later than now: RFC 3339, UTC, milliseconds; the end of time at the latest.
#[must_use]
pub fn after(time: Duration) -> String {
    let now = jiff::Timestamp::now();
    format!("{:.3}", now.checked_add(time).unwrap_or(jiff::Timestamp::MAX))
}

/// So much earlier than now, in the form of [`now`]; the beginning of time at the earliest.
pub(super) fn before(time: Duration) -> String {
    let now = jiff::Timestamp::now();
    format!("{:.3}", now.checked_sub(time).unwrap_or(jiff::Timestamp::MIN))
}

/// An identifier or a name.
pub(super) fn parsed<T>(row: &Row<'_>, column: &str) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| unfit(row, column, error))
}

/// A word of an enumeration without fields, as it is on the wire.
pub(super) fn word<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    let words: serde::de::value::StrDeserializer<'_, NameError> = text.into_deserializer();
    T::deserialize(words).map_err(|error| unfit(row, column, error))
}

/// JSON.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| unfit(row, column, error))
}

/// JSON, or null.
pub(super) fn json_or_null<T: DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => json(row, column).map(Some),
    }
}

/// A number that is never negative.
pub(super) fn natural(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index(row, column), number))
}

/// A number that is never negative, or null.
pub(super) fn natural_or_null(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => natural(row, column).map(Some),
    }
}

/// A number on its way in. Counters do not reach 2^63; one that is made up stops there.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// JSON on its way in.
pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("values of the domain have string keys only")
}

/// SQLite's errors know columns by number.
fn index(row: &Row<'_>, column: &str) -> usize {
    row.as_ref().column_index(column).unwrap_or(usize::MAX)
}

/// What stands in a column is not what belongs there.
pub(super) fn unfit<E>(row: &Row<'_>, column: &str, error: E) -> rusqlite::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let index = index(row, column);
    rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error))
}

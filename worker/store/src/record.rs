//! Values of the domain that are rows of a table of their own: each field is the column of its name.

use rusqlite::{Row, types::ValueRef};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{column, page::Entry};

/// Names of columns, and what is stored there.
pub(super) type Columns = Vec<(String, rusqlite::types::Value)>;

/// A row of its own table.
pub(super) trait Record: Entry + Serialize + DeserializeOwned {
    /// What errors call it.
    const NAME: &'static str;

    /// Its table.
    const TABLE: &'static str;

    /// Which rows are there for anybody.
    const SHOWN: &'static str = "TRUE";

    /// The columns that hold JSON.
    const JSON: &'static [&'static str] = &[];

    /// The record of a row. Columns that are no fields are passed over.
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut fields = Map::new();
        for name in row.as_ref().column_names() {
            let field = match row.get_ref(name)? {
                ValueRef::Integer(number) => number.into(),
                ValueRef::Text(_) if Self::JSON.contains(&name) => column::json(row, name)?,
                ValueRef::Text(_) => row.get::<_, String>(name)?.into(),
                // No field is one of the last two.
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
            };
            fields.insert(name.to_owned(), field);
        }
        serde_json::from_value(fields.into()).map_err(|error| column::unfit(row, "id", error))
    }

    /// What is stored of it.
    fn columns(&self) -> Columns {
        let fields =
            serde_json::to_value(self).expect("values of the domain have string keys only");
        let Value::Object(fields) = fields else { unreachable!("a record has fields") };
        let stored = |field| match field {
            Value::Null => rusqlite::types::Value::Null,
            Value::Number(number) => number.as_i64().unwrap_or(i64::MAX).into(),
            Value::String(text) => text.into(),
            json => json.to_string().into(),
        };
        fields.into_iter().map(|(name, field)| (name, stored(field))).collect()
    }
}

//! Rows as JSON objects, and back.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rusqlite::{
    Row,
    types::{Value as Column, ValueRef},
};
use serde_json::{Map, Value, json};

/// The one field of a value that is bytes.
const HEX: &str = "hex";
/// The same, of more than a hash.
const BASE64: &str = "base64";

/// From which size on bytes are in base64.
const LONG: usize = 65;

/// A row as the fields of a line, without some columns.
pub(super) fn fields(
    row: &Row<'_>,
    kind: &str,
    is_left_out: impl Fn(&str) -> bool,
) -> rusqlite::Result<Map<String, Value>> {
    let mut fields = Map::new();
    fields.insert("kind".to_owned(), kind.into());
    for name in row.as_ref().column_names() {
        if is_left_out(name) {
            continue;
        }
        let value = match row.get_ref(name)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Text(_) => row.get::<_, String>(name)?.into(),
            ValueRef::Blob(bytes) if bytes.len() >= LONG => {
                json!({ BASE64: BASE64_STANDARD.encode(bytes) })
            }
            ValueRef::Blob(bytes) => json!({ HEX: hex(bytes) }),
        };
        fields.insert(name.to_owned(), value);
    }
    Ok(fields)
}

/// What is stored of a field; none where it is nothing that a column has.
pub(super) fn column(value: Value) -> Option<Column> {
    Some(match value {
        Value::Null => Column::Null,
        Value::Bool(flag) => i64::from(flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.into(),
        Value::Object(object) => {
            let mut fields = object.iter();
            match (fields.next(), fields.next()) {
                (Some((form, Value::String(text))), None) => match form.as_str() {
                    HEX => bytes(text)?.into(),
                    BASE64 => BASE64_STANDARD.decode(text).ok()?.into(),
                    _ => return None,
                },
                _ => return None,
            }
        }
        Value::Array(_) => return None,
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok())
        .collect()
}

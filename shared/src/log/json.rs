//! One JSON object a line.

use serde_json::{Map, Value};

use super::{Line, MAX_LINE_BYTES, head};
use crate::escape;

/// The longest value in a line that would be too long, in bytes.
const SHORT_VALUE_BYTES: usize = 256;

/// Values of a line that would be too long are cut; where that is not enough they are left out.
/// Either way it says so.
pub(super) fn encode(line: &Line<'_>, time: &str) -> String {
    let fits = |text: &String| text.len() <= MAX_LINE_BYTES;
    let whole = object(line, time, usize::MAX, &line.fields.others);
    if fits(&whole) {
        return whole;
    }
    let mut cut = Map::from_iter([("truncated".to_owned(), Value::Bool(true))]);
    let bare = object(line, time, SHORT_VALUE_BYTES, &cut);
    cut.extend(line.fields.others.iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) => Value::from(head(text, SHORT_VALUE_BYTES)),
            other => other.clone(),
        };
        (name.clone(), value)
    }));
    Some(object(line, time, 4 * SHORT_VALUE_BYTES, &cut)).filter(fits).unwrap_or(bare)
}

fn object(line: &Line<'_>, time: &str, max_bytes: usize, fields: &Map<String, Value>) -> String {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), time.into());
    object.insert("level".to_owned(), line.level.as_str().to_ascii_lowercase().into());
    object.insert("program".to_owned(), line.program.into());
    object.insert("target".to_owned(), line.target.into());
    object.insert("message".to_owned(), head(&line.fields.message, max_bytes).into());
    for (name, value) in fields {
        let name = if object.contains_key(name) { format!("field.{name}") } else { name.clone() };
        object.insert(name, value.clone());
    }
    escape::json(&Value::Object(object).to_string()).into_owned() + "\n"
}

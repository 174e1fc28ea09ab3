//! The arguments of each tool, checked against its schema before they become a type.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Arguments of `bash`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bash {
    pub(super) command: String,
    #[serde(default)]
    pub(super) timeout_seconds: Option<u64>,
    #[serde(default)]
    pub(super) folder: Option<String>,
}

/// Arguments of `python`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Python {
    pub(super) code: String,
    #[serde(default)]
    pub(super) timeout_seconds: Option<u64>,
    #[serde(default)]
    pub(super) folder: Option<String>,
}

/// Arguments of `read_file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadFile {
    pub(super) path: String,
    #[serde(default)]
    pub(super) from_line: Option<u64>,
    #[serde(default)]
    pub(super) to_line: Option<u64>,
}

/// Arguments of `write_file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteFile {
    pub(super) path: String,
    pub(super) content: String,
}

/// Arguments of `edit_file`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditFile {
    pub(super) path: String,
    pub(super) old: String,
    pub(super) new: String,
    #[serde(default)]
    pub(super) count: Option<u64>,
}

/// Arguments of `list_files`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListFiles {
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) depth: Option<u64>,
}

/// Arguments of `search_files`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchFiles {
    pub(super) pattern: String,
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) glob: Option<String>,
}

/// Arguments of `copy`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Copy {
    pub(super) from: String,
    pub(super) to: String,
    #[serde(default)]
    pub(super) recursive: bool,
}

/// Reads a model's arguments. A null stands for an absent argument, an empty text for none at
/// all: models write both.
///
/// # Errors
/// What is wrong, with the argument's name.
pub(super) fn parse<T: DeserializeOwned>(schema: &Value, text: &str) -> Result<T, String> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let value = serde_json::from_str(text)
        .map_err(|error| format!("the arguments are no JSON object: {error}"))?;
    let Value::Object(given) = value else {
        return Err(format!("the arguments must be a JSON object, not {}", described(&value)));
    };
    let arguments = check(schema, given)?;
    serde_json::from_value(Value::Object(arguments)).map_err(|error| error.to_string())
}

/// Checks arguments against the part of JSON Schema that the catalogue uses: `properties`,
/// `required`, no others; `type` string with `minLength`, `type` integer with `minimum`, `type`
/// boolean.
fn check(schema: &Value, given: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let mut checked = Map::new();
    for (name, value) in given {
        let Some(property) = properties.get(&name) else {
            let known = properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(format!("there is no argument {name:?}; there are {known}"));
        };
        if !value.is_null() {
            let value = fitting(property, &value)
                .map_err(|needed| format!("{name} must be {needed}, not {}", described(&value)))?;
            checked.insert(name, value);
        }
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match required.into_iter().find(|&name| !checked.contains_key(name)) {
        Some(name) => Err(format!("{name} is missing")),
        None => Ok(checked),
    }
}

/// The value as the type takes it, or what is needed instead.
fn fitting(property: &Value, value: &Value) -> Result<Value, String> {
    if property["type"] == "integer" {
        let minimum = property["minimum"].as_u64().unwrap_or(0);
        return integer(value)
            .filter(|&number| number >= minimum)
            .map(Value::from)
            .ok_or_else(|| format!("a whole number from {minimum}"));
    }
    if property["type"] == "boolean" {
        return value.as_bool().map(Value::from).ok_or_else(|| "true or false".to_owned());
    }
    match value.as_str() {
        None => Err("a text".to_owned()),
        Some("") if property["minLength"].as_u64() > Some(0) => {
            Err("a text that is not empty".to_owned())
        }
        Some(_) => Ok(value.clone()),
    }
}

/// JSON knows one kind of number: `10.0` is the integer 10.
fn integer(value: &Value) -> Option<u64> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = |number: &f64| number.fract() == 0.0 && (0.0..=LARGEST_EXACT).contains(number);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be whole and in range"
    )]
    value.as_u64().or_else(|| value.as_f64().filter(exact).map(|number| number as u64))
}

/// A value in an error message: its kind, and itself when it is short.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.is_empty() => "an empty one".to_owned(),
        Value::String(text) if text.len() <= 40 => format!("the text {text:?}"),
        Value::String(_) => "a text".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests;

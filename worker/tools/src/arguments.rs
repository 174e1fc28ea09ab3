//! A model's arguments, checked against the schema of their type.

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Map, Value};

use evonic_domain::value_count;

/// The most values of a call's arguments: built, a value takes many times the bytes of its text.
const MAX_VALUES: usize = 65_536;

/// What is wrong with the arguments of a call, with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArgumentError(pub String);

/// JSON Schema 2020-12 of a tool's arguments: an object that takes no other properties. A field's
/// documentation is its description for a model; an [`Option`] may be left out.
#[must_use]
pub fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|with| with.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    for about_the_type in ["title", "description"] {
        schema.remove(about_the_type);
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(plain);
    }
    Schema::to_value(schema)
}

/// Leaves out what says nothing to a model: the width of an integer, that an absent argument may
/// also be null, and where the lines of its documentation end.
fn plain(property: &mut Value) {
    let Value::Object(property) = property else { return };
    property.shift_remove("format");
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            property["type"] = only;
        }
    }
    if let Some(Value::String(description)) = property.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// Reads a model's arguments. A null stands for an absent argument, an empty text for none at
/// all: models write both.
///
/// # Errors
/// [`ArgumentError`], with the argument's name.
pub(crate) fn check(
    schema: &Value,
    validator: &Validator,
    text: &str,
) -> Result<Value, ArgumentError> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    if value_count(text.as_bytes()) > MAX_VALUES {
        return Err(ArgumentError(format!("the arguments have more than {MAX_VALUES} values")));
    }
    let value = serde_json::from_str(text)
        .map_err(|error| ArgumentError(format!("the arguments are no JSON object: {error}")))?;
    let Value::Object(given) = value else {
        let given = described(&value);
        return Err(ArgumentError(format!("the arguments must be a JSON object, not {given}")));
    };
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let arguments = Value::Object(normalised(properties, given)?);
    let errors = validator.iter_errors(&arguments);
    match errors.min_by_key(precedence) {
        Some(error) => Err(ArgumentError(explained(properties, &error))),
        None => Ok(arguments),
    }
}

/// Arguments without nulls, and with whole numbers as integers: JSON knows one kind of number,
/// `10.0` is the integer 10.
fn normalised(
    properties: &Map<String, Value>,
    given: Map<String, Value>,
) -> Result<Map<String, Value>, ArgumentError> {
    let mut arguments = Map::new();
    for (name, value) in given {
        let Some(property) = properties.get(&name) else {
            arguments.insert(name, value);
            continue;
        };
        if value.is_null() {
            continue;
        }
        let value = match value.as_f64() {
            Some(number) if property["type"] == "integer" && value.is_f64() => {
                integer(number).ok_or_else(|| ArgumentError(mismatch(&name, property, &value)))?
            }
            _ => value,
        };
        arguments.insert(name, value);
    }
    Ok(arguments)
}

fn integer(number: f64) -> Option<Value> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    let exact = || Value::from(number as i64);
    (number.fract() == 0.0 && number.abs() <= LARGEST_EXACT).then(exact)
}

/// A wrong name explains why another one is missing, so it is reported first.
fn precedence(error: &ValidationError<'_>) -> u8 {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { .. } => 0,
        ValidationErrorKind::Required { .. } => 2,
        _ => 1,
    }
}

fn explained(properties: &Map<String, Value>, error: &ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let name = path.trim_start_matches('/').replace('/', ".");
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } if name.is_empty() => {
            let known = properties.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let first = unexpected.first().map_or("", String::as_str);
            format!("there is no argument {first:?}; there are {known}")
        }
        ValidationErrorKind::Required { property } if name.is_empty() => {
            format!("{} is missing", property.as_str().unwrap_or_default())
        }
        ValidationErrorKind::Type { .. }
        | ValidationErrorKind::Minimum { .. }
        | ValidationErrorKind::MinLength { .. } => match properties.get(&name) {
            Some(property) => mismatch(&name, property, error.instance()),
            None => format!("{name}: {error}"),
        },
        _ if name.is_empty() => error.to_string(),
        _ => format!("{name}: {error}"),
    }
}

/// What an argument must be instead.
fn mismatch(name: &str, property: &Value, value: &Value) -> String {
    let needed = match property["type"].as_str() {
        Some("integer") => match property["minimum"].as_i64() {
            Some(minimum) => format!("a whole number from {minimum}"),
            None => "a whole number".to_owned(),
        },
        Some("boolean") => "true or false".to_owned(),
        Some("string") if value == "" => "a text that is not empty".to_owned(),
        Some("string") => "a text".to_owned(),
        Some(other) => format!("of type {other}"),
        None => format!("as its schema says: {property}"),
    };
    format!("{name} must be {needed}, not {}", described(value))
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

//! The form of an answer: a JSON Schema of a client's, and replies held against it.
//!
//! Both are strangers' words. A schema is bounded in bytes and depth, and in the work of its
//! references; none leads out of it or back to itself, and its patterns take linear time. A reply
//! is bounded in values, so that a check ends soon.

mod references;

use std::fmt;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use evonic_domain::{ResponseFormat, value_count};

/// The most bytes of a schema.
const MAX_BYTES: usize = 64 * 1024;
/// The deepest that a schema is nested.
const MAX_DEPTH: usize = 32;
/// The most values of a reply. Built, a value takes many times the bytes of its text.
const MAX_VALUES: usize = 65_536;
/// The most of values by parts of the schema: what a check may cost.
const MAX_WORK: usize = 50_000_000;
/// The most bytes that a pattern is compiled to.
const MAX_PATTERN_BYTES: usize = 1024 * 1024;
/// The most characters of a fault.
const MAX_FAULT_CHARS: usize = 300;

/// What an answer must be.
#[derive(Debug)]
pub struct ResponseSchema {
    schema: Value,
    validator: Validator,
    /// Its parts, with every reference followed.
    parts: usize,
}

/// What is wrong with a schema or a reply, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer; empty for the whole.
    pub path: String,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "at {path}: {}", self.message),
        }
    }
}

impl Fault {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let mut message: String = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_FAULT_CHARS) {
            message.truncate(end);
            message.push('…');
        }
        Self { path: path.into(), message }
    }
}

impl ResponseSchema {
    /// The schema of a format.
    ///
    /// # Errors
    /// [`Fault`], whose path is one of the schema.
    pub fn new(format: &ResponseFormat) -> Result<Self, Fault> {
        let schema = format.schema();
        let bytes = schema.to_string().len();
        if bytes > MAX_BYTES {
            return Err(Fault::new("", format!("it has {bytes} bytes, and may have {MAX_BYTES}")));
        }
        if let Some(path) = too_deep(&schema) {
            return Err(Fault::new(path, format!("it is nested deeper than {MAX_DEPTH}")));
        }
        let parts = references::count_parts(&schema)?;
        let patterns =
            PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES);
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(patterns)
            .build(&schema)
            .map_err(|error| Fault::new(in_schema(&error), error.to_string()))?;
        Ok(Self { schema, validator, parts })
    }

    /// As an endpoint is given it.
    #[must_use]
    pub const fn schema(&self) -> &Value {
        &self.schema
    }

    /// The JSON of a reply, without the fence of Markdown that models like to put around it.
    ///
    /// # Errors
    /// [`Fault`], whose path is one of the reply.
    pub fn check<'t>(&self, reply: &'t str) -> Result<&'t str, Fault> {
        let text = unfenced(reply);
        let values = value_count(text.as_bytes());
        if values > MAX_VALUES || values.saturating_mul(self.parts) > MAX_WORK {
            let message = format!("it has {values} values, more than can be checked");
            return Err(Fault::new("", message));
        }
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Fault::new("", format!("it is not JSON alone: {error}")))?;
        match self.validator.iter_errors(&value).next() {
            None => Ok(text),
            Some(error) => Err(Fault::new(error.instance_path().to_string(), error.to_string())),
        }
    }
}

/// Where in a schema its fault is: the schema is itself an instance of its own schema.
fn in_schema(error: &ValidationError<'_>) -> String {
    error.instance_path().to_string()
}

/// What stands in the only fenced block of a reply; the reply where it has none.
fn unfenced(reply: &str) -> &str {
    let reply = reply.trim();
    let inner = || {
        let rest = reply.strip_prefix("```")?.strip_suffix("```")?;
        let (info, body) = rest.split_once('\n')?;
        let is_json = info.trim().is_empty() || info.trim().eq_ignore_ascii_case("json");
        is_json.then_some(body.trim())
    };
    inner().unwrap_or(reply)
}

/// The path of what is nested too deep.
fn too_deep(schema: &Value) -> Option<String> {
    let mut open = vec![(String::new(), schema, 0)];
    while let Some((path, value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Some(path);
        }
        match value {
            Value::Array(values) => {
                let inner = values.iter().enumerate();
                open.extend(inner.map(|(at, value)| (format!("{path}/{at}"), value, depth + 1)));
            }
            Value::Object(fields) => {
                open.extend(fields.iter().map(|(name, value)| {
                    (format!("{path}/{}", references::escaped(name)), value, depth + 1)
                }));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;

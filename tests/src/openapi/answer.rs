//! Whether an answer keeps to the document.

use jsonschema::Validator;
use serde_json::Value;

use super::{Document, Operation};

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; of a stream what came in time.
    pub body: Vec<u8>,
    /// Whether the body is all there is.
    pub whole: bool,
}

/// Statuses of what cannot be read as HTTP/1.1; each has its problem.
const UNREADABLE: [u16; 4] = [400, 408, 414, 431];

impl Found {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Document {
    /// Checks the answer to a request of this method and path.
    ///
    /// # Errors
    /// What is not as documented.
    pub fn check(&self, method: &str, path: &str, found: &Found) -> Result<(), String> {
        match self.operation_of(method, path) {
            Some(operation) => operation.check(method, found),
            None => self.check_refused(found),
        }
    }

    /// What is no operation is refused, with a problem as everywhere.
    fn check_refused(&self, found: &Found) -> Result<(), String> {
        let known = [400, 401, 403, 404, 405, 429, 503].contains(&found.status);
        if !known && !UNREADABLE.contains(&found.status) {
            return Err(format!("{} where there is no such operation", found.status));
        }
        if found.status == 405 && found.header("allow").is_none() {
            return Err("405 without allow".to_owned());
        }
        let empty = found.body.is_empty();
        if empty || found.header("content-type") == Some("application/problem+json") {
            return Ok(());
        }
        Err("a refusal that is no problem document".to_owned())
    }
}

impl Operation {
    /// Whether an answer of this status is documented.
    #[must_use]
    pub fn answers(&self, status: u16) -> bool {
        self.answers.contains_key(&status)
    }

    fn check(&self, method: &str, found: &Found) -> Result<(), String> {
        let Some(documented) = self.answers.get(&found.status) else {
            let kind = found.header("content-type");
            if UNREADABLE.contains(&found.status) && kind == Some("application/problem+json") {
                return Ok(());
            }
            return Err(format!("status {} is not documented", found.status));
        };
        for header in documented.headers.iter().map(String::as_str).chain(["x-request-id"]) {
            if found.header(header).is_none() {
                return Err(format!("header {header} is missing"));
            }
        }
        if documented.content.is_empty() {
            let empty = found.body.is_empty();
            return if empty { Ok(()) } else { Err("a body where there is none".to_owned()) };
        }
        if method == "HEAD" {
            return Ok(());
        }
        let kind = found.header("content-type").unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default();
        let Some((media, validator)) = documented.content.get_key_value(media) else {
            return Err(format!("content type '{kind}' is not documented"));
        };
        match media.as_str() {
            "text/event-stream" => self.check_events(found),
            "application/x-ndjson" => {
                let text = String::from_utf8_lossy(&found.body);
                let lines: Vec<_> = text.lines().collect();
                // The last one may not have come whole in time.
                let whole = if found.whole { lines.len() } else { lines.len().saturating_sub(1) };
                lines[..whole].iter().try_for_each(|line| {
                    let value = serde_json::from_str(line).map_err(|error| error.to_string())?;
                    check_value(validator, &value)
                })
            }
            media if media.ends_with("json") => {
                let value = serde_json::from_slice(&found.body).map_err(|e| e.to_string())?;
                check_value(validator, &value)
            }
            _ => Ok(()),
        }
    }

    fn check_events(&self, found: &Found) -> Result<(), String> {
        let documented = &self.answers[&found.status].events;
        let text = String::from_utf8_lossy(&found.body);
        let mut blocks: Vec<_> = text.split("\n\n").collect();
        // What follows the last empty line is nothing, or a piece of what did not come in time.
        let rest = blocks.pop().unwrap_or_default();
        if found.whole && !rest.is_empty() {
            return Err(format!("the stream ends within an event: {rest:?}"));
        }
        for block in blocks {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let Some(name) = field("event: ") else { continue };
            let Some(validator) = documented.get(name) else {
                return Err(format!("event '{name}' is not documented"));
            };
            let data = field("data: ").ok_or_else(|| format!("event '{name}' without data"))?;
            let value = serde_json::from_str(data).map_err(|error| error.to_string())?;
            check_value(validator, &value).map_err(|error| format!("event '{name}': {error}"))?;
        }
        Ok(())
    }
}

fn check_value(validator: &Validator, value: &Value) -> Result<(), String> {
    let faults: Vec<_> = validator
        .iter_errors(value)
        .take(3)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

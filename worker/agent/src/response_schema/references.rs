//! References within a schema, followed before a validator follows them.

use serde_json::Value;

use super::Fault;

/// The most parts of a schema, every reference followed each time.
const MAX_PARTS: usize = 10_000;

/// Keywords that lead elsewhere by a name or an address of their own.
const OTHER_WAYS: [&str; 5] =
    ["$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor", "$vocabulary"];

/// What `$schema` may name, below `json-schema.org`.
const DIALECTS: [&str; 4] =
    ["draft/2020-12/schema", "draft/2019-09/schema", "draft-07/schema", "draft-06/schema"];

/// How many parts a schema has, each counted as often as it is led to.
///
/// # Errors
/// [`Fault`] where a reference leads out of the schema, nowhere or back to itself, or where there
/// are too many parts.
pub(super) fn count_parts(schema: &Value) -> Result<usize, Fault> {
    let mut count = Count { root: schema, parts: 0, followed: Vec::new() };
    count.visit(schema, "")?;
    Ok(count.parts)
}

/// A name as a JSON pointer has it.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

struct Count<'s> {
    root: &'s Value,
    parts: usize,
    /// Addresses of the references that led here.
    followed: Vec<&'s str>,
}

impl<'s> Count<'s> {
    fn visit(&mut self, value: &'s Value, path: &str) -> Result<(), Fault> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            let message =
                format!("with its references followed it has more than {MAX_PARTS} parts");
            return Err(Fault::new(path, message));
        }
        match value {
            Value::Array(values) => {
                for (at, value) in values.iter().enumerate() {
                    self.visit(value, &format!("{path}/{at}"))?;
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = format!("{path}/{}", escaped(name));
                    match value.as_str() {
                        Some(address) if name == "$ref" => self.follow(address, &path)?,
                        Some(_) if name == "$id" && path != "/$id" => {
                            let message = "a schema within the schema cannot have an address";
                            return Err(Fault::new(path, message));
                        }
                        Some(dialect) if name == "$schema" => known(dialect, &path)?,
                        _ if OTHER_WAYS.contains(&name.as_str()) => {
                            return Err(Fault::new(path, format!("{name} is not supported")));
                        }
                        _ => self.visit(value, &path)?,
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn follow(&mut self, address: &'s str, path: &str) -> Result<(), Fault> {
        let Some(pointer) = address.strip_prefix('#') else {
            let message = format!("{address} leads out of the schema: use #/$defs/NAME");
            return Err(Fault::new(path, message));
        };
        if self.followed.contains(&address) {
            return Err(Fault::new(path, format!("{address} leads back to itself")));
        }
        let Some(target) = percent_decoded(pointer).and_then(|at| self.root.pointer(&at)) else {
            return Err(Fault::new(path, format!("{address} leads nowhere")));
        };
        self.followed.push(address);
        self.visit(target, path)?;
        self.followed.pop();
        Ok(())
    }
}

/// Refuses a dialect that finds addresses otherwise, and any but the whole schema's.
fn known(dialect: &str, path: &str) -> Result<(), Fault> {
    let named = dialect.trim_end_matches('#').rsplit_once("json-schema.org/");
    let is_known = named.is_some_and(|(_, name)| DIALECTS.contains(&name));
    if is_known && path == "/$schema" {
        return Ok(());
    }
    Err(Fault::new(path, format!("{dialect} is not supported: leave $schema out")))
}

/// A fragment's text; nothing where it is not UTF-8.
fn percent_decoded(fragment: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(fragment.len()), fragment.as_bytes());
    while let [first, after @ ..] = rest {
        let code = match after {
            [high, low, ..] if *first == b'%' => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

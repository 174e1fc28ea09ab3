//! Values that fit a schema.

use std::{collections::BTreeMap, path::PathBuf};

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::{Document, Operation, object, text};

/// What the server said there is.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Identifiers, by their prefix.
    ids: BTreeMap<String, Vec<String>>,
    /// What is never named in a request: who asks would lose its own key.
    spared: Vec<String>,
}

/// The most identifiers of a kind that are kept.
const KEPT: usize = 40;

impl Pool {
    /// Nothing yet; these identifiers are never named in a request.
    #[must_use]
    pub fn sparing(spared: Vec<String>) -> Self {
        Self { spared, ..Self::default() }
    }

    /// Takes every identifier of an answer.
    pub fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(id) = members.get("id").and_then(Value::as_str)
                    && let Some((prefix, _)) = id.split_once('_')
                    && !self.spared.iter().any(|spared| spared == id)
                {
                    let known = self.ids.entry(prefix.to_owned()).or_default();
                    known.push(id.to_owned());
                    if known.len() > KEPT {
                        known.remove(1);
                    }
                }
                members.values().for_each(|value| self.learn(value));
            }
            Value::Array(values) => values.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    /// Forgets what a path names: it is gone.
    pub fn forget(&mut self, path: &str) {
        for known in self.ids.values_mut() {
            known.retain(|id| !path.contains(id.as_str()));
        }
    }

    fn any(&self, prefix: &str, rng: &mut Rng) -> Option<String> {
        rng.choice(self.ids.get(prefix)?).cloned()
    }
}

/// Makes values by chance.
#[derive(Debug)]
pub struct Generator<'a> {
    /// Whose schemas.
    pub document: &'a Document,
    /// Chance.
    pub rng: Rng,
    /// What there is.
    pub pool: Pool,
    /// Every path of this machine that is made up is below it.
    pub folder: PathBuf,
}

impl<'a> Generator<'a> {
    /// A value of a schema; `name` is the property or parameter that it is for.
    pub(super) fn value(&mut self, schema: &Value, name: &str) -> Value {
        if let Some(value) = self.meant(name) {
            return value;
        }
        let document = self.document;
        let schema = document.resolved(schema);
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        for choices in ["enum", "oneOf", "anyOf"] {
            if let Some(choices) = schema[choices].as_array() {
                let choice = &choices[self.rng.usize(..choices.len())];
                let nested = choice.is_object();
                return if nested { self.value(choice, name) } else { choice.clone() };
            }
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds[self.rng.usize(..kinds.len())].clone(),
            kind => kind.clone(),
        };
        match kind.as_str() {
            Some("null") => Value::Null,
            Some("boolean") => self.rng.bool().into(),
            Some("integer") => self.integer(schema),
            Some("string") => self.text(schema).into(),
            Some("array") => self.list(schema, name),
            _ => self.members(schema),
        }
    }

    /// What a name means more than its schema can say, most of the time.
    fn meant(&mut self, name: &str) -> Option<Value> {
        if self.rng.u8(..8) == 0 && !matches!(name, "port" | "host" | "jump" | "engine" | "wait") {
            return None;
        }
        let words: &[&str] = match name {
            "model" => &["runbook", "runbook", "gone"],
            "tools" => return Some(json!(["bash", "read_file"][..self.rng.usize(..3)].to_vec())),
            "workplace" => &["local", "local", "local", "gone"],
            "other_workplaces" => return Some(json!(["local"][..self.rng.usize(..2)].to_vec())),
            "content" => {
                &["$ true", "list", "read notes.txt", "write notes.txt \"x\"", "hello", "ä\n\n日"]
            }
            "agent" => return Some(self.pool.any("agt", &mut self.rng)?.into()),
            "agents" => {
                let agent = self.pool.any("agt", &mut self.rng)?;
                return Some(if self.rng.bool() { json!([agent]) } else { Value::Null });
            }
            // Requests reach this machine alone, where nothing listens.
            "host" => &["127.0.0.1"],
            "jump" => &["127.0.0.1:1"],
            "port" => return Some([1, 7, 9][self.rng.usize(..3)].into()),
            "engine" => return Some(format!("unix://{}/none", self.folder.display()).into()),
            "path" => &["notes.txt", "a/b", ".", "copy"],
            "wait" => return Some(self.rng.u8(..2).into()),
            _ => return None,
        };
        Some(words[self.rng.usize(..words.len())].into())
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let least = schema["minimum"].as_u64().unwrap_or(0);
        let most = schema["maximum"].as_u64().unwrap_or(u64::MAX);
        match self.rng.u8(..4) {
            0 => least.into(),
            1 => most.into(),
            2 => schema.get("default").cloned().unwrap_or_else(|| least.into()),
            _ => self.rng.u64(least..=most.min(least.saturating_add(1000))).into(),
        }
    }

    fn text(&mut self, schema: &Value) -> String {
        let most = schema["maxLength"].as_u64().map_or(usize::MAX, |most| most as usize);
        // What is told by example is more than a pattern can say.
        let examples = schema["examples"].as_array().filter(|examples| !examples.is_empty());
        if let Some(examples) = examples {
            let example = &examples[self.rng.usize(..examples.len())];
            return example.as_str().expect("an example of a text").to_owned();
        }
        let text = match schema["pattern"].as_str() {
            // A whole path.
            Some("^/") => self.folder.join(text::plain(&mut self.rng)).display().to_string(),
            Some(pattern) if pattern.starts_with('^') && pattern.contains("_[0-9a-f]{") => {
                let prefix = pattern.trim_start_matches('^').split('_').next().unwrap_or_default();
                self.id(prefix)
            }
            Some("^[0-9]+(:[0-9]+)?$") => format!("{}:{}", self.rng.u16(..), self.rng.u16(..)),
            Some(_) => text::plain(&mut self.rng),
            None if self.rng.u8(..8) == 0 && (1..10_000).contains(&most) => "x".repeat(most),
            None => text::odd(&mut self.rng),
        };
        let text: String = text.chars().take(most).collect();
        let short = text.chars().count() < schema["minLength"].as_u64().unwrap_or(0) as usize;
        if short { text::plain(&mut self.rng) } else { text }
    }

    /// An identifier that there is, most of the time.
    fn id(&mut self, prefix: &str) -> String {
        let known = if self.rng.u8(..8) > 0 { self.pool.any(prefix, &mut self.rng) } else { None };
        known.unwrap_or_else(|| format!("{prefix}_{:032x}", self.rng.u128(..)))
    }

    fn list(&mut self, schema: &Value, name: &str) -> Value {
        let most = schema["maxItems"].as_u64().unwrap_or(4).min(64) as usize;
        let length = if self.rng.u8(..16) == 0 { most } else { self.rng.usize(..3.min(most + 1)) };
        let mut values = Vec::new();
        for _ in 0..length {
            let value = self.value(&schema["items"], &format!("{name}[]"));
            if schema["uniqueItems"] != true || !values.contains(&value) {
                values.push(value);
            }
        }
        Value::Array(values)
    }

    fn members(&mut self, schema: &Value) -> Value {
        let mut members = Map::new();
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.contains(&name.into()))
        };
        for (name, schema) in object(&schema["properties"]) {
            if required(name) || self.rng.u8(..3) == 0 {
                members.insert(name.clone(), self.value(schema, name));
            }
        }
        if let Some(values @ Value::Object(_)) = schema.get("additionalProperties") {
            for _ in 0..self.rng.usize(..3) {
                let name = text::plain(&mut self.rng);
                let value = self.value(values, "");
                members.insert(name, value);
            }
        }
        Value::Object(members)
    }

    /// An operation, most of the time one that makes or changes something.
    pub fn operation(&mut self) -> &'a Operation {
        let all = &self.document.operations;
        let one = &all[self.rng.usize(..all.len())];
        let again = match one.method.as_str() {
            "DELETE" => self.rng.u8(..4) > 0,
            "GET" => self.rng.u8(..4) > 1,
            _ => false,
        };
        if again { &all[self.rng.usize(..all.len())] } else { one }
    }

    /// What stands for `{id}` in a path of this template.
    pub(super) fn name_in(&mut self, template: &str) -> String {
        let prefix = match template.split('/').nth(3) {
            Some("agents") => "agt",
            Some("sessions") => "ses",
            Some("turns") => "trn",
            Some("workplaces") => "wpl",
            Some("keys") => "key",
            _ => "",
        };
        if prefix == "wpl" && self.rng.u8(..4) == 0 { "local".to_owned() } else { self.id(prefix) }
    }
}

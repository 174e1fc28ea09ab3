//! The settings of every kind of workplace, from their schemas.

use std::sync::LazyLock;

use evonic_domain::{DockerSettings, LocalSettings, SshSettings};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// How a setting's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Text,
    /// A name of a list, with `-` for `_`.
    Choice,
    /// Several of them, separated by commas.
    Choices,
    Number,
    /// Bytes, with K, M, G or T behind them.
    Bytes,
    /// Yes or no; as an option, yes.
    Switch,
    /// Paths: an option each, or separated by commas.
    Paths,
    /// Where a secret is: `env:NAME`, `file:PATH` or `credential:NAME`.
    Secret,
    /// Variables: an option each, or separated by commas.
    Pairs,
}

impl Form {
    /// The form of values of this schema.
    fn of(key: &str, schema: &Value) -> Self {
        let is = |name: &str| match &schema["type"] {
            Value::Array(names) => names.iter().any(|it| it == name),
            it => it == name,
        };
        // One that may be absent is its own schema, or null.
        let schema = schema["anyOf"].get(0).unwrap_or(schema);
        if is("boolean") {
            Self::Switch
        } else if is("integer") {
            if key.ends_with("_bytes") { Self::Bytes } else { Self::Number }
        } else if is("object") {
            Self::Pairs
        } else if is("array") {
            if schema["items"]["oneOf"].is_array() { Self::Choices } else { Self::Paths }
        } else if schema["oneOf"][0]["const"].is_string() {
            Self::Choice
        } else if schema["oneOf"].is_array() {
            Self::Secret
        } else {
            Self::Text
        }
    }
}

/// A setting.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: String,
    pub(super) option: String,
    pub(super) form: Form,
    pub(super) heading: String,
    /// Stands for the value in help.
    pub(super) value: String,
    pub(super) help: String,
}

impl Field {
    fn new(key: &str, schema: &Value, form: Form, kinds: &[&str]) -> Self {
        let text = |name: &str| schema[name].as_str().map(str::to_owned);
        let option = text("x-option").unwrap_or_else(|| {
            let name = key.replace('_', "-");
            match form {
                Form::Bytes => name.trim_end_matches("-bytes").to_owned(),
                Form::Paths => name.trim_end_matches('s').to_owned(),
                _ => name,
            }
        });
        let value = text("x-value").unwrap_or_else(|| match form {
            Form::Text => option.to_uppercase(),
            Form::Choice => "HOW".to_owned(),
            Form::Choices => "WAYS".to_owned(),
            Form::Number => "N".to_owned(),
            Form::Bytes => "BYTES".to_owned(),
            Form::Paths => "PATH".to_owned(),
            Form::Secret => "WHERE".to_owned(),
            Form::Pairs => "NAME=VALUE".to_owned(),
            Form::Switch => String::new(),
        });
        let help = text("description").unwrap_or_default();
        let help = help.trim_end_matches('.').replace('\n', " ");
        Self { key: key.to_owned(), option, form, heading: kinds.join(" and "), value, help }
    }
}

/// Every setting, in the order in which help shows them: those of several kinds first.
pub(super) static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let mut settings: Vec<(String, Value, Form, Vec<&str>)> = Vec::new();
    for (kind, mut schema) in [
        ("Local", schema::<LocalSettings>()),
        ("SSH", schema::<SshSettings>()),
        ("Docker", schema::<DockerSettings>()),
    ] {
        let Value::Object(properties) = schema["properties"].take() else { continue };
        for (key, schema) in properties {
            let form = Form::of(&key, &schema);
            match settings.iter_mut().find(|(known, ..)| *known == key) {
                Some((_, _, known, kinds)) => {
                    kinds.push(kind);
                    // A name of a list here may be any name there.
                    if *known != form {
                        *known = Form::Text;
                    }
                }
                None => settings.push((key, schema, form, vec![kind])),
            }
        }
    }
    settings.sort_by_key(|(.., kinds)| kinds.len() == 1);
    let fields = settings.iter();
    fields.map(|(key, schema, form, kinds)| Field::new(key, schema, *form, kinds)).collect()
});

/// The schema of settings, without references.
fn schema<T: JsonSchema>() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<T>().into()
}

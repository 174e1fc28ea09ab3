//! What a client posts: text, attachments, and the form that the answer must have.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use serde_json::{Value, json};

/// Body of `POST /api/v1/sessions/{id}/messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    pub content: Content,
    /// The form that the answer must have, if it must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
}

impl NewMessage {
    /// A message of text alone.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: Content::Text(text.into()), response_format: None }
    }
}

/// What a message says: a text, or a list of parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

impl Content {
    /// The text of all its parts, a line each.
    #[must_use]
    pub fn joined_text(&self) -> String {
        match self {
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| match part {
                    Part::Text { text } => Some(text.as_str()),
                    Part::Image(_) | Part::File(_) => None,
                });
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    Text { text: String },
    Image(NewAttachment),
    File(NewAttachment),
}

/// An attachment, by exactly one of `sha256`, `data` and `url`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAttachment {
    /// Of a content that was uploaded to the session before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The content itself, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Where the content is fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Absent: as the content shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The form that the answer of a turn must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ResponseFormat {
    /// Any JSON object.
    JsonObject {},
    /// JSON that fits this schema.
    JsonSchema {
        schema: Value,
        /// For endpoints that want one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

impl ResponseFormat {
    /// Its JSON Schema. A name stands in its `title`, unless it has one.
    #[must_use]
    pub fn schema(&self) -> Value {
        match self {
            ResponseFormat::JsonObject {} => json!({"type": "object"}),
            ResponseFormat::JsonSchema { schema, name } => {
                let mut schema = schema.clone();
                if let (Value::Object(fields), Some(name)) = (&mut schema, name) {
                    fields.entry("title").or_insert_with(|| name.as_str().into());
                }
                schema
            }
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

/// Tells text from parts by their form, so that errors name the part.
struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Content, E> {
        Ok(Content::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Content::Parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<NewMessage, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_text_and_parts_are_both_messages() {
        let text = read(json!({"content": "hello"})).unwrap();
        assert_eq!(text, NewMessage::text("hello"));
        let parts = read(json!({"content": [
            {"type": "text", "text": "what is"},
            {"type": "image", "sha256": "00", "name": "a.png"},
            {"type": "text", "text": "this?"},
        ]}))
        .unwrap();
        assert_eq!(parts.content.joined_text(), "what is\nthis?");
        let again = serde_json::to_value(&parts).unwrap();
        assert_eq!(read(again).unwrap(), parts);
    }

    #[test]
    fn other_forms_are_refused_with_what_was_expected() {
        for (content, words) in [
            (json!(7), "a string or a list of parts"),
            (json!([{"type": "video", "url": "x"}]), "unknown variant `video`"),
            (json!([{"type": "image", "path": "x"}]), "unknown field `path`"),
            (json!([{"type": "text"}]), "missing field `text`"),
        ] {
            let refused = read(json!({"content": content})).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_name_becomes_the_title_of_its_schema() {
        let format = |schema| ResponseFormat::JsonSchema { schema, name: Some("city".into()) };
        assert_eq!(format(json!({})).schema(), json!({"title": "city"}));
        assert_eq!(format(json!({"title": "own"})).schema(), json!({"title": "own"}));
        assert_eq!(format(json!(true)).schema(), json!(true));
    }
}

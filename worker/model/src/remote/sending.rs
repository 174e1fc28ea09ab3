//! What of a request goes to this endpoint, and how.

use std::collections::{HashMap, HashSet};

use evonic_domain::{Attachment, AttachmentKind, FileForm, ModelFacts};
use evonic_shared::config;
use serde_json::Value;

use crate::{Request, body::JsonWriter};

/// The most bytes of a text that is shown within the request.
pub const MAX_TEXT_BYTES: u64 = 1024 * 1024;

/// The terms under which a request is written.
pub(crate) struct Sending<'a> {
    pub(crate) settings: &'a config::Model,
    /// Whose reasoning and signatures go back.
    pub(crate) endpoint: &'a str,
    pub(super) facts: &'a ModelFacts,
    /// Whether images are sent.
    pub(crate) eyes: bool,
    /// Tokens of the request and its reply together, where they are known.
    pub(super) window: Option<u64>,
    /// Whether contents can be read.
    pub(super) has_blobs: bool,
    /// Hashes of what is told of and not shown.
    pub(super) withheld: &'a HashSet<String>,
    /// Lengths of texts within a string, by hash.
    pub(super) texts: &'a HashMap<String, u64>,
}

/// How an attachment is shown.
pub(crate) enum Inlined {
    /// By its content.
    Content,
    /// As a text, of this length within a string.
    Text(u64),
    /// Not at all.
    Absent,
}

impl Sending<'_> {
    /// Whether a field is sent: not where it is configured away, or was refused.
    pub(crate) fn sends(&self, field: &str) -> bool {
        let is = |left_out: &String| left_out == field;
        !self.settings.leave_out.iter().any(is) && !self.facts.refused_fields.iter().any(is)
    }

    /// The most tokens of the reply, of which the model's own limit is this one where the
    /// configuration has none: never more than half of the window, which is the room that the
    /// request leaves.
    pub(crate) fn max_tokens(&self, request: &Request, default: Option<u32>) -> Option<u32> {
        let half = self.window.map(|window| u32::try_from(window / 2).unwrap_or(u32::MAX));
        let own = self.settings.max_tokens.or(default);
        let own = own.map(|own| half.map_or(own, |half| own.min(half)));
        match (own, request.max_output_tokens) {
            (Some(own), Some(asked)) => Some(own.min(asked)),
            (own, asked) => own.or(asked),
        }
    }

    pub(crate) fn inlined(&self, attachment: &Attachment) -> Inlined {
        if self.withheld.contains(&attachment.sha256) {
            return Inlined::Absent;
        }
        match self.texts.get(&attachment.sha256) {
            Some(text) if attachment.kind == AttachmentKind::File => Inlined::Text(*text),
            _ if self.has_blobs => Inlined::Content,
            _ => Inlined::Absent,
        }
    }

    /// Writes an attachment that the endpoint does not take as it is, within a string.
    pub(crate) fn write_in_words(&self, attachment: &Attachment, json: &mut JsonWriter) {
        let Attachment { kind, name, media_type, bytes, .. } = attachment;
        let name = if name.is_empty() { String::new() } else { format!(" {name}") };
        match self.inlined(attachment) {
            Inlined::Text(length) => {
                json.within_string(&format!("[File{name}]\n"));
                json.text_blob(attachment, length);
            }
            Inlined::Content | Inlined::Absent => json.within_string(&format!(
                "[The {}{name} ({media_type}, {bytes} bytes) cannot be shown to this model.]",
                kind.name()
            )),
        }
    }
}

/// Whether an attachment is a text that is shown within the request.
pub(super) fn is_text(attachment: &Attachment) -> bool {
    attachment.kind == AttachmentKind::File
        && FileForm::of(&attachment.media_type) == FileForm::Text
        && attachment.bytes <= MAX_TEXT_BYTES
}

/// Whether an attachment is a document that endpoints take as such.
pub(crate) fn is_document(attachment: &Attachment) -> bool {
    attachment.kind == AttachmentKind::File
        && FileForm::of(&attachment.media_type) == FileForm::Document
}

/// A schema as an instruction, behind others, for an endpoint that takes none.
pub(crate) fn in_words(schema: &Value, before: &str) -> String {
    let space = if before.is_empty() { "" } else { "\n\n" };
    format!("{space}Reply with nothing but JSON that fits this JSON Schema:\n{schema}")
}

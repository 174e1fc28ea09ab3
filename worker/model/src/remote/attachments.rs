//! Attachments of a request: what of them is shown, and which a refusal is about.

use std::collections::{HashMap, HashSet};

use evonic_domain::{Attachment, AttachmentKind, Item};

use super::{
    Failure, IMAGES, Remote,
    learning::says,
    sending::{is_document, is_text},
};
use crate::{Blobs, Request, body::escaped_length};

/// How endpoints say of a model that it takes no images, beside words for an image.
const BLIND: [&str; 24] = [
    "not support image",
    "n't support image",
    "not support the image",
    "not support vision",
    "n't support vision",
    "not support multimodal",
    "n't support multimodal",
    "image input is not supported",
    "image inputs are not supported",
    "image content is not supported",
    "images are not supported",
    "image_url is not supported",
    "image_url' is not supported",
    "image_url is only supported",
    "support image input",
    "input is not enabled for this model",
    "not a multimodal model",
    "not multimodal",
    "not a vision model",
    "only supports text",
    "unknown variant `image",
    "at most 0 image",
    "provide the mmproj",
    "requires mmproj",
];

/// How endpoints say that a part of a message is none that they take.
const NO_PART: [&str; 6] = [
    "not support",
    "n't support",
    "unsupported content",
    "invalid content type",
    "unknown variant",
    "content must be a string",
];

/// How endpoints say that something is wrong with an attachment itself: the next one may do.
const AMISS: [&str; 16] = [
    "format",
    "media type",
    "media_type",
    "mime",
    "size",
    "large",
    "exceed",
    "maximum",
    "too many",
    "dimension",
    "pixel",
    "page",
    "valid image",
    "unsupported image.",
    "decode",
    "corrupt",
];

/// How endpoints call a document.
const DOCUMENT: [&str; 6] =
    ["pdf", "document", "file", "content type", "content[", "content must be a string"];

impl Remote {
    /// The lengths of the texts among the attachments, by hash; of the others, makes sure that they are there.
    pub(super) async fn texts(&self, request: &Request) -> Result<HashMap<String, u64>, Failure> {
        let mut texts = HashMap::new();
        let Some(blobs) = request.blobs.as_deref() else { return Ok(texts) };
        let mut seen = HashSet::new();
        let eyes = self.eyes();
        for attachment in attachments(request) {
            let Attachment { kind, sha256, name, bytes, .. } = attachment;
            let absent = |reason: String| {
                let name = if name.is_empty() { sha256 } else { name };
                let message = format!("{name} cannot be read: {reason}");
                Failure::Attachment { hashes: vec![sha256.clone()], message }
            };
            if !seen.insert((sha256, *kind)) {
                continue;
            }
            if is_text(attachment) {
                let length = text_length(blobs, sha256, *bytes).await.map_err(absent)?;
                texts.insert(sha256.clone(), length);
            } else if is_document(attachment) || (*kind == AttachmentKind::Image && eyes) {
                is_stored(blobs, sha256, *bytes).await.map_err(absent)?;
            }
        }
        Ok(texts)
    }
}

/// A failure as that of the attachments which the endpoint refuses with it. That it takes no images
/// at all is learnt.
pub(super) fn blame(model: &Remote, request: &Request, failure: Failure) -> Failure {
    let (status, message) = match &failure {
        // A body that is too large, of which attachments are the most: not the conversation.
        Failure::TooLong { window: None, tokens: None, message } => {
            return match most_of_it(request) {
                hashes if hashes.is_empty() => failure,
                hashes => Failure::Attachment { hashes, message: message.clone() },
            };
        }
        Failure::Refused { status: status @ (400 | 404 | 413 | 415 | 422), message } => {
            (*status, message)
        }
        // llama.cpp says so with status 500.
        Failure::Transient { message } => (500, message),
        _ => return failure,
    };
    let lower = message.to_lowercase();
    let is_blind = says(&lower, &BLIND);
    let certain = matches!(status, 400 | 413 | 415 | 422);
    let invalid = || lower.contains("invalid") || lower.contains("could not process");
    let is_at_fault = certain && (says(&lower, &AMISS) || says(&lower, &NO_PART) || invalid());
    let images = if model.eyes() { shown(request, is_image) } else { Vec::new() };
    let of_any_part = certain && lower.contains("content must be a string");
    let hashes = if !images.is_empty()
        && (is_blind || of_any_part || (is_at_fault && lower.contains("image")))
    {
        if is_blind {
            model.facts.learn_refusal(&model.identity, IMAGES);
        }
        images
    } else if is_at_fault && says(&lower, &DOCUMENT) {
        shown(request, is_document)
    } else {
        Vec::new()
    };
    if hashes.is_empty() {
        return failure;
    }
    // What is transient says its status itself.
    let message = match failure {
        Failure::Refused { .. } => format!("status {status}: {message}"),
        _ => message.clone(),
    };
    Failure::Attachment { hashes, message }
}

/// The attachments that a request shows, where they are more than everything else of it.
fn most_of_it(request: &Request) -> Vec<String> {
    let is_shown = |of: &Attachment| is_image(of) || is_document(of);
    let hashes = shown(request, is_shown);
    let attached: u64 =
        attachments(request).filter(|of| is_shown(of)).map(|attachment| attachment.bytes).sum();
    let said = |item: &Item| match item {
        Item::User { text, .. } | Item::Assistant { text, .. } => text.len(),
        Item::ToolResult { content, .. } => content.len(),
        Item::Summary { .. } | Item::LeftOut { .. } => 0,
    };
    let said: usize = request.items.iter().map(said).sum();
    if attached > (said + request.instructions.len()) as u64 { hashes } else { Vec::new() }
}

/// The attachments that a request shows, of this kind.
fn shown(request: &Request, of: impl Fn(&Attachment) -> bool) -> Vec<String> {
    let attachments = attachments(request).filter(|_| request.blobs.is_some());
    attachments.filter(|attachment| of(attachment)).map(|of| of.sha256.clone()).collect()
}

fn is_image(attachment: &Attachment) -> bool {
    attachment.kind == AttachmentKind::Image
}

/// The attachments of a request, but those that are withheld.
fn attachments(request: &Request) -> impl Iterator<Item = &Attachment> {
    let lists = request.items.iter().filter_map(|item| match item {
        Item::User { attachments, .. } => Some(attachments),
        Item::Assistant { .. }
        | Item::Summary { .. }
        | Item::LeftOut { .. }
        | Item::ToolResult { .. } => None,
    });
    lists.flatten().filter(|attachment| !request.withheld.contains(&attachment.sha256))
}

/// The length within a string of a content that is text.
async fn text_length(blobs: &dyn Blobs, sha256: &str, bytes: u64) -> Result<u64, String> {
    let (mut read, mut length) = (0, 0);
    let mut rest = Vec::new();
    while read < bytes {
        let piece = blobs.read(sha256, read).await?;
        if piece.is_empty() {
            return Err(format!("not all of its {bytes} bytes are stored"));
        }
        read += piece.len() as u64;
        length += escaped_length(&piece);
        // A piece may end within a character.
        rest.extend_from_slice(&piece);
        let whole = match std::str::from_utf8(&rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() && read < bytes => error.valid_up_to(),
            Err(_) => return Err("it is no UTF-8".to_owned()),
        };
        rest.drain(..whole);
    }
    Ok(length)
}

/// Whether the last byte of a content can be read: a request that breaks off in the middle has
/// cost its time.
async fn is_stored(blobs: &dyn Blobs, sha256: &str, bytes: u64) -> Result<(), String> {
    if bytes > 0 && blobs.read(sha256, bytes - 1).await?.is_empty() {
        return Err(format!("not all of its {bytes} bytes are stored"));
    }
    Ok(())
}

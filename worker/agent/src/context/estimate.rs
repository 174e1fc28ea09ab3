//! How many tokens what is sent may take: a count of bytes by kind, corrected by what the endpoint
//! reported.

use evonic_domain::{Attachment, AttachmentKind, FileForm, Item, ToolSpec};
use evonic_model::MAX_TEXT_BYTES;

/// Parts of a token that a byte counts.
const PARTS: u64 = 7;
/// A byte of a word: 3.5 of them are a token.
const WORD: u64 = 2;
/// A byte of punctuation or of a line's end.
const SIGN: u64 = 4;
/// A digit, and a byte of what is not ASCII: many vocabularies have a token for each.
const WHOLE: u64 = PARTS;

/// What surrounds each item.
const ITEM: u64 = 8;
/// What surrounds each call and each tool.
const CALL: u64 = 12;
/// An image, whatever its size.
const IMAGE: u64 = 1600;
/// Bytes of a text for a token.
const FILE: u64 = 3;
/// Bytes of a PDF for a token, and the most tokens of one: most of a large one is images, fonts and
/// compression. Too few are told by the endpoint; too many would refuse what it takes.
const DOCUMENT: u64 = 32;
const MOST_OF_DOCUMENT: u64 = 60_000;
/// What is told of a file instead of its content, with a long name.
const WITHHELD: u64 = 100;

/// The estimate that a thousand stands for: as it is counted here.
pub(crate) const UNSCALED: u64 = 1000;
/// What a report may correct the estimate to. An endpoint that reports less is not believed.
const SCALES: std::ops::RangeInclusive<u64> = 300..=4000;
/// Estimates below this tell nothing about the scale.
const TELLING: u64 = 200;

/// Tokens of a text.
pub(crate) fn text(text: &str) -> u64 {
    let part = |byte: u8| match byte {
        b'0'..=b'9' | 0x80.. => WHOLE,
        b'a'..=b'z' | b'A'..=b'Z' | b' ' => WORD,
        _ => SIGN,
    };
    text.bytes().map(part).sum::<u64>().div_ceil(PARTS)
}

/// Tokens of an item.
pub(crate) fn item(item: &Item) -> u64 {
    let inner = match item {
        Item::User { text: said, attachments } => {
            text(said) + attachments.iter().map(attachment).sum::<u64>()
        }
        Item::Summary { text: said, .. } => text(said),
        Item::LeftOut { .. } => 5 * ITEM,
        Item::Assistant { text: said, tool_calls, carried, .. } => {
            let call = |call: &evonic_domain::ToolCall| {
                CALL + text(&call.id) + text(&call.name) + text(&call.arguments)
            };
            let carried = carried.as_ref().map_or(0, |carried| text(&carried.data.to_string()));
            text(said) + carried + tool_calls.iter().map(call).sum::<u64>()
        }
        Item::ToolResult { call_id, content, .. } => text(call_id) + text(content),
    };
    ITEM + inner
}

fn attachment(attachment: &Attachment) -> u64 {
    match attachment.kind {
        AttachmentKind::Image => IMAGE,
        AttachmentKind::File => match FileForm::of(&attachment.media_type) {
            FileForm::Document => attachment.bytes.div_ceil(DOCUMENT).min(MOST_OF_DOCUMENT),
            FileForm::Text if attachment.bytes <= MAX_TEXT_BYTES => attachment.bytes.div_ceil(FILE),
            FileForm::Text | FileForm::Other => WITHHELD,
        },
    }
}

/// Tokens of the agent's tools.
pub(crate) fn tools(specs: &[ToolSpec]) -> u64 {
    let tool = |spec: &ToolSpec| {
        CALL + text(&spec.name) + text(&spec.description) + text(&spec.schema.to_string())
    };
    specs.iter().map(tool).sum()
}

/// What the endpoint counts for a thousand of the estimate; [`None`] where that tells nothing.
pub(crate) fn scale(reported: u64, estimated: u64) -> Option<u64> {
    if reported == 0 || estimated < TELLING {
        return None;
    }
    let scale = reported.saturating_mul(UNSCALED) / estimated;
    Some(scale.clamp(*SCALES.start(), *SCALES.end()))
}

/// An estimate as the endpoint would count it, with a twentieth to be safe.
pub(crate) fn scaled(estimate: u64, scale: u64) -> u64 {
    estimate.saturating_mul(scale).div_ceil(UNSCALED).saturating_mul(21).div_ceil(20)
}

/// The least that an estimate may be, whatever was reported.
pub(crate) fn least(estimate: u64) -> u64 {
    estimate.saturating_mul(*SCALES.start()) / UNSCALED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_split_into_more_tokens_counts_more() {
        let words = text(&"a word and ".repeat(100));
        assert_eq!(words, (1100 * WORD).div_ceil(PARTS));
        assert_eq!(text(&"1".repeat(1100)), 1100);
        assert_eq!(text(&"語".repeat(100)), 300);
        assert!(text(&"{\"a\":\"b\"}".repeat(100)) > 400);
    }

    #[test]
    fn a_large_document_is_not_counted_by_its_bytes() {
        let file = |media_type: &str, bytes| {
            let (sha256, name) = ("0".repeat(64), String::new());
            let kind = AttachmentKind::File;
            attachment(&Attachment { kind, sha256, media_type: media_type.to_owned(), name, bytes })
        };
        assert_eq!(file("text/plain", 300_000), 100_000);
        assert_eq!(file("application/pdf", 320_000), 10_000);
        assert_eq!(file("application/pdf", 20_000_000), MOST_OF_DOCUMENT);
        for (media_type, bytes) in [("application/zip", 20_000_000), ("text/plain", 20_000_000)] {
            assert_eq!(file(media_type, bytes), WITHHELD, "its content is not sent");
        }
    }

    #[test]
    fn a_report_that_cannot_be_true_is_bounded() {
        assert_eq!(scale(0, 5000), None);
        assert_eq!(scale(50, 100), None);
        assert_eq!(scale(500, 1000), Some(500));
        assert_eq!(scale(1, 1000), Some(300));
        assert_eq!(scale(1_000_000, 1000), Some(4000));
        assert_eq!(scaled(1000, 500), 525);
    }
}

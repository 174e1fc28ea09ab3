//! What a content is: by its first bytes where they say it, never by its name alone.

/// Bytes from which [`Signature::of`] tells all that it can.
pub const SIGNATURE_BYTES: usize = 16;

/// What the first bytes of a content say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Png,
    Jpeg,
    Gif,
    WebP,
    Pdf,
    /// None of those.
    Other,
}

/// Why a content is not taken for what it is said to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is said to be {said}, and is {found}")]
pub struct OtherContent {
    pub said: String,
    pub found: &'static str,
}

/// Text that is not of a type `text/...`.
const TEXTS: [&str; 8] = [
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/toml",
    "application/sql",
    "application/javascript",
    "application/x-sh",
];

/// What says nothing about a content.
const UNKNOWN: &str = "application/octet-stream";

impl Signature {
    /// Of these first bytes.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Signature::Png,
            [0xff, 0xd8, 0xff, ..] => Signature::Jpeg,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Signature::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Signature::WebP,
            [b'%', b'P', b'D', b'F', b'-', ..] => Signature::Pdf,
            _ => Signature::Other,
        }
    }

    /// The media type, where it is a known one.
    #[must_use]
    pub const fn media_type(self) -> Option<&'static str> {
        match self {
            Signature::Png => Some("image/png"),
            Signature::Jpeg => Some("image/jpeg"),
            Signature::Gif => Some("image/gif"),
            Signature::WebP => Some("image/webp"),
            Signature::Pdf => Some("application/pdf"),
            Signature::Other => None,
        }
    }
}

/// The media type of a content with this signature, `said` to be of one; `is_text` where all of it
/// is UTF-8 without NUL.
///
/// # Errors
/// [`OtherContent`] where the two contradict each other.
pub fn media_type(
    said: Option<&str>,
    signature: Signature,
    is_text: bool,
) -> Result<String, OtherContent> {
    let essence = said.and_then(|said| said.split(';').next()).map_or("", str::trim);
    let said = essence.to_ascii_lowercase();
    let other = |found| OtherContent { said: said.clone(), found };
    let known = signature.media_type();
    if said.is_empty() || said == UNKNOWN {
        let guessed = known.unwrap_or(if is_text { "text/plain" } else { UNKNOWN });
        return Ok(guessed.to_owned());
    }
    match known {
        Some(known) if known == said || (said == "image/jpg" && known == "image/jpeg") => {
            Ok(known.to_owned())
        }
        Some(known) => Err(other(known)),
        None if said.starts_with("image/") && said != "image/svg+xml" => {
            Err(other("no PNG, JPEG, GIF or WebP"))
        }
        None if said == "application/pdf" => Err(other("no PDF")),
        None if is_text_type(&said) && !is_text => Err(other("no UTF-8 text")),
        None => Ok(said),
    }
}

/// What models take a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileForm {
    /// A text, which stands within a message.
    Text,
    /// A PDF.
    Document,
    /// Nothing that a model is shown.
    Other,
}

impl FileForm {
    /// That of a media type, with parameters or without.
    #[must_use]
    pub fn of(media_type: &str) -> Self {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/pdf" => Self::Document,
            text if is_text_type(text) => Self::Text,
            _ => Self::Other,
        }
    }
}

fn is_text_type(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || TEXTS.contains(&media_type)
        || ["+json", "+xml"].iter().any(|form| media_type.ends_with(form))
}

/// Whether a text has the form of a media type: `type/subtype` of visible characters, no parameter.
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        (1..=64).contains(&part.len()) && part.bytes().all(fits)
    };
    text.split_once('/').is_some_and(|(kind, of)| is_token(kind) && is_token(of))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_is_taken_for_what_its_type_says_however_that_is_written() {
        for (media_type, form) in [
            ("text/plain", FileForm::Text),
            ("Text/Plain; charset=utf-8", FileForm::Text),
            ("application/ld+json", FileForm::Text),
            ("image/svg+xml", FileForm::Text),
            ("application/PDF ;x", FileForm::Document),
            ("application/zip", FileForm::Other),
            (UNKNOWN, FileForm::Other),
            ("", FileForm::Other),
        ] {
            assert_eq!(FileForm::of(media_type), form, "{media_type}");
        }
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    #[test]
    fn a_content_is_what_its_first_bytes_say() {
        for (head, media) in [
            (PNG, "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"GIF89a\x01\0", "image/gif"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
            (b"%PDF-1.7", "application/pdf"),
            (b"PK\x03\x04", UNKNOWN),
        ] {
            let found = Signature::of(head);
            assert_eq!(media_type(None, found, false).unwrap(), media);
            assert_eq!(media_type(Some(UNKNOWN), found, false).unwrap(), media);
        }
        assert_eq!(media_type(None, Signature::Other, true).unwrap(), "text/plain");
    }

    #[test]
    fn a_content_that_is_said_to_be_another_is_refused() {
        let png = Signature::of(PNG);
        assert_eq!(media_type(Some("image/PNG"), png, false).unwrap(), "image/png");
        assert_eq!(media_type(Some("image/jpg"), Signature::Jpeg, false).unwrap(), "image/jpeg");
        for (said, signature, is_text, words) in [
            ("image/jpeg", png, false, "is image/png"),
            ("text/plain", png, false, "is image/png"),
            ("image/png", Signature::Other, true, "no PNG"),
            ("application/pdf", Signature::Other, true, "no PDF"),
            ("text/csv", Signature::Other, false, "no UTF-8 text"),
            ("application/json; charset=utf-8", Signature::Other, false, "no UTF-8 text"),
        ] {
            let refused = media_type(Some(said), signature, is_text).unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
        }
        assert_eq!(
            media_type(Some("text/csv; header=present"), Signature::Other, true).unwrap(),
            "text/csv"
        );
        assert_eq!(
            media_type(Some("image/svg+xml"), Signature::Other, true).unwrap(),
            "image/svg+xml"
        );
        assert_eq!(
            media_type(Some("application/zip"), Signature::Other, false).unwrap(),
            "application/zip"
        );
    }

    #[test]
    fn a_media_type_has_two_parts() {
        for (text, is_one) in [
            ("image/png", true),
            ("application/vnd.api+json", true),
            ("text", false),
            ("text/", false),
            ("text/plain; charset=utf-8", false),
            ("text/pl ain", false),
            ("text/a\r\nb", false),
        ] {
            assert_eq!(is_media_type(text), is_one, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_image_is_never_taken_for_another(
            head in prop::collection::vec(any::<u8>(), 0..32), is_text: bool,
            said in prop::sample::select(vec!["image/png", "image/jpeg", "image/gif", "image/webp"]),
        ) {
            let signature = Signature::of(&head);
            let taken = media_type(Some(said), signature, is_text);
            prop_assert_eq!(taken.is_ok(), signature.media_type() == Some(said));
        }

        #[test]
        fn more_bytes_change_no_signature(head in prop::collection::vec(any::<u8>(), SIGNATURE_BYTES..64)) {
            prop_assert_eq!(Signature::of(&head), Signature::of(&head[..SIGNATURE_BYTES]));
        }
    }
}

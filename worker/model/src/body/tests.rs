//! Bodies, and what of an attachment stands in memory.

use async_trait::async_trait;
use evonic_domain::AttachmentKind;
use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;

/// Contents that are computed as they are read, in pieces of this size.
#[derive(Debug)]
struct Computed {
    bytes: u64,
    piece: u64,
}

#[async_trait]
impl Blobs for Computed {
    async fn read(&self, _: &str, offset: u64) -> Result<Bytes, String> {
        let end = self.bytes.min(offset + self.piece);
        Ok((offset..end).map(|place| (place % 251) as u8).collect())
    }
}

fn attachment(bytes: u64) -> Attachment {
    let kind = AttachmentKind::Image;
    let (sha256, media_type) = ("ab".repeat(32), "image/png".to_owned());
    Attachment { kind, sha256, media_type, name: String::new(), bytes }
}

fn with_blob(said: u64, blobs: Computed) -> RequestBody {
    let mut json = JsonWriter::default();
    json.raw("\"");
    json.blob(&attachment(said));
    json.raw("\"");
    json.finish(Some(Arc::new(blobs)))
}

proptest! {
    #[test]
    fn a_string_is_what_it_was(text in "\\PC*|[\\x00-\\x7f]*", length in 0..200_000_usize) {
        let mut json = JsonWriter::default();
        let long = "grüße \u{1}".repeat(length / 8);
        json.strings(&[&text, &long]);
        let body = json.finish(None);
        prop_assert_eq!(body.len(), body.text().len() as u64);
        let read: String = serde_json::from_str(&body.text()).unwrap();
        prop_assert_eq!(read, text + &long);
    }

    #[test]
    fn a_content_is_sent_whole_however_it_is_read(bytes in 0..5_000_u64, piece in 1..700_u64) {
        let body = with_blob(bytes, Computed { bytes, piece });
        let said = body.len();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let sent = runtime.block_on(body.collect()).unwrap().to_bytes();
        prop_assert_eq!(sent.len() as u64, said);
        let text: String = serde_json::from_slice(&sent).unwrap();
        let content: Vec<u8> = (0..bytes).map(|place| (place % 251) as u8).collect();
        prop_assert_eq!(BASE64_STANDARD.decode(text).unwrap(), content);
    }
}

#[tokio::test]
async fn a_text_is_escaped_as_it_is_read() {
    let blobs = Computed { bytes: 128, piece: 7 };
    let content: Vec<u8> = (0..128).collect();
    let mut json = JsonWriter::default();
    json.raw("\"");
    json.text_blob(&attachment(128), escaped_length(&content));
    json.raw("\"");
    let body = json.finish(Some(Arc::new(blobs)));
    let said = body.len();
    let sent = body.collect().await.unwrap().to_bytes();
    assert_eq!(sent.len() as u64, said);
    let text: String = serde_json::from_slice(&sent).unwrap();
    assert_eq!(text.as_bytes(), content);
}

#[tokio::test]
async fn a_content_of_another_size_is_refused() {
    for (said, bytes) in [(10, 9), (10, 11), (10, 0)] {
        let body = with_blob(said, Computed { bytes, piece: 4 });
        let error = body.collect().await.unwrap_err().to_string();
        assert!(error.contains("has not the 10 bytes"), "{error}");
    }
}

#[tokio::test]
async fn an_attachment_never_stands_in_memory_whole() {
    let bytes = 20 << 20;
    let mut body = with_blob(bytes, Computed { bytes, piece: 64 << 10 });
    let mut largest = 0;
    while let Some(frame) = body.frame().await {
        largest = largest.max(frame.unwrap().into_data().unwrap().len());
    }
    assert!(largest <= 128 << 10, "{largest}");
}

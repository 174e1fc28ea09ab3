//! Attachments that an endpoint refuses, or that are gone.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use evonic_domain::{Attachment, AttachmentKind, Item};

use super::{
    ask, model, request,
    server::{Server, once, status},
};
use crate::{Blobs, ModelError, Request};

/// Contents of three bytes, but that of the hash `gone`.
#[derive(Debug)]
struct Three;

#[async_trait]
impl Blobs for Three {
    async fn read(&self, sha256: &str, offset: u64) -> Result<Bytes, String> {
        match (sha256, offset) {
            ("gone", _) => Err("attachment gone not found".to_owned()),
            (_, offset) => Ok(Bytes::from_static(b"abc").slice((offset as usize).min(3)..)),
        }
    }
}

fn showing(kind: AttachmentKind, media_type: &str, sha256: &str) -> Request {
    let (sha256, media_type) = (sha256.to_owned(), media_type.to_owned());
    let attachment = Attachment { kind, sha256, media_type, name: "it".to_owned(), bytes: 3 };
    let item = Item::User { text: "see".to_owned(), attachments: vec![attachment] };
    Request { blobs: Some(Arc::new(Three)), ..request(vec![item]) }
}

/// What an endpoint's refusal of a request is: the hashes that it blames, and whether it has eyes
/// after that.
async fn refused(request: &Request, head: &str, message: &str) -> (Option<Vec<String>>, bool) {
    let body = serde_json::json!({"error": {"message": message}}).to_string();
    let server = Server::start(once(status(head, "", &body))).await;
    let model = model(&server, |settings| settings.retries = 0);
    let error = ask(&model, request).await.0.unwrap_err();
    let blamed = match error {
        ModelError::Attachment { hashes, message: told, .. } => {
            assert!(told.contains(message), "{told}");
            Some(hashes)
        }
        _ => None,
    };
    (blamed, model.eyes())
}

#[tokio::test]
async fn an_endpoint_without_eyes_is_told_from_an_image_that_is_amiss() {
    let image = showing(AttachmentKind::Image, "image/png", "image");
    let blamed = Some(vec!["image".to_owned()]);
    for (head, message, eyes) in [
        ("400 Bad Request", "Invalid content type. image_url is only supported by some.", false),
        ("404 Not Found", "No endpoints found that support image input", false),
        ("422 Unprocessable", "This model does not support images", false),
        (
            "500 Internal Server Error",
            "image input is not supported - hint: provide the mmproj",
            false,
        ),
        (
            "400 Bad Request",
            "You uploaded an unsupported image. Please make sure your image is valid.",
            true,
        ),
        ("400 Bad Request", "image exceeds 5 MB maximum", true),
        ("400 Bad Request", "Could not process image", true),
        ("400 Bad Request", "image/tiff is not supported: unsupported media type", true),
        ("400 Bad Request", "Unexpected end of image data: invalid image", true),
        ("400 Bad Request", "messages[1].content must be a string", true),
        ("400 Bad Request", "At most 0 image(s) may be provided in one request.", false),
    ] {
        let seen = refused(&image, head, message).await;
        assert_eq!(seen, (blamed.clone(), eyes), "{message}");
    }
    for (head, message) in [
        ("400 Bad Request", "no such model"),
        ("404 Not Found", "no model image-1"),
        ("500 Internal Server Error", "cannot write image to cache"),
        ("500 Internal Server Error", "container image failed, contact support"),
        ("400 Bad Request", "revision 3 is no longer supported"),
    ] {
        assert_eq!(refused(&image, head, message).await, (None, true), "{message}");
    }
}

/// A body that is too large is the attachment's fault where that is the most of it.
#[tokio::test]
async fn a_body_that_is_too_large_is_blamed_on_what_is_large() {
    let image = showing(AttachmentKind::Image, "image/png", "image");
    let head = "413 Content Too Large";
    assert_eq!(refused(&image, head, "too large").await, (None, true), "the text is more");
    let Item::User { attachments, .. } = image.items[0].clone() else { panic!("a user's item") };
    let no_text = Item::User { text: String::new(), attachments };
    let image = Request { instructions: String::new(), items: vec![no_text].into(), ..image };
    let blamed = Some(vec!["image".to_owned()]);
    assert_eq!(refused(&image, head, "too large").await, (blamed, true));
    let message = "maximum context length is 8192 tokens";
    assert_eq!(refused(&image, "400 Bad Request", message).await, (None, true));
}

#[tokio::test]
async fn a_document_that_is_refused_is_blamed() {
    let document = showing(AttachmentKind::File, "application/pdf", "pdf");
    for message in ["unsupported content[].type", "PDF has more than 100 pages, the maximum"] {
        let seen = refused(&document, "400 Bad Request", message).await;
        assert_eq!(seen, (Some(vec!["pdf".to_owned()]), true), "{message}");
    }
}

#[tokio::test]
async fn what_is_gone_is_told_before_anything_is_sent_and_may_be_withheld() {
    for (kind, media_type) in [
        (AttachmentKind::Image, "image/png"),
        (AttachmentKind::File, "application/pdf"),
        (AttachmentKind::File, "text/plain"),
    ] {
        let server = Server::start(once(status("400 Bad Request", "", ""))).await;
        let model = model(&server, |settings| settings.retries = 3);
        let request = showing(kind, media_type, "gone");
        let error = ask(&model, &request).await.0.unwrap_err();
        assert!(error.to_string().contains("it cannot be read: attachment gone not found"));
        assert_eq!(server.accepted(), 0);
        let withheld = Arc::new(["gone".to_owned()].into());
        let body = model.body(&Request { withheld, ..request }).await.unwrap();
        assert!(body.text().contains("it ("), "{}", body.text());
        assert!(body.text().contains("cannot be shown to this model"), "{}", body.text());
    }
}

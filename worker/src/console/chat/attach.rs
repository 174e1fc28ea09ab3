//! Files that go with a message: uploaded to its session before it is posted.

use std::path::{Path, PathBuf};

use evonic_domain::{Content, NewAttachment, NewMessage, Part, SessionId};
use serde::Deserialize;

use super::super::{api::Api, error::Result, transfer::FileBody};

/// What the service says of an upload.
#[derive(Deserialize)]
struct Uploaded {
    sha256: String,
    media_type: String,
}

/// Refuses files that cannot be attached, before anything is made for them.
pub(super) fn check(files: &[PathBuf]) -> Result {
    files.iter().try_for_each(|file| FileBody::regular(file).map(drop))
}

/// A message of this text and these files.
pub(super) async fn message(
    api: &Api,
    session: &SessionId,
    text: String,
    files: &[PathBuf],
) -> Result<NewMessage> {
    if files.is_empty() {
        return Ok(NewMessage::text(text));
    }
    let mut parts = vec![Part::Text { text }];
    for file in files {
        parts.push(upload(api, session, file).await?);
    }
    Ok(NewMessage { content: Content::Parts(parts), response_format: None })
}

/// Uploaded again, a content is the same one: a failure that passes is tried again.
async fn upload(api: &Api, session: &SessionId, file: &Path) -> Result<Part> {
    let path = format!("/sessions/{session}/blobs");
    let open = || FileBody::regular(file);
    let Uploaded { sha256, media_type } = api.upload(&path, open).await?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let attachment = NewAttachment { sha256: Some(sha256), name, ..NewAttachment::default() };
    let is_image = media_type.starts_with("image/");
    Ok(if is_image { Part::Image(attachment) } else { Part::File(attachment) })
}

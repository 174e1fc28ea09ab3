//! The attachments of a message: by the hash of what was uploaded, in the message itself, or by an
//! address that is asked for them.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    blob_upload::{BlobUpload, Known, UploadLimits},
    caller::Caller,
    problem::Problem,
    state::{ApiState, Refusal},
    visibility::visible_session,
};
use evonic_domain::{
    Attachment, AttachmentKind, Content, NewAttachment, Part, SessionId, is_media_type,
};
use evonic_store::{AuditedWriter, PIECE_BYTES, StoreError, StoredBlob};

/// The longest name.
const NAME_CHARS: usize = 200;

/// An attachment whose content is in the store, or in the message itself.
#[derive(Debug)]
pub(super) struct Inline {
    kind: AttachmentKind,
    name: String,
    said: Option<String>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Stored(String),
    Data(Vec<u8>),
    /// The message was posted before: its attachments are not fetched again.
    Posted,
}

/// The attachments of a message, in its order. Those by an address are fetched and stored here, once
/// for each `Idempotency-Key`.
pub(super) async fn gather(
    state: &ApiState,
    caller: &Caller,
    session: &SessionId,
    content: Content,
    key: Option<String>,
) -> Result<Vec<Inline>, Problem> {
    let Content::Parts(parts) = content else { return Ok(Vec::new()) };
    let mut gathered = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let (kind, new) = match part {
            Part::Text { .. } => continue,
            Part::Image(new) => (AttachmentKind::Image, new),
            Part::File(new) => (AttachmentKind::File, new),
        };
        let place = format!("content[{at}]");
        let NewAttachment { sha256, data, url, media_type, name } = new;
        let said = check_type(media_type, &place)?;
        let name = check_name(name, &place)?;
        let source = match (sha256, data, url) {
            (Some(sha256), None, None) => Source::Stored(sha256),
            (None, Some(data), None) => Source::Data(decoded(&data, &place)?),
            (None, None, Some(url)) => {
                let key = key.as_deref();
                fetched(state, caller, session, &url, said.as_deref(), key, &place).await?
            }
            _ => {
                let detail = format!("field '{place}' has exactly one of sha256, data and url");
                return Err(Problem::unusable(&place, detail));
            }
        };
        gathered.push(Inline { kind, name, said, source });
    }
    Ok(gathered)
}

fn check_type(said: Option<String>, place: &str) -> Result<Option<String>, Problem> {
    match said {
        Some(said) if !is_media_type(&said) => {
            let field = format!("{place}.media_type");
            let detail = format!("field '{field}' must be a media type, such as image/png");
            Err(Problem::unusable(&field, detail))
        }
        said => Ok(said.map(|said| said.to_ascii_lowercase())),
    }
}

fn check_name(name: Option<String>, place: &str) -> Result<String, Problem> {
    let name = name.unwrap_or_default();
    if name.chars().count() <= NAME_CHARS && !name.contains(char::is_control) {
        return Ok(name);
    }
    let field = format!("{place}.name");
    let detail =
        format!("field '{field}' has at most {NAME_CHARS} characters, and none of control");
    Err(Problem::unusable(&field, detail))
}

fn decoded(data: &str, place: &str) -> Result<Vec<u8>, Problem> {
    STANDARD.decode(data).map_err(|error| {
        let field = format!("{place}.data");
        Problem::unusable(&field, format!("field '{field}' is not Base64: {error}"))
    })
}

/// Asks an address for a content, and stores it as it comes.
async fn fetched(
    state: &ApiState,
    caller: &Caller,
    session: &SessionId,
    url: &str,
    said: Option<&str>,
    key: Option<&str>,
    place: &str,
) -> Result<Source, Problem> {
    let field = format!("{place}.url");
    let (caller_of, id, posted) = (caller.clone(), session.clone(), key.map(str::to_owned));
    let is_posted = state.app.store.read(move |reader| {
        visible_session(reader, &caller_of, &id)?;
        posted.map_or(Ok(false), |key| reader.is_posted(&id, &key))
    });
    if is_posted.await? {
        return Ok(Source::Posted);
    }
    let limits = UploadLimits::of(state);
    let failed = |error: evonic_net::outbound::OutboundError| {
        let chain = evonic_shared::error_chain::ErrorChain(&error).to_string();
        Problem::unusable(&field, format!("field '{field}': {chain}"))
    };
    state.app.store.require_room()?;
    let mut answer = state.app.outbound.get(url, limits.max_bytes).await.map_err(failed)?;
    let mut upload = BlobUpload::new(state, session.clone());
    let receiving = async {
        while let Some(bytes) = answer.next().await.map_err(failed)? {
            upload.push(&bytes).await?;
        }
        Ok(())
    };
    if let Err(problem) = receiving.await {
        upload.abandon().await;
        return Err(problem);
    }
    // What the other side says of its content is a stranger's word: its bytes count.
    let blob = upload.finish(state, caller.origin(), said, &field).await?;
    Ok(Source::Stored(blob.sha256))
}

impl Inline {
    /// The attachment that it is. Stores nothing.
    ///
    /// # Errors
    /// 422 that names the place where the content is not there, is another one than it is said to
    /// be, or is no image where it must be one; 413 where it is too large.
    pub(super) fn resolve(
        &self,
        writer: &AuditedWriter<'_, '_>,
        session: &SessionId,
        limits: UploadLimits,
        place: &str,
    ) -> Result<Attachment, Refusal> {
        let said = self.said.as_deref();
        let StoredBlob { sha256, media_type, bytes } = match &self.source {
            Source::Posted => return Err(StoreError::not_found("attachment", place).into()),
            Source::Stored(sha256) => found(writer, session, sha256, said, place)?,
            Source::Data(data) => {
                limits.check(data.len() as u64)?;
                let mut known = Known::default();
                known.push(data);
                let (sha256, media_type) = known.finish(said, &format!("{place}.data"))?;
                StoredBlob { sha256, media_type, bytes: data.len() as u64 }
            }
        };
        let is_image = media_type.starts_with("image/") && media_type != "image/svg+xml";
        if self.kind == AttachmentKind::Image && !is_image {
            let detail =
                format!("field '{place}': an image is a PNG, JPEG, GIF or WebP, not {media_type}");
            return Err(Problem::unusable(place, detail).into());
        }
        let kind = if is_image { AttachmentKind::Image } else { self.kind };
        Ok(Attachment { kind, sha256, media_type, name: self.name.clone(), bytes })
    }

    /// Stores the content that came in the message itself.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `attachments_full`.
    pub(super) fn store(
        &self,
        writer: &mut AuditedWriter<'_, '_>,
        session: &SessionId,
        limits: UploadLimits,
        attachment: &Attachment,
    ) -> Result<(), StoreError> {
        let Source::Data(data) = &self.source else { return Ok(()) };
        let mut upload = None;
        for piece in data.chunks(PIECE_BYTES) {
            upload = Some(writer.store_piece(session, upload, piece, limits.max_session_bytes)?);
        }
        let Some(upload) = upload else { return Ok(()) };
        writer.finish_upload(&upload, &attachment.sha256, &attachment.media_type).map(drop)
    }
}

fn found(
    writer: &AuditedWriter<'_, '_>,
    session: &SessionId,
    sha256: &str,
    said: Option<&str>,
    place: &str,
) -> Result<StoredBlob, Refusal> {
    let field = format!("{place}.sha256");
    let blob = match writer.blob(session, sha256) {
        Err(StoreError::NotFound { .. }) => {
            let detail = format!(
                "field '{field}': this session has no such content; upload it first, to \
                 /api/v1/sessions/{session}/blobs"
            );
            return Err(Problem::unusable(&field, detail).into());
        }
        found => found?,
    };
    match said {
        Some(said) if said != blob.media_type => {
            let field = format!("{place}.media_type");
            let detail = format!("field '{field}': the content is {}", blob.media_type);
            Err(Problem::unusable(&field, detail).into())
        }
        _ => Ok(blob),
    }
}

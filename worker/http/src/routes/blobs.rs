//! `/api/v1/sessions/{id}/blobs`: contents of attachments.

use std::sync::Arc;

use bytes::Bytes;
use evonic_store::{StoreError, StoredBlob};
use futures_util::stream;
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG},
};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    answer,
    blob_upload::{BlobUpload, UploadLimits},
    body::{self, Upload},
    call::Call,
    event_stream::streamed,
    problem::{Answer, Problem},
    state::ApiState,
    visibility::visible_session,
};
use evonic_domain::{SessionId, is_media_type};

/// What a browser may take the content for; all else is bytes to it.
const SHOWN: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Stores a body, piece by piece; 201 once all of it is on disk. The same content is stored once.
pub(super) async fn upload(state: Arc<ApiState>, call: Call, mut body: Upload) -> Answer {
    let session: SessionId = call.identify("session")?;
    let said = said_type(&call)?;
    let limits = UploadLimits::of(&state);
    limits.check(body.announced.unwrap_or(0))?;
    state.app.store.require_room()?;
    let (caller, id) = (call.caller.clone(), session.clone());
    state.app.store.read(move |reader| visible_session(reader, &caller, &id)).await?;
    let mut upload = BlobUpload::new(&state, session.clone());
    match receive(&mut body, &mut upload).await {
        Ok(()) if upload.is_empty() => Err(Problem::unusable("body", "the body is empty")),
        Ok(()) => {
            let origin = call.caller.origin();
            let blob = upload.finish(&state, origin, said.as_deref(), "content-type").await?;
            let location = format!("/api/v1/sessions/{session}/blobs/{}", blob.sha256);
            Ok(answer::created(&location, described(&blob).to_string()))
        }
        Err(problem) => {
            upload.abandon().await;
            Err(problem)
        }
    }
}

/// A client may take so long for a piece, whatever its pauses: one byte a pause would hold its
/// connection for months.
async fn receive(body: &mut Upload, upload: &mut BlobUpload) -> Result<(), Problem> {
    let limit = body.piece_timeout();
    loop {
        let mut came = 0;
        let piece = async {
            while came < evonic_store::PIECE_BYTES {
                let Some(bytes) = body.next().await? else { return Ok(true) };
                came += bytes.len();
                upload.push(&bytes).await?;
            }
            Ok::<_, Problem>(false)
        };
        match timeout(limit, piece).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => {}
            Ok(Err(problem)) => return Err(problem),
            Err(_) => return Err(body::too_slow(limit)),
        }
    }
}

/// The media type that the header gives, without its parameters.
fn said_type(call: &Call) -> Result<Option<String>, Problem> {
    const NAME: &str = "content-type";
    let Some(said) = crate::header::single(&call.headers, NAME)? else { return Ok(None) };
    let essence = said.split(';').next().unwrap_or_default().trim();
    if is_media_type(essence) {
        return Ok(Some(essence.to_owned()));
    }
    Err(Problem::malformed(NAME, format!("header '{NAME}' must be a media type")))
}

pub(super) fn described(blob: &StoredBlob) -> serde_json::Value {
    let StoredBlob { sha256, media_type, bytes } = blob;
    json!({"sha256": sha256, "bytes": bytes, "media_type": media_type})
}

/// A content that the session refers to, piece by piece; that of another session is not there.
pub(super) async fn read(state: Arc<ApiState>, call: Call) -> Answer {
    let (session, sha256): (SessionId, _) = (call.identify("session")?, call.part);
    let (caller, id, hash) = (call.caller, session.clone(), sha256.clone());
    let found = state.app.store.read(move |reader| {
        visible_session(reader, &caller, &id)?;
        reader.blob(&id, &hash)
    });
    let blob = found.await?;
    let store = state.app.store.clone();
    let from = (store, session, sha256, 0_u64);
    let pieces = stream::try_unfold(from, |(store, session, sha256, offset)| async move {
        let (id, hash) = (session.clone(), sha256.clone());
        let piece = store.read(move |reader| reader.blob_piece(&id, &hash, offset)).await?;
        if piece.is_empty() {
            return Ok::<_, StoreError>(None);
        }
        let next = offset + piece.len() as u64;
        Ok(Some((Bytes::from(piece), (store, session, sha256, next))))
    });
    let mut response = streamed(pieces);
    *response.status_mut() = StatusCode::OK;
    let shown = SHOWN.into_iter().find(|shown| *shown == blob.media_type);
    let headers = response.headers_mut();
    let shown = shown.unwrap_or("application/octet-stream");
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(shown));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(blob.bytes));
    headers.extend(HeaderValue::try_from(format!("\"{}\"", blob.sha256)).map(|tag| (ETAG, tag)));
    Ok(response)
}

//! Sessions out and in, as lines of JSON: `/api/v1/sessions/{id}/export`, `/api/v1/export`,
//! `/api/v1/import`. Neither is ever held whole: an export is read a piece at a time, without a handle
//! between two, and an import is written a few hundred rows at a time.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use evonic_shared::error_chain::ErrorChain;
use futures_util::stream;
use http::StatusCode;
use warp::reply::Response;

use crate::{
    answer,
    body::{LINES, Upload},
    call::Call,
    event_stream::{Cut, respond_bytes},
    keyring::KeyWatch,
    open_streams::OpenStream,
    problem::{Answer, Problem},
    state::ApiState,
    visibility::{visible_agent, visible_session},
};
use evonic_domain::SessionId;
use evonic_store::{
    Existing, Export, ExportOf, ImportError, ImportOptions, Importer, MAX_LINE_BYTES, StoreError,
};

pub(super) async fn export_one(state: Arc<ApiState>, call: Call) -> Answer {
    let id: SessionId = call.identify("session")?;
    let (caller, session) = (call.caller.clone(), id.clone());
    state.app.store.read(move |reader| visible_session(reader, &caller, &session)).await?;
    send(state, &call, ExportOf::Session(id))
}

/// Sessions of one agent, or of every one that the caller may use.
pub(super) async fn export(state: Arc<ApiState>, call: Call) -> Answer {
    let agents = match call.query.get("agent") {
        Some(which) => {
            let (which, caller) = (which.to_owned(), call.caller.clone());
            let read = state.app.store.read(move |reader| visible_agent(reader, &caller, &which));
            Some(vec![read.await?.id])
        }
        None => call.caller.agents.clone(),
    };
    send(state, &call, ExportOf::Agents(agents))
}

/// An export on its way to its client.
struct Sending {
    state: Arc<ApiState>,
    /// None once it failed.
    export: Option<Export>,
    watched: KeyWatch,
    _counted: OpenStream,
}

fn send(state: Arc<ApiState>, call: &Call, of: ExportOf) -> Answer {
    let counted = state.streams.open(&call.caller.identity)?;
    let watched = state.keyring.watch(call.caller.key());
    let sending = Sending { state, export: Some(Export::new(of)), watched, _counted: counted };
    Ok(respond(sending))
}

fn respond(sending: Sending) -> Response {
    respond_bytes(
        LINES,
        stream::unfold(sending, |mut sending| async {
            let mut export = sending.export.take()?;
            // It ends with its key, and when the worker does; a part is no whole.
            let (key_ended, cut) = (sending.watched.ended(), sending.state.shutdown.cut.clone());
            let reading = sending.state.app.store.read(move |reader| {
                let piece = export.next_piece(reader)?;
                Ok((export, piece))
            });
            let read = tokio::select! {
                read = reading => read,
                () = key_ended.cancelled() => Err(StoreError::Closed),
                () = cut.cancelled() => Err(StoreError::Closed),
            };
            match read {
                Ok((export, Some(piece))) => {
                    sending.export = Some(export);
                    Some((Ok(Bytes::from(piece)), sending))
                }
                Ok((_, None)) => None,
                Err(error) => {
                    let error = ErrorChain(&error).to_string();
                    tracing::warn!(error, "export is cut");
                    Some((Err(Cut), sending))
                }
            }
        }),
    )
}

pub(super) async fn import(state: Arc<ApiState>, call: Call, mut upload: Upload) -> Answer {
    let existing = match call.query.get("existing") {
        None | Some("refuse") => Existing::Refuse,
        Some("skip") => Existing::Skip,
        Some("new_ids") => Existing::NewIds,
        Some(_) => {
            let detail = "parameter 'existing' must be refuse, skip or new_ids";
            return Err(Problem::malformed("existing", detail));
        }
    };
    state.app.store.require_room()?;
    let options = ImportOptions { agent: call.query.get("agent").map(str::to_owned), existing };
    let (store, origin) = (state.app.store.clone(), call.caller.origin());
    let mut importer = Importer::new(store, origin, options, state.app.generation);
    let mut rest = BytesMut::new();
    while let Some(piece) = upload.next().await? {
        rest.extend_from_slice(&piece);
        let mut taken = 0;
        while let Some(length) = memchr::memchr(b'\n', &rest[taken..]) {
            let line = &rest[taken..taken + length];
            importer.take(line).await.map_err(|error| refuse(error, &importer))?;
            taken += length + 1;
        }
        let _lines = rest.split_to(taken);
        if rest.len() > MAX_LINE_BYTES {
            let detail = format!("a line has at most {MAX_LINE_BYTES} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "", detail).closing());
        }
    }
    if !rest.is_empty() {
        importer.take(&rest).await.map_err(|error| refuse(error, &importer))?;
    }
    match importer.end().await {
        Ok(imported) => answer::ok(&imported),
        Err(error) => Err(refuse(error, &importer)),
    }
}

/// 422 that names the line, and says what was imported before it.
fn refuse(error: ImportError, importer: &Importer) -> Problem {
    match error {
        ImportError::Line { line, problem } => {
            let before = importer.done().sessions;
            let detail = match before {
                0 => format!("line {line}: {problem}"),
                1 => format!("line {line}: {problem}; 1 session was imported before it"),
                _ => format!("line {line}: {problem}; {before} sessions were imported before it"),
            };
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable", detail)
                .with("line", line.into())
                .with("sessions", before.into())
                .closing()
        }
        ImportError::Store(error) => Problem::from(error).closing(),
    }
}

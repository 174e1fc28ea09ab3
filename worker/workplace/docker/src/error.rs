//! Errors of engines, with what an operator can do about them.

use std::{io, time::Duration};

use bollard::errors::Error;

use super::address::Address;
use evonic_backend::{Stage, WorkplaceError};
use evonic_handles::Exhausted;
use evonic_net::ConnectError;
use evonic_shared::error_chain::ErrorChain;

/// Why there is no answer. Passes through bollard as the cause of its error.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The Unix socket.
    #[error("there is no connection")]
    Socket(#[source] io::Error),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("nothing came for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// It has more bytes than an answer to this request may have.
    #[error("it answers more than {0} bytes, which no engine does")]
    TooLong(u64),
    #[error("the request cannot be sent")]
    Request(#[source] http::Error),
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Error::IOError { err: io::Error::other(error) }
    }
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failed {
    /// The engine's status code, where it gave one.
    pub(super) status: Option<u16>,
    pub(super) error: WorkplaceError,
}

impl Failed {
    /// Whether the engine does not know what was asked for.
    pub(super) fn is_missing(&self) -> bool {
        self.status == Some(404)
    }

    /// Whether a container is not in the state that is needed: not running, or there already.
    pub(super) fn is_conflict(&self) -> bool {
        self.status == Some(409)
    }
}

impl From<Failed> for WorkplaceError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl From<WorkplaceError> for Failed {
    fn from(error: WorkplaceError) -> Self {
        Self { status: None, error }
    }
}

/// Translates an error of bollard.
pub(super) fn translate(engine: &Address, stage: Stage, error: Error) -> Failed {
    if let Some(error) = too_long(&error) {
        // It would answer the same again.
        return WorkplaceError::refused(engine, stage, error).into();
    }
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            let error = refused(engine, stage, status_code, &message);
            // A container that does not run, in words of both engines; the status may be another.
            let stopped = ["is not running", "container state improper", "on running containers"];
            let is_stopped = stopped.iter().any(|words| message.contains(words));
            let status = Some(if is_stopped { 409 } else { status_code });
            Failed { status, error }
        }
        Error::DockerStreamError { error } => refused(engine, stage, 500, &error).into(),
        Error::IOError { err } => match err.downcast::<RequestError>() {
            Ok(RequestError::Exhausted(exhausted)) => WorkplaceError::from(exhausted).into(),
            Ok(RequestError::Socket(source)) => unconnected(engine, &source).into(),
            Ok(RequestError::Connect(error)) => unreached(engine, &error).into(),
            Ok(error) => {
                WorkplaceError::unreachable(engine, stage, ErrorChain(&error).to_string()).into()
            }
            Err(error) => {
                WorkplaceError::unreachable(engine, stage, ErrorChain(&error).to_string()).into()
            }
        },
        other => WorkplaceError::unreachable(engine, stage, ErrorChain(&other).to_string()).into(),
    }
}

/// What a transport that broke off says, wherever in the chain of causes it stands.
fn too_long(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<RequestError>());
        if let Some(RequestError::TooLong(_)) = inner {
            return inner.map(ToString::to_string);
        }
        cause = error.source();
    }
    None
}

fn unconnected(engine: &Address, source: &io::Error) -> WorkplaceError {
    match (engine, source.kind()) {
        (Address::Unix(path), io::ErrorKind::PermissionDenied) => WorkplaceError::refused(
            engine,
            Stage::Socket,
            format!(
                "this user may not use {}; add it to the group that owns the socket (docker), and \
                 start the service anew",
                path.display()
            ),
        ),
        (Address::Unix(path), io::ErrorKind::NotFound) => WorkplaceError::unreachable(
            engine,
            Stage::Connect,
            format!("there is no socket {}; is Docker installed and started?", path.display()),
        ),
        (_, io::ErrorKind::ConnectionRefused) => WorkplaceError::unreachable(
            engine,
            Stage::Connect,
            "nobody listens; is the engine running?".to_owned(),
        ),
        _ => WorkplaceError::unreachable(engine, Stage::Connect, ErrorChain(source).to_string()),
    }
}

fn unreached(engine: &Address, error: &ConnectError) -> WorkplaceError {
    match error {
        ConnectError::Connect { source, .. } => unconnected(engine, source),
        ConnectError::Tls { source, .. } if error.is_permanent() => WorkplaceError::refused(
            engine,
            Stage::Tls,
            format!("{source}; compare ca.pem, cert.pem and key.pem with the engine's"),
        ),
        _ => WorkplaceError::unreachable(engine, Stage::Connect, ErrorChain(error).to_string()),
    }
}

/// Characters of an engine's words that are handed on.
const MESSAGE: usize = 2000;

/// The engine has status codes, and beyond them only texts: these are the ones that an operator can
/// do something about.
fn refused(engine: &Address, stage: Stage, status: u16, message: &str) -> WorkplaceError {
    let message: String = message.trim().chars().take(MESSAGE).collect();
    let lower = message.to_lowercase();
    let has = |text: &str| lower.contains(text);
    let advised = |stage, advice: &str| {
        WorkplaceError::refused(engine, stage, format!("{message}; {advice}"))
    };
    if has("no space left") || has("disk quota exceeded") {
        let advice = "make room on the engine's disk: `docker system df` says what takes it";
        return advised(Stage::Disk, advice);
    }
    if status == 404 && has("no such image") {
        let advice = "`evonic sandbox build` makes the default one; another one is loaded or \
                      pulled on the engine's machine";
        return advised(Stage::Image, advice);
    }
    if has("exec format error") {
        let advice = "the image is made for another processor than the engine's machine has: name \
                      one for that, or install emulation there (package qemu-user-static)";
        return advised(stage, advice);
    }
    if has("/bin/sh") && (has("no such file") || has("not found")) {
        let advice = "the image has no shell: name one that has /bin/sh and the usual small tools, \
                      as Debian, Alpine and busybox have them";
        return advised(stage, advice);
    }
    if has("network") && (has("not found") || has("could not find")) {
        let advice = "set `network` to `none`, or make it: `docker network create`";
        return advised(Stage::Network, advice);
    }
    if status == 400 && has("version") && (has("too new") || has("too old")) {
        let advice = "this engine speaks other versions of the API; update the older of the two";
        return advised(Stage::Version, advice);
    }
    match status {
        // The engine is starting, ending, or waits for containerd.
        502..=504 => WorkplaceError::unreachable(engine, stage, message),
        500 if has("context deadline exceeded") || has("connection error") => {
            WorkplaceError::unreachable(engine, stage, message)
        }
        _ if message.is_empty() => {
            WorkplaceError::refused(engine, stage, format!("status {status}"))
        }
        _ => WorkplaceError::refused(engine, stage, message),
    }
}

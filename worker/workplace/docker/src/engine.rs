//! One engine: its client, its version, its health.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, body_full, errors::Error};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{
    Request,
    header::{CONNECTION, CONTENT_TYPE, UPGRADE},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    address::Address,
    answer::{self, Inspected, Version},
    error::{self, Failed, RequestError},
    tls,
    transport::{Route, Transport},
};
use evonic_backend::{HostState, Result, Stage, WorkplaceError};
use evonic_handles::Budget;
use evonic_net::{Connector, Keepalive, Peer};
use evonic_shared::error_chain::ErrorChain;

/// The oldest version of the API that has all that is used here: Docker 20.10.
const LEAST_MINOR: u32 = 41;

/// A dead engine on another machine is noticed within 40 s.
const KEEPALIVE: Keepalive = Keepalive { interval: Duration::from_secs(8), probes: 4 };

/// A request that is no transfer ends within this many times `docker.timeout`.
const TIMEOUT_FACTOR: u32 = 4;

/// The client waits as long as the transport does, which knows better.
const CLIENT_TIMEOUT_SECONDS: u64 = 365 * 86_400;

/// An engine. Holds no descriptor between requests.
pub(super) struct Engine {
    pub(super) address: Address,
    pub(super) docker: Docker,
    transport: Arc<Transport>,
    /// `docker.timeout`.
    pub(super) timeout: Duration,
    /// Held while the version is asked for.
    greeting: tokio::sync::Mutex<()>,
    /// Held while containers are counted and one is started.
    pub(super) starting: tokio::sync::Mutex<()>,
    health: Mutex<Health>,
    is_podman: AtomicBool,
}

/// Whose engine it is: where they differ, containers are made otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Docker,
    Podman,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    last_error: Option<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine at this address. Connects to nothing.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] when its certificates cannot be used.
    pub(super) fn new(
        address: Address,
        timeout: Duration,
        budget: Budget,
        tasks: TaskTracker,
        closing: CancellationToken,
    ) -> Result<Self> {
        let route = match &address {
            Address::Unix(path) => Route::Unix(path.clone()),
            Address::Tcp { host, port, certificates } => Route::Tcp(Connector {
                peer: Peer { host: host.clone(), port: *port },
                tls: Some(tls::client(certificates)?),
                keepalive: Some(KEEPALIVE),
                limit: timeout,
            }),
        };
        let transport = Arc::new(Transport {
            route,
            budget,
            timeout,
            tasks,
            closing,
            open: Arc::default(),
            api: AtomicU32::new(0),
            least: LEAST_MINOR,
        });
        let sender = Arc::clone(&transport);
        let docker = Docker::connect_with_custom_transport(
            move |request: BollardRequest| Arc::clone(&sender).send(request),
            Some("http://docker"),
            CLIENT_TIMEOUT_SECONDS,
            API_DEFAULT_VERSION,
        )
        .map_err(|error| error::translate(&address, Stage::Connect, error).error)?;
        let (greeting, starting) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        let health = Mutex::default();
        let is_podman = AtomicBool::new(false);
        Ok(Self { address, docker, transport, timeout, greeting, starting, health, is_podman })
    }

    /// Makes a request; the stage is for its error.
    pub(super) async fn ask<T>(
        &self,
        stage: Stage,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failed> {
        let limit = self.timeout.saturating_mul(TIMEOUT_FACTOR);
        let all = self.transfer(stage, request);
        tokio::time::timeout(limit, all).await.unwrap_or_else(|_| {
            let reason = format!("no whole answer within {} s", limit.as_secs_f32());
            Err(self.unreachable(stage, reason).into())
        })
    }

    /// As [`Engine::ask`]; nothing when the engine does not know what is asked for.
    pub(super) async fn find<T>(
        &self,
        stage: Stage,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<Option<T>, Failed> {
        match self.ask(stage, request).await {
            Err(failed) if failed.is_missing() => Ok(None),
            found => found.map(Some),
        }
    }

    /// What a container is; nothing when there is none of this name or identifier.
    pub(super) async fn container(&self, id: &str) -> Result<Option<Inspected>, Failed> {
        let asked = self.get(format!("/containers/{}/json", encoded(id)));
        self.find(Stage::InspectContainer, asked).await
    }

    /// What the engine has at a path; [`Engine::ask`] makes the request. See [`answer`].
    pub(super) async fn get<T: DeserializeOwned>(&self, path: String) -> Result<T, Error> {
        let request = Request::get(path).body(body_full(Bytes::new()));
        let request = request.map_err(RequestError::Request)?;
        answer::read(Arc::clone(&self.transport).send(request).await?).await
    }

    /// Starts an exec, and takes over the connection.
    pub(super) async fn start_exec(&self, id: &str) -> Result<TokioIo<Upgraded>, Error> {
        let body = body_full(Bytes::from_static(br#"{"Detach":false,"Tty":false}"#));
        let request = Request::post(format!("/exec/{}/start", encoded(id)))
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp")
            .body(body)
            .map_err(RequestError::Request)?;
        let answer = Arc::clone(&self.transport).send(request).await?;
        let status = answer.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(answer::refusal(status.as_u16(), &answer::body(answer.into_body()).await?));
        }
        Ok(TokioIo::new(hyper::upgrade::on(answer).await?))
    }

    /// The error for an engine that does not do something now.
    pub(super) fn unreachable(&self, stage: Stage, reason: impl Into<String>) -> WorkplaceError {
        WorkplaceError::unreachable(&self.address, stage, reason)
    }

    /// Makes a request that may take long, as long as its bytes move.
    pub(super) async fn transfer<T>(
        &self,
        stage: Stage,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failed> {
        self.greet().await?;
        let answer = request.await;
        self.note(answer.map_err(|error| error::translate(&self.address, stage, error)))
    }

    /// The next piece of an answer that is a stream; nothing at its end.
    pub(super) async fn piece<T>(
        &self,
        stage: Stage,
        stream: &mut (impl Stream<Item = Result<T, Error>> + Unpin),
        timeout: Duration,
    ) -> Result<Option<T>, Failed> {
        match tokio::time::timeout(timeout, stream.next()).await {
            Ok(piece) => {
                let piece = piece.transpose();
                self.note(piece.map_err(|error| error::translate(&self.address, stage, error)))
            }
            Err(_) => {
                let reason = format!("nothing came for {} s", timeout.as_secs_f32());
                Err(self.unreachable(stage, reason).into())
            }
        }
    }

    /// Agrees on a version once, and again after the engine was away: the lower one of what both
    /// know, named in the path of every request.
    pub(super) async fn greet(&self) -> Result<(), Failed> {
        if self.transport.api.load(Ordering::Relaxed) != 0 {
            return Ok(());
        }
        let _one = self.greeting.lock().await;
        if self.transport.api.load(Ordering::Relaxed) != 0 {
            return Ok(());
        }
        let limit = self.timeout.saturating_mul(TIMEOUT_FACTOR);
        let answer = tokio::time::timeout(limit, self.get::<Version>("/version".to_owned())).await;
        let answer = answer.unwrap_or_else(|_| Err(RequestError::Silent(limit).into()));
        let version = self
            .note(answer.map_err(|error| error::translate(&self.address, Stage::Version, error)))?;
        let minor = agreed(&version).map_err(|reason| {
            Failed::from(WorkplaceError::refused(&self.address, Stage::Version, reason))
        })?;
        let parts = version.components.unwrap_or_default();
        let is_podman = parts.iter().any(|part| part.name.starts_with("Podman"));
        self.is_podman.store(is_podman, Ordering::Relaxed);
        self.transport.api.store(minor, Ordering::Relaxed);
        Ok(())
    }

    /// Whose engine it is, once it has answered.
    pub(super) fn product(&self) -> Product {
        if self.is_podman.load(Ordering::Relaxed) { Product::Podman } else { Product::Docker }
    }

    /// The version that requests are sent in.
    pub(super) fn version(&self) -> String {
        format!("1.{}", self.transport.api.load(Ordering::Relaxed))
    }

    pub(super) fn state(&self) -> HostState {
        let health = self.health.lock();
        HostState {
            host: self.address.to_string(),
            connections: self.transport.open.load(Ordering::Relaxed),
            failures: health.failures,
            left_alone_seconds: None,
            last_error: health.last_error.clone(),
        }
    }

    /// Updates the health: an engine that answers is well, whatever it answers.
    fn note<T>(&self, answer: Result<T, Failed>) -> Result<T, Failed> {
        let mut health = self.health.lock();
        match &answer {
            Ok(_) | Err(Failed { status: Some(_), .. }) => *health = Health::default(),
            Err(Failed { error: WorkplaceError::Exhausted(_), .. }) => {}
            Err(failed) => {
                health.failures = health.failures.saturating_add(1);
                health.last_error = Some(ErrorChain(&failed.error).to_string());
            }
        }
        answer
    }
}

/// The minor number of the version that both speak; or why there is none.
fn agreed(version: &Version) -> Result<u32, String> {
    let minor = |text: &Option<String>| {
        let (major, minor) = text.as_deref()?.split_once('.')?;
        (major == "1").then(|| minor.parse::<u32>().ok()).flatten()
    };
    let ours = u32::try_from(API_DEFAULT_VERSION.minor_version).unwrap_or(u32::MAX);
    let Some(theirs) = minor(&version.api_version) else {
        return Err(format!("the engine's version is {:?}", version.api_version));
    };
    let least = minor(&version.min_api_version).unwrap_or(0);
    if theirs < LEAST_MINOR {
        let product = version.version.as_deref().unwrap_or("unknown");
        return Err(format!(
            "the engine speaks API 1.{theirs} (Docker {product}), 1.{LEAST_MINOR} is needed; \
             install Docker 20.10 or later"
        ));
    }
    if least > ours {
        return Err(format!(
            "the engine asks for API 1.{least}, this program speaks up to 1.{ours}; update it"
        ));
    }
    Ok(theirs.min(ours))
}

/// A part of a path or a query, as it may stand there.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(most: &str, least: &str) -> Version {
        Version {
            api_version: Some(most.to_owned()),
            min_api_version: Some(least.to_owned()),
            ..Version::default()
        }
    }

    #[test]
    fn the_lower_version_of_both_is_spoken() {
        assert_eq!(agreed(&version("1.41", "1.12")), Ok(41));
        assert_eq!(agreed(&version("1.99", "1.44")), Ok(53));
        assert!(agreed(&version("1.40", "1.12")).unwrap_err().contains("20.10"));
        assert!(agreed(&version("1.99", "1.60")).unwrap_err().contains("1.60"));
        assert!(agreed(&version("two", "1.12")).is_err());
    }
}

//! TLS of the TCP listener: the certificate, its renewal, and handshakes.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::{config::HttpTls, error_chain::ErrorChain, kind::Kind};
use http::StatusCode;
use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{
    byte_stream::ByteStream, connection_timers::ConnectionTimers,
    lingering_stream::LingeringStream, metrics::Refusal, problem::Problem,
    server_state::ServerState,
};
use evonic_handles::{Budget, Exhausted, Held};

/// The least time between two checks of the files.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The most bytes of a file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The most bytes that TLS buffers of an answer that the client does not read.
const BUFFER_BYTES: usize = 16 * 1024;

/// The first byte of a handshake's first record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}: cannot read {}", path.display())]
    Read {
        /// `http.tls.certificate` or `http.tls.key`.
        key: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{key}: {} holds no {what} in PEM", path.display())]
    Content {
        /// `http.tls.certificate` or `http.tls.key`.
        key: &'static str,
        path: PathBuf,
        /// `certificate`, `private key`.
        what: &'static str,
    },
    #[error(
        "http.tls.key: {} cannot be used with the certificate in {}",
        key.display(),
        certificate.display()
    )]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    /// No permit of kind `file` was free.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

/// Device, inode, size and time of change: these differ when a file was replaced or rewritten.
type Stamp = (u64, u64, u64, i64, i64);

/// The certificate in use. Holds no descriptor; reading the files takes one for a moment.
#[derive(Debug)]
pub(super) struct Secure {
    certificate: PathBuf,
    key: PathBuf,
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// Of the files that were read last, whatever came of it.
    stamps: [Option<Stamp>; 2],
    checked: Instant,
}

impl Secure {
    /// Reads the configured pair; nothing where there is none.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(super) fn open(settings: &HttpTls, budget: &Budget) -> Result<Option<Self>, TlsError> {
        let Some((certificate, key)) = settings.pair() else { return Ok(None) };
        let stamps = [stamp(certificate), stamp(key)];
        let state =
            State { config: load(certificate, key, budget)?, stamps, checked: Instant::now() };
        Ok(Some(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            budget: budget.clone(),
            state: Mutex::new(state),
        }))
    }

    /// The current certificate: checks the files if that is a while ago, and reads them if they
    /// changed. A pair that cannot be used is logged once; the old one stays.
    fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock();
        if state.checked.elapsed() >= CHECK_INTERVAL {
            state.checked = Instant::now();
            self.reload(&mut state);
        }
        Arc::clone(&state.config)
    }

    fn reload(&self, state: &mut State) {
        let stamps = [stamp(&self.certificate), stamp(&self.key)];
        if stamps == state.stamps {
            return;
        }
        match load(&self.certificate, &self.key, &self.budget) {
            Ok(config) => {
                state.config = config;
                tracing::info!(certificate = %self.certificate.display(), "certificate renewed");
            }
            // The next check tries again.
            Err(TlsError::Exhausted(_)) => return,
            Err(error) => {
                let reason = ErrorChain(&error);
                tracing::warn!(%reason, "new certificate cannot be used; the old one stays");
            }
        }
        state.stamps = stamps;
    }

    /// Makes an accepted connection a secure one, within `http.header_timeout`, or ends it: with
    /// TLS's own alert, or with an HTTP answer where HTTP came without TLS. Keeps the permit.
    pub(super) async fn handshake(
        &self,
        server: &ServerState,
        stream: Held<TcpStream>,
    ) -> Option<ByteStream> {
        let _counted = server.metrics.connection();
        tokio::select! {
            biased;
            negotiated = self.negotiate(server, stream) => negotiated,
            () = server.shutdown.cut.cancelled() => None,
            () = out_of_time(server) => {
                server.metrics.refused(Refusal::Handshake);
                None
            }
        }
    }

    async fn negotiate(&self, server: &ServerState, stream: Held<TcpStream>) -> Option<ByteStream> {
        let mut first = [0];
        let peeked = stream.peek(&mut first).await;
        // A client that connects and leaves again is no failed handshake.
        if !matches!(peeked, Ok(1)) {
            return None;
        }
        if first[0] != HANDSHAKE {
            server.metrics.refused(Refusal::Handshake);
            refuse(server, stream).await;
            return None;
        }
        let bounded = |session: &mut rustls::ServerConnection| {
            session.set_buffer_limit(Some(BUFFER_BYTES));
        };
        match TlsAcceptor::from(self.current()).accept_with(Pin::new(stream), bounded).await {
            Ok(stream) => Some(Box::new(stream)),
            Err(error) => {
                server.metrics.refused(Refusal::Handshake);
                tracing::debug!(error = %ErrorChain(&error), "handshake failed");
                None
            }
        }
    }
}

/// A handshake is over in the time of a request's headers, and in that of an idle connection of
/// a worker that drains.
async fn out_of_time(server: &ServerState) {
    let linger = async {
        server.shutdown.draining.cancelled().await;
        tokio::time::sleep(server.settings.linger).await;
    };
    tokio::select! {
        () = tokio::time::sleep(server.settings.header_timeout) => {}
        () = linger => {}
    }
}

/// Answers a client that does not speak TLS.
async fn refuse(server: &ServerState, stream: Held<TcpStream>) {
    let detail = "this address speaks https: ask again with https:// in place of http://";
    let problem = Problem::new(StatusCode::BAD_REQUEST, "tls_required", detail);
    let answer = problem.to_http1(&server.request_id());
    let mut stream = LingeringStream::new(Box::new(Pin::new(stream)), ConnectionTimers::new(None));
    // A client that is gone needs no answer.
    if stream.write_all(answer.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    let (changed, nanoseconds) = (file.ctime(), file.ctime_nsec());
    Some((file.dev(), file.ino(), file.len(), changed, nanoseconds))
}

fn load(certificate: &Path, key: &Path, budget: &Budget) -> Result<Arc<ServerConfig>, TlsError> {
    let mut permit = budget.try_acquire(Kind::File)?;
    permit.owns(1, None);
    let chain = chain(certificate)?;
    let secret = secret(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
        .map_err(|source| TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let key = "http.tls.certificate";
    let content = content(key, path)?;
    let chain = CertificateDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    chain.ok_or_else(|| TlsError::Content { key, path: path.to_owned(), what: "certificate" })
}

fn secret(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = "http.tls.key";
    PrivateKeyDer::from_pem_slice(&content(key, path)?).map_err(|_| TlsError::Content {
        key,
        path: path.to_owned(),
        what: "private key",
    })
}

/// A file, if it is a regular one and no larger than such files are.
fn content(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let fail = |source| TlsError::Read { key, path: path.to_owned(), source };
    let file = std::fs::metadata(path).map_err(fail)?;
    if !file.is_file() || file.len() > MAX_FILE_BYTES {
        let what = "it is no regular file of at most 1 MiB";
        return Err(fail(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    std::fs::read(path).map_err(fail)
}

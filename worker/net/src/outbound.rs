//! Addresses that come from outside: a client's, a model's, a page's. One policy for all of them.
//!
//! A host is looked up once, every address that it has is judged, and one of those is connected to:
//! a name that means another machine a moment later gains nothing. A redirect is a new address, and
//! is judged anew. What comes back is bounded in bytes and time, and nothing of this machine's goes
//! out with the question: no key, no cookie, no credentials of the address.
//!
//! | Part | Owns |
//! |---|---|
//! | `special` | which addresses lead to this machine, its network or nowhere |
//! | `policy` | what may be asked: scheme, port, host and addresses |
//! | `exchange` | one question and its answer's head |
//!
//! Configured addresses (models, hosts, engines) are an operator's word, and do not go through this.

mod policy;
mod response_stream;
mod special;

use std::{fmt, pin::Pin, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use evonic_handles::{Budget, Exhausted, Permit};
use evonic_shared::{config, kind::Kind};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use url::Url;

use self::{policy::Policy, response_stream::ResponseStream};
use super::{Authorities, ConnectError, Peer, ResolveError, TlsConnector, TlsError, resolve};

/// What a look-up answers: addresses, and its account.
type Addresses = Result<(Vec<std::net::SocketAddr>, Permit), ResolveError>;

/// The system's resolver, or a test's.
type LookUp =
    Arc<dyn Fn(Peer, Permit) -> Pin<Box<dyn Future<Output = Addresses> + Send>> + Send + Sync>;

/// Asks addresses from outside. Shared by cloning.
#[derive(Clone)]
pub struct Outbound {
    policy: Arc<Policy>,
    settings: config::Outbound,
    budget: Budget,
    look_up: LookUp,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Why an address was not asked, or what it did not answer. Names the address without its query.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("{url} is no address: {reason}")]
    Malformed { url: String, reason: String },
    /// The policy.
    #[error("{host} may not be asked: {reason}")]
    Refused { host: String, reason: String },
    #[error("{host} redirects {limit} times and on (outbound.max_redirects)")]
    TooManyRedirects { host: String, limit: u32 },
    #[error("no connection is free")]
    Exhausted(#[from] Exhausted),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no secure connection can be made")]
    Tls(#[from] TlsError),
    #[error("{host} does not answer in HTTP")]
    Http {
        host: String,
        #[source]
        source: hyper::Error,
    },
    #[error("{host} answers with status {status}")]
    Status { host: String, status: u16 },
    #[error("{host} sends more than {limit} bytes")]
    TooLarge { host: String, limit: u64 },
    #[error("{host} did not send all of it within {} s (outbound.timeout)", limit.as_secs_f32())]
    Timeout { host: String, limit: Duration },
}

/// An answer whose head has come. Dropped, its connection is closed.
pub struct Fetched {
    exchange: ResponseStream,
    host: String,
    /// What it says that it is; a claim.
    pub content_type: Option<String>,
    left: u64,
    max_bytes: u64,
    deadline: Instant,
    limit: Duration,
}

impl Outbound {
    #[must_use]
    pub fn new(settings: &config::Outbound, budget: Budget) -> Self {
        let look_up: LookUp =
            Arc::new(|peer, permit| Box::pin(async move { resolve(&peer, permit).await }));
        let policy = Arc::new(Policy::new(&settings.allow));
        Self { policy, settings: settings.clone(), budget, look_up }
    }

    /// Asks an address, and every one that it redirects to; the answer has at most `max_bytes`.
    /// Holds one descriptor. Cancel safe.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn get(&self, url: &str, max_bytes: u64) -> Result<Fetched, OutboundError> {
        let limit = self.settings.timeout;
        let deadline = Instant::now() + limit;
        let mut url = policy::parse(url)?;
        let first = policy::host_of(&url);
        let mut redirects = 0;
        loop {
            let host = policy::host_of(&url);
            let asked = timeout_at(deadline, self.ask(&url, deadline)).await;
            let exchange = asked
                .unwrap_or_else(|_| Err(OutboundError::Timeout { host: host.clone(), limit }))?;
            let status = exchange.status();
            if let Some(location) = exchange.redirect() {
                redirects += 1;
                if redirects > self.settings.max_redirects {
                    let limit = self.settings.max_redirects;
                    return Err(OutboundError::TooManyRedirects { host: first, limit });
                }
                url = policy::redirected(&url, &location)?;
                continue;
            }
            if status != 200 {
                return Err(OutboundError::Status { host, status });
            }
            if exchange.announced().is_some_and(|bytes| bytes > max_bytes) {
                return Err(OutboundError::TooLarge { host, limit: max_bytes });
            }
            let content_type = exchange.content_type();
            let left = max_bytes;
            return Ok(Fetched { exchange, host, content_type, left, max_bytes, deadline, limit });
        }
    }

    /// One question: judged, connected to what was judged, and sent.
    async fn ask(&self, url: &Url, deadline: Instant) -> Result<ResponseStream, OutboundError> {
        let peer = self.policy.judge(url)?;
        let time_left = || deadline.saturating_duration_since(Instant::now());
        let permit = self.budget.acquire(Kind::Outbound, time_left()).await?;
        let (addresses, permit) = (self.look_up)(peer.clone(), permit).await?;
        self.policy.judge_addresses(&peer, &addresses)?;
        let tls = if url.scheme() == "https" { Some(trusted().await?) } else { None };
        ResponseStream::open(url, peer, &addresses, permit, tls, time_left()).await
    }

    #[cfg(test)]
    fn with_look_up(self, look_up: LookUp) -> Self {
        Self { look_up, ..self }
    }
}

/// What the system trusts, read when it is needed: certificates change while a service runs.
async fn trusted() -> Result<TlsConnector, OutboundError> {
    let (sender, read) = oneshot::channel();
    let thread = thread::Builder::new().name("evonic-trust".to_owned());
    let work = move || {
        // Fails only when the caller has gone.
        drop(sender.send(Authorities::system().and_then(|found| super::client(found, None))));
    };
    thread.spawn(work).map_err(ResolveError::Thread)?;
    let read = read.await.expect("the thread answers");
    Ok(read?)
}

impl Fetched {
    /// The next piece of its body; nothing at its end.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let host = self.host.clone();
        let piece = match timeout_at(self.deadline, self.exchange.piece()).await {
            Err(_) => return Err(OutboundError::Timeout { host, limit: self.limit }),
            Ok(Err(source)) => return Err(OutboundError::Http { host, source }),
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(piece))) => piece,
        };
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(OutboundError::TooLarge { host, limit: self.max_bytes }),
        }
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests;

//! One question and its answer, on a connection of its own that is closed with it.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    time::Duration,
};

use bytes::Bytes;
use evonic_handles::Permit;
use http::{HeaderName, Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1::Builder};
use hyper_util::rt::TokioIo;
use url::{Position, Url};

use super::{OutboundError, Peer, TlsConnector};
use crate::Connector;

/// The most bytes that are read ahead of their use, and of an answer's headers.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// Moves bytes between the socket and the answer; ends when the connection does.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An answer whose head has come.
pub(super) struct ResponseStream {
    /// Absent when the connection has ended; the body gets the error.
    driver: Option<Driver>,
    head: Response<()>,
    body: Incoming,
}

impl ResponseStream {
    /// Connects to the first of these addresses that can be, within the limit, and asks. Holds one
    /// descriptor.
    pub(super) async fn open(
        url: &Url,
        peer: Peer,
        addresses: &[SocketAddr],
        permit: Permit,
        tls: Option<TlsConnector>,
        limit: Duration,
    ) -> Result<Self, OutboundError> {
        let host = peer.host.clone();
        let request = request(url)
            .map_err(|reason| OutboundError::Malformed { url: host.clone(), reason })?;
        let connector = Connector { peer, tls, keepalive: None, limit };
        let stream = TokioIo::new(connector.connect_to(addresses, permit).await?);
        let failed = |source| OutboundError::Http { host, source };
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_BUFFER_BYTES).max_header_size(MAX_BUFFER_BYTES);
        let handshake = builder.handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(failed.clone())?;
        let mut driver: Option<Driver> = Some(Box::pin(connection));
        let answer = drive(&mut driver, sender.send_request(request)).await.map_err(failed)?;
        let (head, body) = answer.into_parts();
        Ok(Self { driver, head: Response::from_parts(head, ()), body })
    }

    pub(super) fn status(&self) -> u16 {
        self.head.status().as_u16()
    }

    /// Where it redirects to.
    pub(super) fn redirect(&self) -> Option<String> {
        if matches!(self.status(), 301 | 302 | 303 | 307 | 308) {
            self.text(header::LOCATION)
        } else {
            None
        }
    }

    pub(super) fn content_type(&self) -> Option<String> {
        self.text(header::CONTENT_TYPE)
    }

    /// The bytes that it says its body has.
    pub(super) fn announced(&self) -> Option<u64> {
        self.text(header::CONTENT_LENGTH)?.parse().ok()
    }

    fn text(&self, name: HeaderName) -> Option<String> {
        self.head.headers().get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The next piece of the body; nothing at its end. Cancel safe.
    pub(super) async fn piece(&mut self) -> hyper::Result<Option<Bytes>> {
        loop {
            match drive(&mut self.driver, self.body.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                // Anything but data is trailers, which mean nothing here.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}

/// Asks for the content as it is, once.
fn request(url: &Url) -> Result<Request<Empty<Bytes>>, String> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let path = &url[Position::BeforePath..Position::AfterQuery];
    Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("evonic/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())
}

/// Drives the connection until what waits on it is ready.
async fn drive<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
            *driver = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

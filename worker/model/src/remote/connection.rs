//! One connection for one call, closed with it, under a permit of kind `model`.
//!
//! A call owns its connection outright. There is no pool and no task behind it: whoever waits for
//! an answer also drives the connection, so dropping the call closes the socket there and then,
//! and the permit is given back after that.

use std::{
    future::Future,
    pin::{Pin, pin},
};

use bytes::Bytes;
use evonic_handles::{Budget, Exhausted};
use evonic_net::Connector;
use evonic_shared::kind::Kind;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;

use crate::body::RequestBody;

/// The most bytes that are read ahead of their use, and of an answer's headers.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    #[error(transparent)]
    Net(#[from] evonic_net::ConnectError),
    #[error("no HTTP connection")]
    Http(#[source] hyper::Error),
}

/// Moves bytes between the socket and the call; ends when the connection does.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// For one call.
pub(super) struct Connection {
    /// Absent when the connection has ended; the call gets the error.
    driver: Option<Driver>,
    sender: SendRequest<RequestBody>,
}

impl Connection {
    /// Opens a connection under a permit, each within the connector's limit. Cancel safe. Holds one
    /// descriptor, then and in the result.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn open(connector: &Connector, budget: &Budget) -> Result<Self, ConnectError> {
        let permit = budget.acquire(Kind::Model, connector.limit).await?;
        let stream = TokioIo::new(connector.connect(permit).await?);
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_BUFFER_BYTES).max_header_size(MAX_BUFFER_BYTES);
        let (sender, connection) = builder.handshake(stream).await.map_err(ConnectError::Http)?;
        Ok(Self { driver: Some(Box::pin(connection)), sender })
    }

    /// Sends the request, and waits for the answer's headers.
    pub(super) async fn call(
        &mut self,
        request: Request<RequestBody>,
    ) -> hyper::Result<Response<Incoming>> {
        let answer = self.sender.send_request(request);
        drive(&mut self.driver, answer).await
    }

    /// The next piece of the answer's body; nothing at its end. Cancel safe.
    pub(super) async fn piece(&mut self, body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
        loop {
            match drive(&mut self.driver, body.frame()).await {
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

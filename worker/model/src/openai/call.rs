//! One attempt: one request, one answer, one connection.

use std::{collections::HashSet, future::Future, time::Duration};

use bytes::Bytes;
use evonic_shared::error_chain::ErrorChain;
use http::{Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::{
    OpenAi,
    chunk::explain,
    endpoint::Endpoint,
    failure::{Failure, retry_after},
    stream::Stream,
};
use crate::{Delta, Reply, connection::Connection};

/// The most bytes that are read of an answer which is an error.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How long the count of tokens may take to follow a reply that is complete.
const TAIL_TIMEOUT: Duration = Duration::from_secs(5);

/// One attempt.
pub(super) struct Call<'a> {
    pub(super) model: &'a OpenAi,
    pub(super) deltas: &'a mpsc::Sender<Delta>,
    /// Whether pieces of text were sent, which another attempt has to retract.
    pub(super) sent: bool,
}

impl Call<'_> {
    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// [`Failure`]; the connection is closed then, as it is at the end.
    pub(super) async fn run(
        &mut self,
        body: Bytes,
        taken: &HashSet<&str>,
    ) -> Result<Reply, Failure> {
        let OpenAi { connector, budget, .. } = self.model;
        let mut connection = Connection::open(connector, budget).await?;
        let timeout = self.model.settings.read_timeout;
        let answer = within(timeout, connection.call(self.request(body)?)).await?;
        if !answer.status().is_success() {
            return Err(refusal(&mut connection, answer, timeout).await);
        }
        let mut body = answer.into_body();
        let mut stream = Stream::new(self.model.settings.max_reply_bytes as usize);
        while !stream.is_done() {
            let finished = stream.is_finished();
            let timeout = if finished { timeout.min(TAIL_TIMEOUT) } else { timeout };
            let piece = match within(timeout, connection.piece(&mut body)).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(_) if finished => break,
                Err(failure) => return Err(failure),
            };
            let text = stream.push(&piece)?;
            self.send(text).await;
        }
        let (reply, rest) = stream.end(taken)?;
        self.send(rest).await;
        Ok(reply)
    }

    async fn send(&mut self, text: String) {
        if !text.is_empty() {
            self.sent = true;
            // Without a listener the reply is the same.
            let _ = self.deltas.send(Delta::Text(text)).await;
        }
    }

    fn request(&self, body: Bytes) -> Result<http::Request<Full<Bytes>>, Failure> {
        let Endpoint { host, path, .. } = &self.model.endpoint;
        let mut request = http::Request::post(path)
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("evonic/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "text/event-stream, application/json")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &self.model.key {
            request = request.header(header::AUTHORIZATION, &key.header);
        }
        request.body(Full::new(body)).map_err(|error| Failure::protocol(error.to_string()))
    }
}

async fn within<T>(
    timeout: Duration,
    part: impl Future<Output = hyper::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, part).await {
        Ok(Ok(part)) => Ok(part),
        // What is no HTTP will not become it; everything else is a connection that broke.
        Ok(Err(error)) if error.is_parse() => {
            Err(Failure::protocol(ErrorChain(&error).to_string()))
        }
        Ok(Err(error)) => Err(Failure::transient(ErrorChain(&error).to_string())),
        Err(_) => Err(Failure::transient(format!("silent for {} s", timeout.as_secs_f32()))),
    }
}

/// The failure of an answer with another status.
async fn refusal(
    connection: &mut Connection,
    answer: Response<Incoming>,
    timeout: Duration,
) -> Failure {
    let status = answer.status();
    let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection() {
        let place = text(header::LOCATION).unwrap_or("nowhere");
        let message = format!("it redirects to {place}, and redirects are not followed");
        return Failure::status(status.as_u16(), message, None);
    }
    let asked =
        text(header::RETRY_AFTER).and_then(|text| retry_after(text, jiff::Timestamp::now()));
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = connection.piece(&mut body).await {
            bytes.extend_from_slice(&piece);
            if bytes.len() >= MAX_ERROR_BYTES {
                break;
            }
        }
    };
    // Whatever came in time is shown; that not all of it came is not worth an error of its own.
    let _ = tokio::time::timeout(timeout.min(TAIL_TIMEOUT), read).await;
    bytes.truncate(MAX_ERROR_BYTES);
    let message = match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(value) => explain(&value).1,
        Err(_) if bytes.is_empty() => status.canonical_reason().unwrap_or("no reason").to_owned(),
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    Failure::status(status.as_u16(), message, asked)
}

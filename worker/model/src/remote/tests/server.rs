//! An endpoint that answers byte for byte as scripted, over a real socket.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What the server does on one connection once it has read the request; then it closes it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Writes these bytes at once.
    Send(Vec<u8>),
    /// Writes these bytes one by one.
    Trickle(Vec<u8>),
    /// Says nothing for this long.
    Pause(Duration),
    /// Says nothing until the client closes.
    Hold,
}

#[derive(Debug, Default)]
struct Log {
    requests: Mutex<Vec<(Instant, String)>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
}

/// A running server; it ends when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    log: Arc<Log>,
    _accepting: JoinSet<()>,
}

impl Server {
    /// Each connection gets the next script; when they are used up, the last one again.
    pub(super) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        Self::over(scripts, None).await
    }

    pub(super) async fn over(scripts: Vec<Vec<Step>>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, scripts, tls, Arc::clone(&log)));
        Self { address, log, _accepting: accepting }
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(super) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// The requests so far, head and body, and when they were complete.
    pub(super) fn requests(&self) -> Vec<(Instant, String)> {
        self.log.requests.lock().unwrap().clone()
    }

    pub(super) fn accepted(&self) -> usize {
        self.log.accepted.load(Ordering::SeqCst)
    }

    /// Waits until this many requests came.
    pub(super) async fn wait_for_requests(&self, wanted: usize) {
        self.wait(|| self.requests().len() >= wanted, "requests").await;
    }

    /// Waits until the clients have closed every connection.
    pub(super) async fn wait_for_silence(&self) {
        self.wait(|| self.log.open.load(Ordering::SeqCst) == 0, "closed connections").await;
    }

    async fn wait(&self, reached: impl Fn() -> bool, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !reached() {
            assert!(Instant::now() < deadline, "no {what} in time: {:?}", self.log);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many sockets of this process are connected to this server, by the kernel's account.
    /// A child that another test is just starting may hold a copy for a moment: it does not count.
    pub(super) fn client_sockets(&self) -> usize {
        let remote = format!("0100007F:{:04X}", self.port());
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let connected: HashSet<String> = fields
            .filter(|fields| fields[2] == remote)
            .map(|fields| format!("socket:[{}]", fields[9]))
            .collect();
        let own = std::fs::read_dir("/proc/self/fd").unwrap();
        let targets = own.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets.filter(|target| target.to_str().is_some_and(|t| connected.contains(t))).count()
    }
}

async fn accept(
    listener: TcpListener,
    scripts: Vec<Vec<Step>>,
    tls: Option<TlsAcceptor>,
    log: Arc<Log>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let number = log.accepted.fetch_add(1, Ordering::SeqCst);
        let script = scripts[number.min(scripts.len() - 1)].clone();
        log.open.fetch_add(1, Ordering::SeqCst);
        let (log, tls) = (Arc::clone(&log), tls.clone());
        connections.spawn(async move {
            match tls {
                None => play(stream, script, &log).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        play(stream, script, &log).await;
                    }
                }
            }
            log.open.fetch_sub(1, Ordering::SeqCst);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn play(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Vec<Step>, log: &Log) {
    let Some(request) = read_request(&mut stream).await else { return };
    log.requests.lock().unwrap().push((Instant::now(), request));
    for step in script {
        let written = match step {
            Step::Send(bytes) => stream.write_all(&bytes).await,
            Step::Trickle(bytes) => trickle(&mut stream, &bytes).await,
            Step::Pause(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Step::Hold => stream.read(&mut [0; 64]).await.map(drop),
        };
        if written.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    // The client reads all that was sent before it sees the end.
    let _ = stream.shutdown().await;
    let _ = stream.read(&mut [0; 64]).await;
}

async fn trickle(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        stream.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// The first byte of a client that speaks TLS (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// The request, or as much as a server without TLS understands of it.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if bytes[0] == TLS_HANDSHAKE {
            return Some("a handshake of TLS".to_owned());
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text.into_owned());
        }
    }
}

/// A script of one answer that ends with the connection.
pub(super) fn once(answer: impl Into<Vec<u8>>) -> Vec<Vec<Step>> {
    vec![vec![Step::Send(answer.into())]]
}

/// The head of a stream of events whose length is not known: it ends with the connection.
pub(super) const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

/// An answer of events, `[DONE]` included where it is given.
pub(super) fn events<T: AsRef<str>>(data: &[T]) -> String {
    let body: String = data.iter().map(|data| format!("data: {}\n\n", data.as_ref())).collect();
    format!("{EVENTS}{body}")
}

/// The same answer, chunked: each event a chunk, with the last chunk.
pub(super) fn chunked<T: AsRef<str>>(data: &[T]) -> String {
    let chunk = |data: &T| {
        let event = format!("data: {}\n\n", data.as_ref());
        format!("{:x}\r\n{event}\r\n", event.len())
    };
    let body: String = data.iter().map(chunk).collect();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
         {body}0\r\n\r\n"
    )
}

/// An answer with this status and body.
pub(super) fn status(line: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

/// A chunk with a piece of text.
pub(super) fn text(piece: &str) -> String {
    serde_json::json!({"choices": [{"index": 0, "delta": {"content": piece}}]}).to_string()
}

/// A chunk that says how the reply ended.
pub(super) fn finish(reason: &str) -> String {
    serde_json::json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}).to_string()
}

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use evonic_handles::Page;
use evonic_shared::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

use super::*;

/// A server of this machine that answers each connection with the same bytes.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _accepting: JoinSet<()>,
}

impl Server {
    async fn start(answer: impl Into<String>) -> Self {
        Self::start_slow(answer, Duration::ZERO).await
    }

    /// With a pause before the end.
    async fn start_slow(answer: impl Into<String>, pause: Duration) -> Self {
        let (answer, heads) = (answer.into(), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = JoinSet::new();
        let seen = Arc::clone(&heads);
        accepting.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let length = socket.read(&mut head).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).into_owned());
                // A client that leaves early is what some tests are about.
                let _ = socket.write_all(answer.as_bytes()).await;
                tokio::time::sleep(pause).await;
            }
        });
        Self { address, heads, _accepting: accepting }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn budget() -> Budget {
    let config = Config::defaults("".into(), "".into());
    Budget::new(&config.budget, Page::private().unwrap(), config.fd.threshold)
}

fn outbound(allow: &[&str]) -> Outbound {
    let mut settings = Config::defaults("".into(), "".into()).outbound;
    settings.allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    settings.timeout = Duration::from_secs(5);
    Outbound::new(&settings, budget())
}

/// A resolver that answers the n-th look-up with the n-th address, and every later one with the
/// last.
fn scripted(addresses: &[&str], asked: &Arc<AtomicUsize>) -> LookUp {
    let (addresses, asked) =
        (addresses.iter().map(|&text| text.to_owned()).collect::<Vec<_>>(), Arc::clone(asked));
    Arc::new(move |peer, permit| {
        let number = asked.fetch_add(1, Ordering::SeqCst).min(addresses.len() - 1);
        let address = SocketAddr::new(addresses[number].parse().unwrap(), peer.port);
        Box::pin(async move { Ok((vec![address], permit)) })
    })
}

async fn body(outbound: &Outbound, url: &str, max_bytes: u64) -> Result<Vec<u8>, OutboundError> {
    let mut fetched = outbound.get(url, max_bytes).await?;
    let mut whole = Vec::new();
    while let Some(piece) = fetched.next().await? {
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

async fn refused(outbound: &Outbound, url: &str) -> String {
    let error = body(outbound, url, 1_000).await.unwrap_err();
    let in_use = outbound.budget.usage().into_iter().find(|usage| usage.kind == Kind::Outbound);
    assert_eq!(in_use.map(|usage| (usage.permits, usage.descriptors)), Some((0, 0)));
    error.to_string()
}

fn answer(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\n\r\n{body}", body.len())
}

fn redirect(location: &str) -> String {
    answer("302 Found", &format!("location: {location}\r\n"), "")
}

#[tokio::test]
async fn what_is_allowed_is_asked_without_anything_of_ours() {
    let server = Server::start(answer("200 OK", "content-type: image/png\r\n", "hello")).await;
    let outbound = outbound(&["127.0.0.1"]);
    let url = format!("{}a%20b?c=d#e", server.url());
    assert_eq!(body(&outbound, &url, 1_000).await.unwrap(), b"hello");
    let fetched = outbound.get(&url, 1_000).await.unwrap();
    assert_eq!(fetched.content_type.as_deref(), Some("image/png"));
    let head = server.heads().remove(0).to_lowercase();
    let names: Vec<_> =
        head.lines().filter_map(|line| line.split_once(": ")).map(|it| it.0).collect();
    assert!(head.starts_with("get /a%20b?c=d http/1.1\r\n"), "{head}");
    assert_eq!(names, ["host", "user-agent", "accept", "accept-encoding", "connection"]);
}

#[tokio::test]
async fn names_and_addresses_of_this_machine_are_refused_unasked() {
    let server = Server::start(answer("200 OK", "", "secret")).await;
    let port = server.address.port();
    let outbound = outbound(&[]);
    for host in ["127.0.0.1", "localhost", "LOCALHOST.", "[::1]", "0x7f.1", "2130706433", "0"] {
        let error = refused(&outbound, &format!("http://{host}:{port}/")).await;
        assert!(error.contains("may not be asked"), "{host}: {error}");
    }
    assert!(server.heads().is_empty(), "{:?}", server.heads());
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_asked() {
    let server = Server::start(answer("200 OK", "", "hello")).await;
    let asked = Arc::default();
    // The second answer would be this machine's, too, but not an allowed one.
    let outbound =
        outbound(&["127.0.0.1"]).with_look_up(scripted(&["127.0.0.1", "127.0.0.2"], &asked));
    let url = format!("http://changes.example:{}/", server.address.port());
    assert_eq!(body(&outbound, &url, 1_000).await.unwrap(), b"hello");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "one look-up");
    let error = refused(&outbound, &url).await;
    assert!(error.contains("127.0.0.2 is loopback"), "{error}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn each_redirect_is_judged_as_an_address() {
    let inside = Server::start(answer("200 OK", "", "secret")).await;
    let asked = Arc::default();
    for location in [
        inside.url(),
        format!("http://[::ffff:127.0.0.1]:{}/", inside.address.port()),
        format!("//2130706433:{}/", inside.address.port()),
    ] {
        let front = Server::start(redirect(&location)).await;
        let outbound = outbound(&["front.example"]).with_look_up(scripted(&["127.0.0.1"], &asked));
        let url = format!("http://front.example:{}/", front.address.port());
        let error = refused(&outbound, &url).await;
        assert!(error.contains("may not be asked") && error.contains("loopback"), "{error}");
        assert_eq!(front.heads().len(), 1);
    }
    assert!(inside.heads().is_empty());
    // The same name means another machine when it is asked for the second time.
    let front = Server::start(redirect("/again")).await;
    let asked = Arc::default();
    let outbound =
        outbound(&["127.0.0.1"]).with_look_up(scripted(&["127.0.0.1", "10.0.0.7"], &asked));
    let url = format!("http://changes.example:{}/", front.address.port());
    let error = refused(&outbound, &url).await;
    assert!(error.contains("10.0.0.7 is private"), "{error}");
}

#[tokio::test]
async fn redirects_that_are_allowed_are_followed_up_to_a_number() {
    let target = Server::start(answer("200 OK", "", "there")).await;
    let front = Server::start(redirect(&target.url())).await;
    let outbound = outbound(&["127.0.0.1"]);
    assert_eq!(body(&outbound, &front.url(), 1_000).await.unwrap(), b"there");
    let circle = Server::start(redirect("/")).await;
    let error = refused(&outbound, &circle.url()).await;
    assert!(error.contains("redirects 5 times and on"), "{error}");
    assert_eq!(circle.heads().len(), 6);
    for (location, words) in
        [("file:///etc/passwd", "neither http nor https"), ("http://a:b@127.0.0.1/", "user")]
    {
        let front = Server::start(redirect(location)).await;
        assert!(refused(&outbound, &front.url()).await.contains(words), "{location}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded_in_bytes_and_time() {
    let outbound = outbound(&["127.0.0.1"]);
    let announced = Server::start(answer("200 OK", "", &"x".repeat(2_000))).await;
    let error = refused(&outbound, &announced.url()).await;
    assert!(error.contains("sends more than 1000 bytes"), "{error}");
    let chunk = format!("{:x}\r\n{}\r\n", 600, "x".repeat(600));
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    let chunked = Server::start(chunked).await;
    let error = refused(&outbound, &chunked.url()).await;
    assert!(error.contains("sends more than 1000 bytes"), "{error}");

    let mut brief = outbound.clone();
    brief.settings.timeout = Duration::from_millis(300);
    for silent in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"] {
        let server = Server::start_slow(silent, Duration::from_secs(60)).await;
        let error = refused(&brief, &server.url()).await;
        assert!(error.contains("within 0.3 s"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_content_is_an_error_with_the_host() {
    let outbound = outbound(&["127.0.0.1"]);
    for (bytes, words) in [
        (answer("404 Not Found", "", "no"), "127.0.0.1 answers with status 404"),
        (answer("204 No Content", "", ""), "status 204"),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "127.0.0.1 does not answer in HTTP"),
        (answer("302 Found", "", ""), "status 302"),
    ] {
        let server = Server::start(bytes).await;
        let error = refused(&outbound, &server.url()).await;
        assert!(error.contains(words), "{error}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let error = refused(&outbound, &format!("http://{closed}/")).await;
    assert!(error.contains("cannot be connected"), "{error}");
    let error = refused(&outbound, "http://nowhere.invalid/").await;
    assert!(error.contains("nowhere.invalid cannot be resolved"), "{error}");
}

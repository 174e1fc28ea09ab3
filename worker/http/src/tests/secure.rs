//! TLS on the TCP listener.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use base64::Engine;
use evonic_shared::config::Config;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};

use super::{
    client::Client,
    test_server::{TestServer, until},
};

/// A certificate for `localhost` and its key, written to files below a folder.
struct Pair {
    folder: evonic_parts::Folder,
}

impl Pair {
    fn new() -> (Self, CertificateDer<'static>) {
        let pair = Self { folder: evonic_parts::Folder::new().unwrap() };
        let authority = pair.renew();
        (pair, authority)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a new pair; returns its certificate, which is its own authority.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        replace(&self.path("key.pem"), &pem("PRIVATE KEY", &signing_key.serialize_der()));
        replace(&self.path("certificate.pem"), &pem("CERTIFICATE", cert.der()));
        cert.der().clone()
    }

    fn configure(&self, config: &mut Config) {
        config.http.tls.certificate = Some(self.path("certificate.pem"));
        config.http.tls.key = Some(self.path("key.pem"));
    }
}

fn pem(label: &str, content: &[u8]) -> String {
    let content = base64::engine::general_purpose::STANDARD.encode(content);
    format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n")
}

/// As who renews certificates does it: never a half-written file.
fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

type Secured = StreamOwned<ClientConnection, TcpStream>;

/// A connection that trusts this authority; the handshake is made with the first byte.
fn connect(server: &TestServer, authority: &CertificateDer<'static>) -> Client<Secured> {
    Client::over(stream(server, authority))
}

fn stream(server: &TestServer, authority: &CertificateDer<'static>) -> Secured {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(server.address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    StreamOwned::new(session, tcp)
}

fn refused(server: &TestServer) -> String {
    let mut client = Client::over(UnixStream::connect(&server.socket).unwrap());
    let text = client.ask("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").body;
    let text = String::from_utf8(text).unwrap();
    text.lines().find(|line| line.contains("\"handshake\"")).unwrap_or_default().to_owned()
}

#[test]
fn https_is_served_and_the_unix_socket_stays_plain() {
    let (pair, authority) = Pair::new();
    let server = TestServer::new(|config| pair.configure(config));
    let mut client = connect(&server, &authority);
    for size in [3, 1_000_000, 0] {
        let reply = client.ask(server.get(&format!("/big/{size}")));
        assert_eq!((reply.status, reply.body.len()), (200, size));
    }
    let mut local = Client::over(UnixStream::connect(&server.socket).unwrap());
    assert_eq!(local.ask("GET /big/3 HTTP/1.1\r\nhost: x\r\n\r\n").body, b"xxx");
    let mut stream = stream(&server, &authority);
    stream.write_all(server.get("/big/1").as_bytes()).unwrap();
    stream.read_exact(&mut [0; 9]).unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn descriptors_are_flat_over_handshakes_that_succeed_fail_and_never_come() {
    let (pair, authority) = Pair::new();
    let (_, stranger) = Pair::new();
    let server = TestServer::new(|config| {
        pair.configure(config);
        config.http.header_timeout = Duration::from_millis(200);
    });
    for _ in 0..20 {
        assert_eq!(connect(&server, &authority).ask(server.get("/big/1")).status, 200);
        assert!(stream(&server, &stranger).write_all(b"GET").is_err(), "it trusts a stranger");
        drop(server.connect());
    }
    let mut silent: Vec<_> = (0..5).map(|_| server.connect()).collect();
    let half = [22, 3, 1];
    silent.iter_mut().skip(2).for_each(|client| client.send(half));
    until(|| server.owned(), |&owned| owned == 0);
    silent.iter_mut().take(2).for_each(Client::assert_closed);
}

#[test]
fn http_without_tls_is_told_what_is_spoken_here() {
    let (pair, _) = Pair::new();
    let server = TestServer::new(|config| pair.configure(config));
    let reply = server.connect().ask(server.get("/big/1"));
    let problem = reply.problem(400);
    assert_eq!(problem["type"], "urn:evonic:problem:tls_required");
    assert!(reply.closes());
    until(|| server.owned(), |&owned| owned == 0);
}

#[test]
fn a_renewed_certificate_is_taken_and_a_bad_one_is_not() {
    let (pair, first) = Pair::new();
    let server = TestServer::new(|config| pair.configure(config));
    let mut kept = connect(&server, &first);
    assert_eq!(kept.ask(server.get("/big/1")).status, 200);
    let accepted = |authority: &CertificateDer<'static>| {
        let mut stream = stream(&server, authority);
        stream.write_all(server.get("/big/1").as_bytes()).is_ok()
    };
    // Half of a renewal: the key of another certificate.
    let CertifiedKey { signing_key, .. } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    replace(&pair.path("key.pem"), &pem("PRIVATE KEY", &signing_key.serialize_der()));
    let bad_was_looked_at = std::time::Instant::now() + super::super::tls::CHECK_INTERVAL * 2;
    until(
        || {
            assert!(accepted(&first), "the old pair is gone");
            std::time::Instant::now()
        },
        |&now| now > bad_was_looked_at,
    );
    let second = pair.renew();
    until(|| accepted(&second), |&accepted| accepted);
    assert!(!accepted(&first), "the old certificate is still shown");
    assert_eq!(kept.ask(server.get("/big/1")).status, 200);
}

#[test]
fn a_drain_ends_handshakes_and_answers_kept_connections() {
    let (pair, authority) = Pair::new();
    let server = TestServer::new(|config| pair.configure(config));
    let mut kept = connect(&server, &authority);
    assert_eq!(kept.ask(server.get("/big/1")).status, 200);
    let _silent = server.connect();
    until(|| server.owned(), |&owned| owned == 2);
    assert_eq!(server.drain(Duration::from_secs(20)), 0);
    assert_eq!(server.owned(), 0);
    kept.assert_closed();
}

#[test]
fn handshakes_that_fail_are_counted() {
    let (pair, authority) = Pair::new();
    let server = super::worker::Worker::new(|config| pair.configure(config));
    assert_eq!(connect(&server, &authority).ask(server.get("/livez")).status, 200);
    let ping = server.runtime.block_on(server.server.ping());
    assert_eq!((ping, refused(&server).as_str()), (Ok(()), ""));
    assert_eq!(server.connect().ask(server.get("/livez")).status, 400);
    assert_eq!(refused(&server), "evonic_http_refused_total{reason=\"handshake\"} 1");
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_with_its_key() {
    let (pair, _) = Pair::new();
    let open = |certificate: &Path, key: &Path| {
        let tls = evonic_shared::config::HttpTls {
            certificate: Some(certificate.to_owned()),
            key: Some(key.to_owned()),
        };
        let page = evonic_handles::Page::private().unwrap();
        let config = Config::defaults("/s".into(), "/r".into());
        let budget = evonic_handles::Budget::new(&config.budget, page, config.fd.threshold);
        let error = super::super::tls::Secure::open(&tls, &budget).unwrap_err();
        evonic_shared::error_chain::ErrorChain(&error).to_string()
    };
    let (certificate, key) = (pair.path("certificate.pem"), pair.path("key.pem"));
    let error = open(Path::new("/nowhere"), &key);
    assert_eq!(
        error,
        "http.tls.certificate: cannot read /nowhere: No such file or directory (os error 2)"
    );
    assert!(open(&key, &key).ends_with("key.pem holds no certificate in PEM"));
    assert!(open(&certificate, &certificate).ends_with("holds no private key in PEM"));
    assert!(open(Path::new("/dev/zero"), &key).contains("no regular file"));
    let (other, _) = Pair::new();
    let error = open(&certificate, &other.path("key.pem"));
    assert!(
        error.starts_with("http.tls.key: ") && error.contains("cannot be used with"),
        "{error}"
    );
}

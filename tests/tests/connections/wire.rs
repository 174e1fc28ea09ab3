//! A pair that is reached by TCP, by TLS and by its Unix socket, and programs that speak to it.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use base64::Engine as _;
use evonic_parts::Folder;
use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
};

/// A certificate and its key, for `[http.tls]`.
pub fn certificate() -> (Folder, String) {
    let folder = Folder::with_prefix("evonic-tls-").expect("a temporary folder");
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
    let write = |name: &str, label: &str, content: &[u8]| {
        let content = base64::engine::general_purpose::STANDARD.encode(content);
        let path = folder.path().join(name);
        let text = format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
        std::fs::write(&path, text).expect("a file");
        path
    };
    let certificate = write("certificate.pem", "CERTIFICATE", own.cert.der());
    let key = write("key.pem", "PRIVATE KEY", &own.signing_key.serialize_der());
    let config = format!("[http.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    (folder, config)
}

/// A pair that serves TLS.
pub fn secure_pair() -> (Folder, Pair) {
    let (folder, config) = certificate();
    (folder, Pair::start(&Options::config(&config)))
}

/// A request as bytes, with the admin key; its body is JSON.
pub fn request(pair: &Pair, method: &str, path: &str, body: &str) -> String {
    let body = if body.is_empty() {
        "\r\n".to_owned()
    } else {
        let length = body.len();
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let key = pair.admin_key();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{body}")
}

/// Gives a program this input, closes its input, and returns what it printed and how long it took.
pub fn pipe(program: &str, arguments: &[&str], input: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is installed: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    (String::from_utf8_lossy(&output.stdout).into_owned(), began.elapsed())
}

/// Programs that half-close once their input ends, each with its arguments, to a pair over TCP and
/// its Unix socket.
pub fn half_closing(pair: &Pair) -> Vec<(&'static str, Vec<String>)> {
    let port = pair.address().port().to_string();
    let socket = pair.runtime_dir().join("api.sock").display().to_string();
    let text = |arguments: &[&str]| arguments.iter().map(|&text| text.to_owned()).collect();
    vec![
        ("nc", text(&["-N", "127.0.0.1", &port])),
        ("nc", text(&["-N", "-U", &socket])),
        ("socat", text(&["-t", "10", "-", &format!("TCP:127.0.0.1:{port}")])),
        ("socat", text(&["-t", "10", "-", &format!("UNIX-CONNECT:{socket}")])),
    ]
}

/// A new connection of an operator to the Unix socket.
pub fn operator(pair: &Pair) -> Connection {
    pair.operator().expect("a connection")
}

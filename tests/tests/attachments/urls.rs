//! Attachments by an address: under one policy, and fetched once.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use evonic_tests::{http::Connection, troubleshooting::assert_documented};
use serde_json::json;

use crate::client::{count, png, post, refused, says, with_model};

/// A server of this machine that answers with this head and a content; how often it was asked.
fn serve(head: &'static str, content: Vec<u8>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    // It ends with the test's process.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(&content);
        }
    });
    (port, asked)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n";

#[test]
fn addresses_of_this_machine_are_not_asked() {
    let (_server, pair) = with_model(vec![says("I see.")], "");
    let session = pair.session("seer");
    let (port, asked) = serve(OK, png(1_000));
    let api = pair.address().port();
    for (url, words) in [
        (format!("http://127.0.0.1:{port}/"), "loopback"),
        (format!("http://localhost:{port}/"), "loopback"),
        (format!("http://0x7f000001:{port}/"), "loopback"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "loopback"),
        (format!("http://127.0.0.1:{api}/metrics"), "loopback"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "metadata"),
        ("http://[fd00:ec2::254]/".to_owned(), "metadata"),
        ("http://10.0.0.1/".to_owned(), "private"),
        ("file:///etc/passwd".to_owned(), "neither http nor https"),
        ("http://user:secret@example.org/".to_owned(), "user or password"),
    ] {
        let message = json!({"content": [{"type": "image", "url": url}]});
        let (field, detail) = refused(&pair, &session, &message, 422);
        assert_eq!(field, "content[0].url");
        assert!(detail.contains(words) && !detail.contains("secret"), "{url}: {detail}");
        if words == "private" {
            assert_documented(
                "… may not be asked: its address … is …; outbound.allow lists",
                &detail,
            );
        }
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(count(&pair, "SELECT COUNT(*) FROM session_blobs"), 0);
}

#[test]
fn what_is_allowed_is_fetched_once_and_is_what_its_bytes_are() {
    let allow = "[outbound]\nallow = [\"127.0.0.1\"]\n";
    let (_server, pair) = with_model(vec![says("I see.")], allow);
    let session = pair.session("seer");
    let image = png(700_000);
    let (port, asked) = serve(OK, image.clone());
    let message = json!({"content": [
        {"type": "text", "text": "and this?"},
        {"type": "image", "url": format!("http://127.0.0.1:{port}/a.png"), "name": "a.png"},
    ]});
    let path = format!("/api/v1/sessions/{session}/messages");
    let mut turns = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::tcp(pair.address()).expect("a connection");
        let key = [("Idempotency-Key", "once")];
        let answer = connection.request("POST", &path, &key, Some(&message)).expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.text());
        let posted = answer.json();
        let attached = posted["message"]["attachments"][0].clone();
        assert_eq!(
            (&attached["media_type"], &attached["bytes"]),
            (&json!("image/png"), &json!(700_000))
        );
        turns.push(posted["turn"]["id"].clone());
    }
    assert_eq!(turns[0], turns[1]);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it is fetched once");

    // A redirect is judged anew, and what is no image is none whatever it is called.
    let (inside, unasked) = serve(OK, image);
    let target = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:{inside}/\r\nContent-Length: 0\r\n\r\n"
    );
    let (front, _) = serve(Box::leak(target.into_boxed_str()), Vec::new());
    let message =
        json!({"content": [{"type": "image", "url": format!("http://127.0.0.1:{front}/")}]});
    let (_, detail) = refused(&pair, &session, &message, 422);
    assert!(detail.contains("127.0.0.2 may not be asked"), "{detail}");
    assert_eq!(unasked.load(Ordering::SeqCst), 0);
    let (page, _) = serve(OK, b"<html>".to_vec());
    let message =
        json!({"content": [{"type": "image", "url": format!("http://127.0.0.1:{page}/")}]});
    let answer = post(&pair, &session, &message);
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.text().contains("an image is a PNG"), "{}", answer.text());
}

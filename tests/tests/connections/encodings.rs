//! Bodies that are not sent as they are.

use std::process::Command;

use evonic_tests::{
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};

use crate::wire::operator;

#[test]
fn a_compressed_body_is_415_with_what_is_taken() {
    let pair = Pair::start(&Options::default());
    let made = Command::new("sh")
        .args(["-c", r#"printf '{"agent":"runbook"}' | gzip -c > "$0""#])
        .arg(pair.folder().join("body.gz"))
        .status();
    assert!(made.expect("gzip is installed").success());
    let body = std::fs::read(pair.folder().join("body.gz")).unwrap();
    let key = pair.admin_key();
    let ask = |headers: &str, body: &[u8]| {
        let mut connection = operator(&pair);
        let head = format!(
            "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\n{headers}\r\n"
        );
        connection.send(&[head.as_bytes(), body].concat()).expect("sent");
        connection.answer().expect("an answer")
    };
    let length = format!("Content-Length: {}\r\n", body.len());
    let answer = ask(&format!("{length}Content-Encoding: gzip\r\n"), &body);
    assert_eq!(answer.status, 415);
    assert_eq!(answer.header("accept-encoding"), Some("identity"));
    let seen = answer.json()["detail"].as_str().unwrap().to_owned();
    assert_documented("the body is sent in the coding 'gzip'; send it as it is", &seen);

    let plain = br#"{"agent":"runbook"}"#;
    let length = format!("Content-Length: {}\r\n", plain.len());
    assert_eq!(ask(&format!("{length}Content-Encoding: identity\r\n"), plain).status, 201);
    let chunks = [b"13\r\n", &plain[..], b"\r\n0\r\n\r\n"].concat();
    assert_eq!(ask("Transfer-Encoding: gzip, chunked\r\n", &chunks).status, 501);
    assert_eq!(ask("Transfer-Encoding: chunked\r\n", &chunks).status, 201);
}

//! What a large request takes of memory while a slow endpoint reads it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_domain::{Attachment, AttachmentKind, Item};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    ask, budget, remote, request,
    server::{chunked, finish, text},
    settings,
};
use crate::{Blobs, Request};

const MB: usize = 1024 * 1024;

/// The size of the request.
const REQUEST_BYTES: usize = 17 * MB;

/// Contents of any length, made as they are read.
#[derive(Debug)]
struct Zeros(u64);

#[async_trait]
impl Blobs for Zeros {
    async fn read(&self, _sha256: &str, offset: u64) -> Result<Bytes, String> {
        let length = self.0.saturating_sub(offset).min(64 * 1024);
        Ok(vec![0; length as usize].into())
    }
}

/// Reads a request slowly, keeps nothing of it, and answers it; its bytes.
async fn read_slowly(listener: &TcpListener) -> usize {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut piece = vec![0; 256 * 1024];
    let (mut got, mut length) = (0, None);
    while length.is_none_or(|length| got < length) {
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "it breaks off after {got} bytes");
        if length.is_none() {
            let head = String::from_utf8_lossy(&piece[..read]);
            let (head, _) = head.split_once("\r\n\r\n").expect("a head in one piece");
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            length = Some(head.len() + 4 + line.unwrap().parse::<usize>().unwrap());
        }
        got += read;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stream.write_all(chunked(&[text("ok"), finish("stop")]).as_bytes()).await.unwrap();
    got
}

/// A line of this process's status, in bytes.
fn status_bytes(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches([':', ' ', '\t', 'k', 'B']).parse::<usize>().unwrap() * 1024
}

/// The most memory that a call takes beside the request itself, and the bytes that are sent.
async fn taken_by(request: &Request) -> (usize, usize) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let settings = settings(&format!("http://{}/v1", listener.local_addr().unwrap()));
    let model = remote(&settings, &budget(1));
    // The peak of memory begins anew: proc_pid_clear_refs(5).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status_bytes("VmRSS");
    let ((reply, _), sent) = tokio::join!(ask(&model, request), read_slowly(&listener));
    assert_eq!(reply.unwrap().text, "ok");
    (status_bytes("VmHWM").saturating_sub(before), sent)
}

#[tokio::test]
async fn a_large_request_is_in_memory_once_and_an_attachment_not_at_all() {
    let say = |text: &str| [Item::user(text), Item::assistant(text, Vec::new())];
    // What a first call loads is no part of a request.
    let _loaded = taken_by(&request(vec![Item::user("go")])).await;
    let line = "a line with \"quotes\"\n".repeat(400);
    // Nothing is freed before the call that it could use again.
    let said = std::iter::repeat_with(|| say(&line)).flatten().take(REQUEST_BYTES / 9200);
    let long = request(said.chain([Item::user("go")]).collect());
    let (taken, sent) = taken_by(&long).await;
    println!("a history of {sent} bytes takes {taken} bytes beside it");
    assert!(sent > 16 * MB, "{sent}");
    assert!(taken < sent * 5 / 4, "{taken} of {sent}");

    let bytes = (REQUEST_BYTES / 4 * 3) as u64;
    let attachment = Attachment {
        kind: AttachmentKind::Image,
        sha256: "zeros".to_owned(),
        media_type: "image/png".to_owned(),
        name: String::new(),
        bytes,
    };
    drop(long);
    let item = Item::User { text: "see".to_owned(), attachments: vec![attachment] };
    let seen = Request { blobs: Some(Arc::new(Zeros(bytes))), ..request(vec![item]) };
    let (taken, sent) = taken_by(&seen).await;
    println!("an attachment of {sent} bytes takes {taken} bytes");
    assert!(sent > 16 * MB, "{sent}");
    assert!(taken < 4 * MB, "{taken} of {sent}");
}

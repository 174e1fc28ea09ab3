//! Answers that never end, in time or in bytes.

use std::time::{Duration, Instant};

use super::{
    ask, hello, joined, model,
    server::{EVENTS, Server, Step, once, status, text},
};
use crate::{ModelError, openai::RetryPauses};
use evonic_domain::TurnErrorCode;

/// Each byte comes in time, and the reply never.
#[tokio::test]
async fn a_reply_that_drips_ends_at_the_timeout() {
    let drips = |head: &str| {
        let mut script = vec![Step::Send(head.as_bytes().to_vec())];
        for _ in 0..1000 {
            script.extend([Step::Send(vec![b' ']), Step::Pause(Duration::from_millis(20))]);
        }
        script
    };
    let events = format!("{EVENTS}data: {}\n\n: ", text("Good "));
    let json = "HTTP/1.1 200 OK\r\n\r\n{";
    for head in [events.as_str(), json, "HTTP/1.1 200 OK\r\nx: "] {
        let server = Server::start(vec![drips(head)]).await;
        let model = model(&server, |settings| {
            settings.timeout = Duration::from_millis(500);
            settings.retries = 3;
        });
        let begin = Instant::now();
        let error = ask(&model, &hello()).await.0.unwrap_err();
        assert_eq!(error.code(), TurnErrorCode::ModelTimeout, "{error}");
        let told = "model gpt did not reply within 0.5 s (models.gpt.timeout)";
        assert_eq!(error.to_string(), told);
        assert!(begin.elapsed() < Duration::from_millis(2500), "took {:?}", begin.elapsed());
        server.wait_for_silence().await;
    }
}

/// Retries and their pauses are in the time, too.
#[tokio::test]
async fn retries_end_at_the_timeout() {
    let busy = status("429 Too Many Requests", "retry-after: 1000\r\n", "");
    let server = Server::start(once(busy)).await;
    let mut model = model(&server, |settings| {
        settings.timeout = Duration::from_millis(300);
        settings.retries = 100;
    });
    model.pauses = RetryPauses::new(Duration::from_millis(1), Duration::from_secs(60));
    let error = ask(&model, &hello()).await.0.unwrap_err();
    assert!(matches!(error, ModelError::Timeout { .. }), "{error}");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_not_read_to_its_end() {
    let piece = format!("data: {}\n\n", text(&"x".repeat(1000)));
    let mut script = vec![Step::Send(EVENTS.as_bytes().to_vec())];
    script.extend(vec![Step::Send(piece.repeat(8).into_bytes()); 8]);
    script.push(Step::Hold);
    let server = Server::start(vec![script]).await;
    let model = model(&server, |settings| {
        settings.max_reply_bytes = 20_000;
        settings.retries = 3;
    });
    let (reply, deltas) = ask(&model, &hello()).await;
    let error = reply.unwrap_err();
    assert_eq!(error.code(), TurnErrorCode::ReplyTooLarge);
    let told = "model gpt replied with more than 20000 bytes (models.gpt.max_reply_bytes)";
    assert_eq!(error.to_string(), told);
    assert!(joined(&deltas).len() <= 20_000);
    assert_eq!(server.accepted(), 1, "it is not asked for again");
    server.wait_for_silence().await;
}

/// The body of an error that never ends: its beginning is the message.
#[tokio::test]
async fn an_endless_error_is_cut() {
    let head = "HTTP/1.1 400 Bad Request\r\n\r\n";
    let mut script = vec![Step::Send(format!("{head}no such model ").into_bytes())];
    script.extend(vec![Step::Send(vec![b'x'; 100_000]); 100]);
    script.push(Step::Hold);
    let server = Server::start(vec![script]).await;
    let error = ask(&model(&server, |_| {}), &hello()).await.0.unwrap_err().to_string();
    assert!(error.starts_with("model gpt refused with status 400: no such model xxx"), "{error}");
    assert!(error.len() < 700, "{}", error.len());
}

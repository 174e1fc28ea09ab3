//! Endpoints that break, refuse, stall or talk nonsense.

use std::time::{Duration, Instant};

use evonic_shared::config;
use tokio_util::sync::CancellationToken;

use super::{
    Delta, ask, budget, hello, joined, model, model_within, remote,
    server::{EVENTS, Server, Step, chunked, events, finish, once, status, text},
    settings, used,
};
use crate::{Model, ModelError};

fn good() -> Vec<Step> {
    let data = [text("Good "), text("morning"), finish("stop"), "[DONE]".to_owned()];
    vec![Step::Send(chunked(&data).into_bytes())]
}

fn send(answer: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::Send(answer.into())]
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let cut = chunked(&[text("Good "), text("morning")]);
    let bad = [
        send(status("500 Internal Server Error", "", "{}")),
        send(status("503 Service Unavailable", "", "overloaded")),
        send(status("429 Too Many Requests", "retry-after: 0\r\n", "")),
        send(status("408 Request Timeout", "", "")),
        // Nothing at all, half a head, an empty body, half an event, half a chunk.
        vec![],
        send("HTTP/1.1 200 OK\r\ncontent-ty"),
        send(status("200 OK", "", "")),
        send(format!("{EVENTS}data: {{\"choices\"")),
        send(&cut[..cut.len() - 30]),
        // An end between two chunks, within a character, and within a JSON object.
        send(events(&[text("Good ")])),
        send(&events(&[text("müde")]).as_bytes()[..EVENTS.len() + 52]),
        send("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"choices\": ["),
        send("HTTP/1.0 200 OK\r\n\r\n{\"choices\": ["),
        send(events(&[r#"{"error": {"message": "overloaded", "code": 503}}"#])),
        send(events(&[text("Good "), r#"{"error": {"message": "died"}}"#.to_owned()])),
        // What is no answer may be a gateway's, while what stands behind it restarts.
        send(status("200 OK", "", "<html>hello</html>")),
        send(events(&["{\"choices\": [{\"delta\": 5}]}"])),
        send("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
        // Replies that are not complete.
        send(events(&[finish("stop")])),
        send(events(&["[DONE]"])),
        send(events(&[text(" \n "), finish("stop")])),
        send(events(&[text("Good "), finish("abort")])),
    ];
    for bad in bad {
        let server = Server::start(vec![bad.clone(), good()]).await;
        let model = model(&server, |settings| {
            settings.retries = 1;
            settings.patience = Duration::from_secs(60);
        });
        let (reply, deltas) = ask(&model, &hello()).await;
        assert_eq!(reply.unwrap().text, "Good morning", "after {bad:?}");
        assert_eq!(joined(&deltas), "Good morning", "after {bad:?}: {deltas:?}");
        assert_eq!(server.accepted(), 2, "after {bad:?}");
        assert_eq!(server.client_sockets(), 0);
    }
}

#[tokio::test]
async fn what_does_not_pass_is_not_tried_again() {
    let refused = |answer: String, expected: &'static str| (send(answer), expected);
    for (bad, expected) in [
        refused(
            status("400 Bad Request", "", r#"{"error": {"message": "no such model"}}"#),
            "refused with status 400: no such model",
        ),
        refused(status("401 Unauthorized", "", r#"{"error": "who?"}"#), "status 401: who?"),
        refused(
            status("404 Not Found", "", "<h1>\n  Not\there</h1>"),
            "404: Not here (http://127.0.0.1:",
        ),
        refused(status("422 Unprocessable", "", r#"{"detail": "bad"}"#), "status 422: bad"),
        refused(status("402 Payment Required", "", ""), "status 402: Payment Required"),
        refused(events(&[r#"{"error": {"message": "too odd", "code": "400"}}"#]), "400: too odd"),
    ] {
        let server = Server::start(vec![bad.clone(), good()]).await;
        let model = model(&server, |settings| settings.retries = 3);
        let (reply, deltas) = ask(&model, &hello()).await;
        let error = reply.map_or_else(|error| error.to_string(), |reply| reply.text);
        assert!(error.contains(expected), "{error}\nafter {bad:?}");
        assert!(error.len() < 700, "{error}");
        assert_eq!(deltas, [], "after {bad:?}");
        assert_eq!(server.accepted(), 1, "after {bad:?}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_asked_for_once_more_and_then_told() {
    let many_headers: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let ndjson = "{\"message\": 1, \"done\": false}\n{\"done\": true}\n";
    for (bad, expected) in [
        (events(&["garbage"]), "does not speak Chat Completions: events without JSON: garbage"),
        (events(&["{\"choices\": [{\"delta\": 5}]}"]), "delta is no object"),
        (events(&["[{\"choices\": []}]"]), "a chunk is a list"),
        (status("200 OK", "", "<html>hello</html>"), "neither events nor JSON: <html>hello"),
        (status("200 OK", "", "{\"object\": \"list\"}"), "an answer without a choice"),
        (status("200 OK", "", "{\"choices\": []} x"), "trailing characters"),
        (status("200 OK", "", ndjson), "is base_url its /v1?"),
        (status("200 OK", "content-encoding: gzip\r\n", "x"), "content-encoding gzip"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(), "does not speak Chat Completions"),
        (status("200 OK", &many_headers, ""), "does not speak Chat Completions"),
        (status("200 OK", &format!("x: {}\r\n", "y".repeat(100_000)), ""), "does not speak"),
    ] {
        let server = Server::start(once(bad.clone())).await;
        let model = model(&server, |settings| settings.retries = 3);
        let error = ask(&model, &hello()).await.0.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\nafter {bad:?}");
        assert!(error.len() < 700, "{error}");
        assert_eq!(server.accepted(), 2, "after {bad:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::start(vec![good()]).await;
    let location = format!("location: {}/chat/completions\r\n", other.base_url());
    let server = Server::start(once(status("307 Temporary Redirect", &location, ""))).await;
    let error = ask(&model(&server, |_| {}), &hello()).await.0.unwrap_err();
    assert!(
        matches!(&error, ModelError::Refused { status: 307, message, .. }
        if message.contains(&other.base_url())),
        "{error}"
    );
    assert_eq!((server.accepted(), other.accepted()), (1, 0));
}

#[tokio::test]
async fn pieces_of_a_broken_call_are_retracted() {
    let cut = events(&[text("Good "), text("even")]);
    let server = Server::start(vec![send(cut), good()]).await;
    let (reply, deltas) = ask(&model(&server, |settings| settings.retries = 1), &hello()).await;
    let place = deltas.iter().position(|delta| matches!(delta, Delta::Retract { .. })).unwrap();
    assert_eq!(joined(&deltas[..place]), "Good even");
    let reason = "the answer ended before the reply did".to_owned();
    assert_eq!(deltas[place], Delta::Retract { reason });
    assert_eq!(joined(&deltas[place..]), reply.unwrap().text);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let busy = send(status("429 Too Many Requests", "retry-after: 1\r\n", ""));
    let server = Server::start(vec![busy, good()]).await;
    let patient = |settings: &mut config::Model| settings.patience = Duration::from_secs(60);
    ask(&model(&server, patient), &hello()).await.0.unwrap();
    let requests = server.requests();
    let pause = requests[1].0.duration_since(requests[0].0);
    assert!(pause >= Duration::from_secs(1), "{pause:?}");
}

#[tokio::test]
async fn retries_end() {
    let server = Server::start(once(status("500 Internal Server Error", "", "down"))).await;
    let error =
        ask(&model(&server, |settings| settings.retries = 2), &hello()).await.0.unwrap_err();
    assert_eq!(error.to_string(), "model gpt is unavailable after 3 attempts: status 500: down");
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn nobody_there_is_transient_and_told() {
    let server = Server::start(vec![good()]).await;
    let mut settings = settings(&server.base_url());
    drop(server);
    settings.retries = 1;
    let model = remote(&settings, &budget(1));
    let error = ask(&model, &hello()).await.0.unwrap_err().to_string();
    assert!(error.contains("after 1 attempt: 127.0.0.1:"), "{error}");
    // What of its queue the listener held when it was closed is reset.
    let gone = ["Connection refused", "Connection reset"];
    assert!(gone.iter().any(|words| error.contains(words)), "{error}");
}

#[tokio::test]
async fn a_name_that_is_none_is_told() {
    let settings = settings("http://no-such-host.invalid/v1");
    let model = remote(&settings, &budget(1));
    let error = ask(&model, &hello()).await.0.unwrap_err().to_string();
    assert!(error.contains("no-such-host.invalid cannot be resolved"), "{error}");
}

#[tokio::test]
async fn a_name_is_resolved() {
    let server = Server::start(vec![good()]).await;
    let budget = budget(1);
    let model = model_within(&server, &budget, |settings| {
        settings.base_url = server.base_url().replace("127.0.0.1", "localhost");
    });
    assert_eq!(ask(&model, &hello()).await.0.unwrap().text, "Good morning");
    assert_eq!((used(&budget).descriptors, used(&budget).permits), (0, 0));
}

#[tokio::test]
async fn silence_ends_at_its_timeout() {
    let head = EVENTS.as_bytes().to_vec();
    let begun = format!("{EVENTS}data: {}\n\n", text("Good ")).into_bytes();
    for script in [
        vec![Step::Hold],
        vec![Step::Send(head), Step::Hold],
        vec![Step::Send(begun), Step::Hold],
        vec![Step::Send(b"HTTP/1.1 200 O".to_vec()), Step::Hold],
    ] {
        let server = Server::start(vec![script, good()]).await;
        let model = model(&server, |settings| {
            settings.read_timeout = Duration::from_millis(50);
            settings.retries = 50;
        });
        let (reply, deltas) = ask(&model, &hello()).await;
        assert_eq!(reply.unwrap().text, "Good morning");
        assert_eq!(joined(&deltas), "Good morning");
        assert!(server.accepted() > 1, "silence was waited out");
    }
}

#[tokio::test]
async fn an_endpoint_that_accepts_nothing_ends_at_the_connect_timeout() {
    // A full accept queue: further connections get no answer from the kernel.
    let listener = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&listener, &std::net::SocketAddrV4::new([127, 0, 0, 1].into(), 0)).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address: std::net::SocketAddr =
        rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
    let mut waiting = Vec::new();
    let settings = {
        let mut settings = settings(&format!("http://{address}/v1"));
        settings.connect_timeout = Duration::from_millis(200);
        settings.read_timeout = Duration::from_millis(200);
        settings
    };
    let budget = budget(1);
    let model = remote(&settings, &budget);
    for _ in 0..4 {
        #[expect(clippy::disallowed_methods, reason = "a test fills the queue of its own listener")]
        let connecting = tokio::net::TcpStream::connect(address);
        waiting.push(tokio::time::timeout(Duration::from_millis(50), connecting).await);
    }
    let error = ask(&model, &hello()).await.0.unwrap_err().to_string();
    assert!(error.starts_with("model gpt is unavailable after 1 attempt: "), "{error}");
    assert!(error.contains("timed out") || error.contains("within 0.2 s"), "{error}");
    assert_eq!(used(&budget).descriptors, 0);
}

#[tokio::test]
async fn a_slow_trickle_is_no_silence() {
    let data = [text("slow"), finish("stop"), "[DONE]".to_owned()];
    let script: Vec<Step> = chunked(&data)
        .as_bytes()
        .chunks(2)
        .flat_map(|piece| [Step::Send(piece.to_vec()), Step::Pause(Duration::from_millis(10))])
        .collect();
    let server = Server::start(vec![script]).await;
    let model = model(&server, |settings| settings.read_timeout = Duration::from_secs(1));
    let begin = Instant::now();
    assert_eq!(ask(&model, &hello()).await.0.unwrap().text, "slow");
    assert!(begin.elapsed() > Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_complete_reply_waits_for_no_end() {
    let data = format!("{EVENTS}data: {}\n\ndata: {}\n\n", text("done"), finish("stop"));
    let server = Server::start(vec![vec![Step::Send(data.into_bytes()), Step::Hold]]).await;
    let model = model(&server, |settings| settings.read_timeout = Duration::from_secs(1));
    assert_eq!(ask(&model, &hello()).await.0.unwrap().text, "done");
}

#[tokio::test]
async fn cancelling_closes_the_connection_at_once() {
    let begun = format!("{EVENTS}data: {}\n\n", text("Good ")).into_bytes();
    let server = Server::start(vec![vec![Step::Send(begun), Step::Hold]]).await;
    let budget = budget(1);
    let model = Model::Remote(Box::new(model_within(&server, &budget, |_| {})));
    let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
    let cancel = CancellationToken::new();
    let asking = model.reply(hello(), sender, &cancel);
    let cancelling = async {
        assert!(receiver.recv().await.is_some());
        assert_eq!((server.client_sockets(), used(&budget).descriptors), (1, 1));
        cancel.cancel();
    };
    let (reply, ()) = tokio::join!(asking, cancelling);
    assert!(matches!(reply, Err(ModelError::Cancelled)), "{reply:?}");
    assert_eq!((server.client_sockets(), used(&budget).descriptors), (0, 0));
    server.wait_for_silence().await;
}

#[tokio::test]
async fn no_permit_is_told_in_time() {
    let server = Server::start(vec![vec![Step::Hold]]).await;
    let budget = budget(1);
    let model = model_within(&server, &budget, |settings| {
        settings.connect_timeout = Duration::from_millis(500);
    });
    let request = hello();
    let second = async {
        server.wait_for_requests(1).await;
        ask(&model, &request).await.0
    };
    tokio::select! {
        first = ask(&model, &request) => panic!("the server still holds: {first:?}"),
        second = second => assert!(matches!(second, Err(ModelError::Exhausted(_))), "{second:?}"),
    }
    assert_eq!(server.accepted(), 1);
}

/// An endpoint that breaks off holds up one of those who ask for its window, and not each in turn.
#[tokio::test]
async fn a_window_that_is_not_told_is_asked_for_once() {
    let server = Server::start(vec![vec![]]).await;
    let model = model(&server, |_| {});
    let asked = (0..16).map(|_| model.find_window());
    assert!(futures_util::future::join_all(asked).await.iter().all(Option::is_none));
    assert_eq!(server.accepted(), 1);
}

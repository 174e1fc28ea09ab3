//! How long an endpoint is asked, and when another model is.

use std::{collections::BTreeMap, time::Duration};

use evonic_domain::WaitReason;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Delta, ask, budget, hello, model,
    server::{EVENTS, Server, Step, chunked, events, finish, once, status, text},
    settings,
};
use crate::{ModelError, Models, Reply, Request, Tried};

const MINUTE: Duration = Duration::from_secs(60);

fn good() -> Vec<Step> {
    let data = [text("Good "), text("morning"), finish("stop"), "[DONE]".to_owned()];
    vec![Step::Send(chunked(&data).into_bytes())]
}

fn failing(line: &str) -> Vec<Step> {
    vec![Step::Send(status(line, "", "{}").into_bytes())]
}

/// An address where nobody listens.
async fn nowhere() -> String {
    Server::start(vec![good()]).await.base_url()
}

/// The model `first`, which falls back on `second`, with a patience of a minute each.
fn pair(first: &str, second: &str) -> Models {
    let patient = |url: &str| {
        let pauses = (Duration::from_secs(1), Duration::from_secs(20));
        let (retry_pause, max_retry_pause) = pauses;
        let patience = MINUTE;
        evonic_shared::config::Model { patience, retry_pause, max_retry_pause, ..settings(url) }
    };
    let mut first = patient(first);
    first.fallback = vec!["second".to_owned()];
    let models = [("first".to_owned(), first), ("second".to_owned(), patient(second))];
    Models::new(&BTreeMap::from(models), &budget(4))
}

async fn ask_pair(models: &Models, request: Request) -> Result<Reply, ModelError> {
    let (sender, _receiver) = mpsc::channel(64);
    models.reply("first", request, sender, &CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn waits_are_no_faults() {
    let server = Server::start(vec![failing("500 Internal Server Error"), good()]).await;
    let patient = model(&server, |settings| {
        settings.retries = 1;
        settings.patience = MINUTE;
    });
    let waited = Tried { faults: 0, since: Duration::from_secs(30) };
    let reply = ask(&patient, &Request { tried: waited, ..hello() }).await.0;
    match reply {
        Ok(reply) => assert_eq!(reply.text, "Good morning"),
        Err(ModelError::Later { faults, .. }) => assert_eq!(faults, 1),
        Err(error) => panic!("{error}"),
    }
    let server = Server::start(vec![failing("500 Internal Server Error"), good()]).await;
    let patient = model(&server, |settings| settings.retries = 1);
    let failed = Tried { faults: 1, since: Duration::from_secs(30) };
    let error = ask(&patient, &Request { tried: failed, ..hello() }).await.0.unwrap_err();
    assert!(matches!(error, ModelError::Unavailable { attempts: 1, .. }), "{error}");
}

#[tokio::test]
async fn pauses_grow_over_workers_though_waits_are_no_faults() {
    let server = Server::start(once(status("429 Slow", "", "{}"))).await;
    let model = model(&server, |settings| {
        settings.patience = MINUTE;
        settings.retry_pause = Duration::from_millis(1);
        settings.max_retry_pause = Duration::from_secs(40);
    });
    let tried = Tried { faults: 0, since: Duration::from_secs(17) };
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        match ask(&model, &Request { tried, ..hello() }).await.0 {
            Err(ModelError::Later { after, faults: 0, .. }) => longest = longest.max(after),
            other => panic!("{other:?}"),
        }
    }
    assert!(longest > Duration::from_secs(4), "{longest:?}");
}

#[tokio::test]
async fn an_endpoint_out_of_reach_is_left_for_another_at_once_and_for_a_minute() {
    let second = Server::start(vec![good()]).await;
    let models = pair(&nowhere().await, &second.base_url());
    let begin = Instant::now();
    for _ in 0..3 {
        let reply = ask_pair(&models, hello()).await.unwrap();
        assert_eq!((reply.text.as_str(), reply.model.as_str()), ("Good morning", "second"));
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "took {:?}", begin.elapsed());

    let first = Server::start(vec![failing("503 Service Unavailable")]).await;
    let models = pair(&first.base_url(), &second.base_url());
    ask_pair(&models, hello()).await.unwrap();
    let asked = first.accepted();
    ask_pair(&models, hello()).await.unwrap();
    assert_eq!(first.accepted(), asked, "it is down");
}

#[tokio::test]
async fn who_is_down_is_asked_where_nobody_else_answers() {
    let models = pair(&nowhere().await, &nowhere().await);
    for _ in 0..2 {
        let error = ask_pair(&models, hello()).await.unwrap_err();
        let is_later =
            matches!(error, ModelError::Later { reason: WaitReason::Unavailable, faults: 0, .. });
        assert!(is_later, "{error}");
    }
    let tried = Tried { faults: 0, since: 2 * MINUTE };
    let error = ask_pair(&models, Request { tried, ..hello() }).await.unwrap_err();
    assert!(matches!(error, ModelError::Unavailable { .. }), "it ends: {error}");
}

#[tokio::test]
async fn a_fallback_is_tried_anew() {
    let first = Server::start(once(status("401 Unauthorized", "", "{}"))).await;
    let second = Server::start(once(status("429 Slow", "retry-after: 5\r\n", "{}"))).await;
    let models = pair(&first.base_url(), &second.base_url());
    for (since, waits) in [(MINUTE, true), (2 * MINUTE, false)] {
        let tried = Tried { faults: 0, since };
        let error = ask_pair(&models, Request { tried, ..hello() }).await.unwrap_err();
        assert_eq!(matches!(error, ModelError::Later { .. }), waits, "{error}");
    }
}

#[tokio::test]
async fn a_quota_that_is_spent_is_asked_once_and_another_model_then() {
    let spent = r#"{"type": "error", "error": {"type": "invalid_request_error",
        "message": "Your credit balance is too low to access the API."}}"#;
    let first = Server::start(once(status("400 Bad Request", "", spent))).await;
    let second = Server::start(vec![good()]).await;
    let models = pair(&first.base_url(), &second.base_url());
    assert_eq!(ask_pair(&models, hello()).await.unwrap().text, "Good morning");
    assert_eq!(first.accepted(), 1);
}

#[tokio::test]
async fn an_answer_that_stays_open_behind_its_end_costs_a_moment() {
    let data = format!("{EVENTS}data: {}\n\ndata: {}\n\n", text("done"), finish("stop"));
    let mut script = vec![Step::Send(data.into_bytes())];
    for _ in 0..3000 {
        script.extend([
            Step::Send(b": keep-alive\n\n".to_vec()),
            Step::Pause(Duration::from_millis(20)),
        ]);
    }
    let server = Server::start(vec![script]).await;
    let begin = Instant::now();
    assert_eq!(ask(&model(&server, |_| {}), &hello()).await.0.unwrap().text, "done");
    assert!(begin.elapsed() < Duration::from_secs(10), "took {:?}", begin.elapsed());
}

#[tokio::test]
async fn what_fails_behind_the_end_of_a_reply_costs_nothing() {
    for late in [r#"{"error": {"message": "too late"}}"#, "{broken", r#"{"choices": 5}"#] {
        let data = [text("done"), finish("stop"), late.to_owned()];
        let server = Server::start(once(events(&data))).await;
        let reply = ask(&model(&server, |_| {}), &hello()).await.0;
        assert_eq!(reply.unwrap().text, "done", "{late}");
        assert_eq!(server.accepted(), 1);
    }
    let data = [finish("error"), r#"{"error": {"message": "too odd", "code": 400}}"#.to_owned()];
    let server = Server::start(once(events(&data))).await;
    let error = ask(&model(&server, |_| {}), &hello()).await.0.unwrap_err();
    assert!(error.to_string().contains("too odd"), "it says why: {error}");
}

#[tokio::test]
async fn what_is_asked_again_is_counted() {
    let usage = r#"{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}"#;
    let blank = events(&[text(" "), finish("stop"), usage.to_owned()]);
    let server = Server::start(vec![vec![Step::Send(blank.into_bytes())], good()]).await;
    let priced = model(&server, |settings| (settings.price_input, settings.price_output) = (10, 1));
    let (reply, deltas) = ask(&priced, &hello()).await;
    assert_eq!(reply.unwrap().text, "Good morning");
    let spent: Vec<_> = deltas
        .iter()
        .filter_map(|delta| match delta {
            Delta::Spent(call) => Some(call),
            _ => None,
        })
        .collect();
    assert_eq!(spent.len(), 1);
    assert_eq!((spent[0].usage.input_tokens, spent[0].usage.output_tokens), (7, 3));
    assert_eq!((spent[0].cost, spent[0].model.as_str()), (73, "gpt"));
}

#[tokio::test]
async fn a_call_that_the_limit_cut_before_its_arguments_is_asked_for_again() {
    let call = r#"{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a",
        "function": {"name": "bash", "arguments": ""}}]}}]}"#;
    let cut = events(&[call.replace('\n', " "), finish("length")]);
    let server = Server::start(vec![vec![Step::Send(cut.into_bytes())], good()]).await;
    let reply = ask(&model(&server, |_| {}), &hello()).await.0.unwrap();
    assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("Good morning", 0));
    assert_eq!(server.accepted(), 2);
}

/// A host that nobody knows is final for a check alone.
#[tokio::test]
async fn an_unknown_host_is_final_for_a_check() {
    let mut settings = settings("http://no-such-host.invalid/v1");
    settings.patience = MINUTE;
    let model = super::remote(&settings, &budget(1));
    let request = Request { checks: true, ..hello() };
    let begin = Instant::now();
    let error = ask(&model, &request).await.0.unwrap_err();
    // A machine without a resolver cannot tell.
    if error.to_string().contains("Temporary failure") {
        return;
    }
    assert!(matches!(error, ModelError::Unavailable { attempts: 1, .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10), "took {:?}", begin.elapsed());
}

//! The window that an endpoint tells, over time.

use serde_json::json;

use super::{
    ask, hello, model,
    server::{Server, Step, status},
};

fn list(window: u64) -> Vec<Step> {
    let list = json!({"data": [{"id": "gpt-test", "max_model_len": window}]}).to_string();
    vec![Step::Send(status("200 OK", "", &list).into())]
}

/// An endpoint that was started anew with a larger window is used whole.
#[tokio::test]
async fn what_a_refusal_told_is_asked_again() {
    let message = "maximum context length is 2048 tokens";
    let refusal = json!({"error": {"message": message}}).to_string();
    let refusal = vec![Step::Send(status("400 Bad Request", "", &refusal).into())];
    let server = Server::start(vec![refusal, list(8192), list(16_384)]).await;
    let model = model(&server, |_| {});
    assert!(ask(&model, &hello()).await.0.is_err());
    assert_eq!(model.window(), Some(2048));
    for _ in 0..2 {
        assert_eq!(model.find_window().await, Some(8192));
    }
    assert_eq!(server.accepted(), 2, "it is asked from time to time");
    let _when_next = model.refresh_window().await;
    assert_eq!(model.window(), Some(16_384), "a check asks");
}

#[tokio::test]
async fn what_is_configured_is_not_asked() {
    let server = Server::start(vec![list(8192)]).await;
    let model = model(&server, |settings| settings.context_tokens = Some(4096));
    assert_eq!(model.find_window().await, Some(4096));
    assert_eq!(server.accepted(), 0);
}

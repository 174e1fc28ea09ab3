//! What endpoints of both kinds are really sent of attachments.

use base64::{Engine, prelude::BASE64_STANDARD};
use evonic_tests::{
    pair::{Options, Pair},
    recorder::{Exchange, Recorder},
    scripted::{Scripted, Server},
};
use serde_json::{Value, json};

use crate::client::{png, post, says, upload};

/// More than a piece of the store and a piece of a request, and no multiple of three.
const IMAGE_BYTES: usize = 700_001;

/// A text with what JSON must escape.
const NOTES: &str = "name\t\"Ada\"\r\nold \\ gr\u{fc}n \u{1}\n```\n";

/// Larger than it could be if each of its bytes counted to the window.
fn pdf() -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    bytes.extend((0..3_000_000_u32).map(|number| (number % 253) as u8));
    bytes
}

fn base64(content: &[u8]) -> String {
    BASE64_STANDARD.encode(content)
}

/// A reply of an endpoint of kind `anthropic`.
fn blocks() -> Scripted {
    Scripted::Events(vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message",
            "role": "assistant", "content": [], "model": "scripted", "stop_reason": null,
            "usage": {"input_tokens": 7, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0,
            "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0,
            "delta": {"type": "text_delta", "text": "I see."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ])
}

/// Posts a message with one of each and two more; the requests for their replies.
fn three_turns(kind: &str, reply: Scripted) -> Vec<Exchange> {
    let server = Server::start(vec![reply]);
    let recorder = Recorder::start(server.address);
    let config = format!(
        "[models.remote]\nkind = \"{kind}\"\nbase_url = \"http://{}/v1\"\nmodel = \"scripted\"\n\
         context_tokens = 200000\n",
        recorder.address
    );
    let pair = Pair::start(&Options::config(&config));
    let agent = json!({"name": "seer", "model": "remote", "instructions": "Look."});
    let _made = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let session = pair.session("seer");
    let hash = |media_type: &str, content: &[u8]| {
        let answer = upload(&pair, &session, media_type, content);
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["sha256"].clone()
    };
    let message = json!({"content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "sha256": hash("image/png", &png(IMAGE_BYTES)), "name": "shot.png"},
        {"type": "file", "data": base64(NOTES.as_bytes()), "name": "notes.txt"},
        {"type": "file", "sha256": hash("", &pdf()), "name": "paper.pdf"},
    ]});
    for message in [message, json!({"content": "And now?"}), json!({"content": "And then?"})] {
        let posted = post(&pair, &session, &message);
        assert_eq!(posted.status, 202, "{}", posted.text());
        let turn = pair.wait_for_turn(posted.json()["turn"]["id"].as_str().expect("an id"));
        assert_eq!(turn["state"], "completed", "{turn}");
    }
    let mut exchanges = recorder.exchanges();
    // Neither the list of models nor a count of tokens is a question for a reply.
    exchanges.retain(|exchange| {
        serde_json::from_slice::<Value>(&exchange.body).is_ok_and(|body| body["stream"] == true)
    });
    assert_eq!(exchanges.len(), 3);
    exchanges
}

/// The parts of the message, which is the same in every request; each request begins as the one
/// before. That a body is JSON says that its `Content-Length` is its length.
fn parts(exchanges: &[Exchange], place: usize) -> Value {
    for pair in exchanges.windows(2) {
        let before = pair[0].body.strip_suffix(b"]}").expect("messages stand last");
        assert!(pair[1].body.starts_with(before), "a request begins as the one before");
    }
    let sent: Vec<_> = exchanges
        .iter()
        .map(|exchange| exchange.json()["messages"][place]["content"].clone())
        .collect();
    assert!(sent.windows(2).all(|pair| pair[0] == pair[1]), "it is sent as before");
    sent[0].clone()
}

/// Compares without printing a whole image.
fn assert_same(sent: &Value, expected: &Value) {
    let shortened = |value: &Value| {
        let text = value.to_string();
        text.chars().take(2_000).collect::<String>()
    };
    assert!(sent == expected, "sent: {}\nexpected: {}", shortened(sent), shortened(expected));
}

#[test]
fn an_openai_endpoint_is_shown_each_kind_exactly() {
    let exchanges = three_turns("openai", says("I see."));
    let sent = parts(&exchanges, 1);
    let expected = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image_url",
            "image_url": {"url": format!("data:image/png;base64,{}", base64(&png(IMAGE_BYTES)))}},
        {"type": "text", "text": format!("[File notes.txt]\n{NOTES}")},
        {"type": "file", "file": {"filename": "paper.pdf",
            "file_data": format!("data:application/pdf;base64,{}", base64(&pdf()))}},
    ]);
    assert_same(&sent, &expected);
}

#[test]
fn an_anthropic_endpoint_is_shown_each_kind_exactly() {
    let exchanges = three_turns("anthropic", blocks());
    let sent = parts(&exchanges, 0);
    let source = |media_type: &str, content: &[u8]| json!({"type": "base64", "media_type": media_type, "data": base64(content)});
    let expected = json!([
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": source("image/png", &png(IMAGE_BYTES))},
        {"type": "text", "text": format!("[File notes.txt]\n{NOTES}")},
        {"type": "document", "source": source("application/pdf", &pdf())},
    ]);
    assert_same(&sent, &expected);
}

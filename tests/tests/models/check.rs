//! `evonic model list` and `evonic model check`, and what a turn's error says.

use evonic_tests::{
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};
use serde_json::{Value, json};

use crate::{
    endpoint::{Case, Endpoint},
    said,
};

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

fn events(delta: &Value, finish: &str) -> String {
    let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("{EVENTS}data: {chunk}\n\ndata: [DONE]\n\n")
}

fn json_answer(status: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn cases() -> Vec<Case> {
    let pong = events(&json!({"content": "pong"}), "stop");
    let call = json!({"tool_calls": [{"index": 0, "id": "a", "type": "function",
        "function": {"name": "ping", "arguments": "{\"word\": \"pong\"}"}}]});
    let call = events(&call, "tool_calls");
    let list = json_answer("200 OK", &json!({"data": [{"id": "m", "max_model_len": 4096}]}));
    let not_found = json_answer("404 Not Found", &json!({"detail": "Not Found"}));
    let key = json_answer("401 Unauthorized", &json!({"error": {"message": "who is it?"}}));
    let low = json!({"error": {"message": "Your credit balance is too low."}});
    let spent = json_answer("400 Bad Request", &low);
    let slow = "HTTP/1.1 429 Slow\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n";
    let reasoning = events(&json!({"reasoning_content": "hm"}), "stop");
    let page =
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>log in";
    vec![
        Case::new("good", &[&pong, &call, &list]),
        Case::new("mute", &[&pong, &pong, &list]),
        Case::new("astray", &[&not_found]),
        Case::new("stranger", &[&key]),
        Case::new("spent", &[&spent]),
        Case::new("limited", &[slow]),
        Case::new("thinker", &[&reasoning]),
        Case::new("page", &[page]),
    ]
}

#[test]
fn a_model_is_listed_and_checked_and_each_fault_says_what_to_do() {
    let endpoint = Endpoint::start(cases());
    let mut config: String = ["mute", "astray", "stranger", "spent", "limited", "thinker", "page"]
        .map(|name| endpoint.model(name, ""))
        .concat();
    config += &endpoint.model("good", "fallback = [\"mute\"]");
    config += "\n[models.keyless]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n\
               key_env = \"EVONIC_NO_SUCH_KEY\"\n";
    config += "\n[models.nobody]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"m\"\n\
               patience = \"0s\"\n";
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    config += &format!(
        "\n[models.silent]\nbase_url = \"http://{}/v1\"\nmodel = \"m\"\nretries = 0\n\
         first_token_timeout = \"300ms\"\n",
        silent.local_addr().expect("an address")
    );
    let pair = Pair::start(&Options::config(&config));

    let listed = said(&pair.evonic(&["model", "list"]));
    for words in ["good", "openai", "runbook", "no: evonic model check says why"] {
        assert!(listed.contains(words), "{listed}");
    }
    let listed: Value =
        serde_json::from_slice(&pair.evonic(&["model", "list", "--json"]).stdout).expect("JSON");
    let good = |list: &Value| {
        list.as_array()
            .expect("a list")
            .iter()
            .find(|model| model["name"] == "good")
            .expect("it is listed")
            .clone()
    };
    assert_eq!(good(&listed)["fallback"], json!(["mute"]));
    assert_eq!(good(&listed)["window"], Value::Null);

    let checked = pair.evonic(&["model", "check", "good"]);
    let words = said(&checked);
    assert_eq!(checked.status.code(), Some(0), "{words}");
    for expected in ["it replied \"pong\"", "it called the tool", "4096 tokens"] {
        assert!(words.contains(expected), "{words}");
    }
    let listed: Value =
        serde_json::from_slice(&pair.evonic(&["model", "list", "--json"]).stdout).expect("JSON");
    assert_eq!(good(&listed)["window"], 4096, "what was learnt is shown");
    let checked = pair.evonic(&["model", "check", "runbook"]);
    assert_eq!(checked.status.code(), Some(0), "{}", said(&checked));

    for (name, row, advice) in [
        ("astray", "refused with status 404: … was asked)", "check base_url"),
        ("stranger", "refused with status 401: …", "check the key, and key_header"),
        (
            "spent",
            "the quota of model … is spent: status …",
            "check the plan and the quota of the key",
        ),
        (
            "keyless",
            "key of model … cannot be read from environment variable … (models.….key_env): it is not set",
            "put the key where key_env",
        ),
        (
            "nobody",
            "is unavailable after … cannot be connected: Connection refused",
            "start the endpoint, or correct base_url: http://127.0.0.1:9/v1/chat/completions was",
        ),
        (
            "limited",
            "it asks to come back in … s, and models.….patience is … s",
            "start the endpoint",
        ),
        ("thinker", "did not complete its reply: nothing but reasoning came", "raise max_tokens"),
        (
            "page",
            "does not speak Chat Completions: neither events nor JSON: …",
            "check base_url and kind",
        ),
        ("mute", "it replied with text and called no tool", "take a model that can call tools"),
    ] {
        let checked = pair.evonic(&["model", "check", name]);
        let words = said(&checked);
        assert_eq!(checked.status.code(), Some(1), "{name}: {words}");
        assert_documented(row, &words);
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(advice), "{name}: {words}");
    }
    let words = said(&pair.evonic(&["model", "check", "silent"]));
    assert_documented("no token within … s (models.….first_token_timeout)", &words);
    let missing = pair.evonic(&["model", "check", "nowhere"]);
    assert!(said(&missing).contains("no model nowhere"), "{}", said(&missing));
}

#[test]
fn a_model_falls_back_on_another_one_that_answers() {
    let endpoint = Endpoint::start(vec![
        Case::new("stranger", &[&json_answer("401 Unauthorized", &json!({"error": "who?"}))]),
        Case::new("good", &[&events(&json!({"content": "pong"}), "stop")]),
    ]);
    let config = endpoint.model("stranger", "fallback = [\"good\"]") + &endpoint.model("good", "");
    let pair = Pair::start(&Options::config(&config));
    let agent = json!({ "name": "helper", "model": "stranger" });
    let _ = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let session = pair.session("helper");
    let turn = pair.wait_for_turn(&pair.post(&session, "ping"));
    assert_eq!(turn["state"], "completed", "{turn}");
    assert_eq!((endpoint.asked("stranger").len(), endpoint.asked("good").len()), (1, 1));
}

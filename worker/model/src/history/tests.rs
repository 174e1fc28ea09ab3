//! What is sent is valid by each endpoint's rules, whatever became of earlier turns, and begins as
//! what was sent before. The checkers are written from the endpoints' documentation.

mod checkers;

use std::sync::Arc;

use evonic_domain::{
    Carried, Effect, Ending, Item, ItemAddress, ItemRange, Outcome, ToolCall, ToolSpec, Usage,
};
use evonic_shared::config::ModelKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    Request, anthropic,
    body::JsonWriter,
    openai,
    remote::testing::{ENDPOINT, sending, sending_with, settings},
};

/// The body of a request, as text.
fn written(kind: ModelKind, request: &Request) -> String {
    let mut json = JsonWriter::default();
    sending(kind, |sending| match kind {
        ModelKind::OpenAi => openai::write(request, sending, &mut json),
        ModelKind::Anthropic => anthropic::write(request, sending, true, &mut json),
    });
    json.finish(None).text()
}

fn body(kind: ModelKind, request: &Request) -> Value {
    serde_json::from_str(&written(kind, request)).unwrap()
}

fn request(items: Vec<Item>) -> Request {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: "Does it.".to_owned(),
        schema: json!({"type": "object"}),
        effect: Effect::Change,
        ending: Ending::Own,
    };
    let tools = vec![tool("bash"), tool("mcp.server/read file"), tool("mcp.server/read_file")];
    let instructions = "Be brief.".to_owned();
    Request { instructions, items: Arc::new(items), tools, ..Request::default() }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z \"\\\\é]{1,12}",
        1 => Just(String::new()),
        1 => Just(" \n\t".to_owned()),
        1 => any::<String>(),
    ]
}

/// Ids of this endpoint fit it; those of others are what others give.
fn id(own: bool) -> BoxedStrategy<String> {
    if own {
        return "[a-c][A-Z0-9]{7}[x-z]".boxed();
    }
    prop_oneof![
        2 => "call_[a-c]",
        1 => "toolu_[a-z0-9]{20,60}",
        1 => Just(String::new()),
        1 => any::<String>(),
        1 => "[a-z0-9]{9}",
    ]
    .boxed()
}

fn call(own: bool) -> impl Strategy<Value = ToolCall> {
    let name = prop_oneof![
        3 => Just("bash".to_owned()),
        1 => Just("mcp.server/read file".to_owned()),
        1 => Just("bash<|channel|>commentary".to_owned()),
        1 => any::<String>(),
    ];
    let arguments = prop_oneof![
        3 => Just("{\"command\": \"true\"}".to_owned()),
        1 => Just("{\"half\": ".to_owned()),
        1 => Just("{\"half\": \"\\ud83d\"}".to_owned()),
        1 => Just("[1]".to_owned()),
        1 => any::<String>(),
    ];
    (id(own), name, arguments).prop_map(|(id, name, arguments)| ToolCall { id, name, arguments })
}

fn assistant() -> impl Strategy<Value = Item> {
    any::<bool>().prop_flat_map(|own| {
        let calls = prop::collection::vec(call(own), 0..4);
        (text(), calls, any::<bool>()).prop_map(move |(text, mut calls, thinks)| {
            // Ids of a reply differ from each other.
            let mut seen = Vec::new();
            calls.retain(|call| {
                !seen.contains(&call.id) && {
                    seen.push(call.id.clone());
                    true
                }
            });
            let mut blocks =
                vec![json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"})];
            blocks.push(json!({"text": text.len()}));
            blocks.extend(calls.iter().map(|_| json!("call")));
            let endpoint = if own { ENDPOINT } else { "elsewhere" }.to_owned();
            let data = if thinks { json!({ "blocks": blocks }) } else { Value::Null };
            let carried = Some(Carried { endpoint, data });
            Item::Assistant {
                text,
                tool_calls: calls,
                usage: Usage::default(),
                model: String::new(),
                cost: 0,
                carried,
            }
        })
    })
}

/// One item; a result answers the n-th call so far, or none.
#[derive(Clone, Debug)]
enum Generated {
    Item(Item),
    Result(prop::sample::Index, String),
}

fn generated() -> impl Strategy<Value = Generated> {
    let range = ItemRange {
        first: ItemAddress { turn: 1, item: 0 },
        last: ItemAddress { turn: 4, item: 2 },
    };
    prop_oneof![
        3 => text().prop_map(Item::user).prop_map(Generated::Item),
        4 => assistant().prop_map(Generated::Item),
        5 => (any::<prop::sample::Index>(), text()).prop_map(|(at, text)| Generated::Result(at, text)),
        1 => text().prop_map(move |text| Generated::Item(Item::Summary { text, range })),
        1 => Just(Generated::Item(Item::LeftOut { range })),
    ]
}

/// Histories with cancels, failures, takeovers, compactions and changes of the model: any order.
fn history() -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(generated(), 0..16).prop_map(|drawn| {
        let mut items: Vec<Item> = Vec::new();
        for drawn in drawn {
            let item = match drawn {
                Generated::Item(item) => item,
                Generated::Result(at, content) => {
                    let calls: Vec<ToolCall> = items
                        .iter()
                        .rev()
                        .find_map(|item| match item {
                            Item::Assistant { tool_calls, .. } => Some(tool_calls.clone()),
                            _ => None,
                        })
                        .unwrap_or_default();
                    let id = match calls.is_empty() {
                        true => "nobody's".to_owned(),
                        false => calls[at.index(calls.len())].id.clone(),
                    };
                    let (name, outcome) = ("bash".to_owned(), Outcome::Ok);
                    Item::ToolResult { call_id: id, name, outcome, content }
                }
            };
            items.push(item);
        }
        items
    })
}

/// Whether one text is the beginning of another, but for the brackets that close it.
fn begins(text: &str, longer: &str) -> bool {
    let same = text.bytes().zip(longer.bytes()).take_while(|(a, b)| a == b).count();
    text[same..].bytes().all(|byte| b"\"]}".contains(&byte))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn what_is_sent_is_valid_by_the_rules_of_each_endpoint(items in history()) {
        let request = request(items);
        let completions = body(ModelKind::OpenAi, &request);
        for (endpoint, check) in [
            ("OpenAI", checkers::openai as fn(&Value) -> Result<(), String>),
            ("Mistral", checkers::mistral),
            ("Gemini", checkers::gemini),
        ] {
            let checked = check(&completions);
            prop_assert!(checked.is_ok(), "{endpoint}: {checked:?}\n{completions:#}");
        }
        let messages = body(ModelKind::Anthropic, &request);
        let checked = checkers::anthropic(&messages);
        prop_assert!(checked.is_ok(), "Anthropic: {checked:?}\n{messages:#}");
        // A summary is asked for without tools.
        let bare = body(ModelKind::Anthropic, &Request { tools: Vec::new(), ..request });
        let checked = checkers::anthropic(&bare);
        prop_assert!(checked.is_ok(), "Anthropic, without tools: {checked:?}\n{bare:#}");
    }

    #[test]
    fn what_is_sent_begins_as_what_was_sent_before(items in history()) {
        for kind in [ModelKind::OpenAi, ModelKind::Anthropic] {
            let whole = written(kind, &request(items.clone()));
            for place in 0..items.len() {
                let asks = matches!(
                    items[place],
                    Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. }
                );
                if asks {
                    let before = written(kind, &request(items[..=place].to_vec()));
                    prop_assert!(begins(&before, &whole), "{place}\n{before}\n{whole}");
                }
            }
        }
    }
}

#[test]
fn a_request_with_results_begins_as_the_one_that_they_answer() {
    let call = |id: &str| ToolCall {
        id: id.to_owned(),
        name: "bash".to_owned(),
        arguments: "{}".to_owned(),
    };
    let result = |id: &str| Item::ToolResult {
        call_id: id.to_owned(),
        name: "bash".to_owned(),
        outcome: Outcome::Ok,
        content: "fine".to_owned(),
    };
    let items = vec![
        Item::user("go"),
        Item::assistant("", vec![call("aaaaaaaa1"), call("aaaaaaaa2")]),
        result("aaaaaaaa1"),
        result("aaaaaaaa2"),
        Item::assistant("done", Vec::new()),
        Item::user("more"),
        Item::assistant("", vec![call("aaaaaaaa3")]),
        result("aaaaaaaa3"),
        Item::user("the turn was cancelled"),
    ];
    for kind in [ModelKind::OpenAi, ModelKind::Anthropic] {
        let bodies: Vec<_> =
            [1, 4, 6, 8, 9].map(|end| written(kind, &request(items[..end].to_vec()))).into();
        for pair in bodies.windows(2) {
            assert!(begins(&pair[0], &pair[1]), "{}\n{}", pair[0], pair[1]);
        }
    }
}

#[test]
fn names_of_tools_fit_and_differ() {
    let request = request(vec![Item::user("go")]);
    let names: Vec<String> =
        super::sent_names(&request).into_iter().map(|(_, name)| name.into_owned()).collect();
    assert_eq!(names[..2], ["bash", "mcp_server_read_file"]);
    assert!(names[2].starts_with("mcp_server_read_file_") && names[2].len() <= 64, "{names:?}");
}

#[test]
fn a_turn_that_another_model_began_is_ended_without_thinking() {
    let call = ToolCall { id: "x".to_owned(), name: "bash".to_owned(), arguments: "{}".to_owned() };
    let result = Item::ToolResult {
        call_id: "x".to_owned(),
        name: "bash".to_owned(),
        outcome: Outcome::Ok,
        content: "fine".to_owned(),
    };
    let thinking = |items: Vec<Item>| {
        let mut settings = settings(ModelKind::Anthropic);
        settings.reasoning_effort = Some("high".to_owned());
        let mut json = JsonWriter::default();
        let facts = evonic_domain::ModelFacts::default();
        sending_with(&settings, &facts, |sending| {
            anthropic::write(&request(items), sending, true, &mut json);
        });
        let body: Value = serde_json::from_str(&json.finish(None).text()).unwrap();
        assert_eq!(body["output_config"]["effort"], "high");
        body.get("thinking").is_some()
    };
    let foreign = Item::assistant("", vec![call]);
    assert!(!thinking(vec![Item::user("go"), foreign.clone(), result.clone()]));
    assert!(thinking(vec![Item::user("go"), foreign, result, Item::user("again")]));
}

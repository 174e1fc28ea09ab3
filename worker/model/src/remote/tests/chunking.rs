//! How an answer is cut into pieces does not matter, and no answer makes the reader panic.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;

use super::server::{finish, text};
use crate::{
    openai::{self, MAX_CALLS},
    remote::{Answer, Assembly, Failure, Finished, Terms},
};

const MAX_REPLY_BYTES: usize = 1 << 20;

/// The kind of a failure; what it repeats of the answer depends on how much of it came at once.
fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Exhausted(_) => "exhausted",
        Failure::Transient { .. } => "transient",
        Failure::Busy { .. } => "busy",
        Failure::Attachment { .. } => "attachment",
        Failure::TooLong { .. } => "too long",
        Failure::Incomplete { .. } => "incomplete",
        Failure::Slow { .. } => "slow",
        Failure::Unconnected { .. } => "unconnected",
        Failure::UnknownHost { .. } => "unknown host",
        Failure::Spent { .. } => "spent",
        Failure::Unreachable { .. } => "unreachable",
        Failure::Refused { .. } => "refused",
        Failure::TooLarge { .. } => "too large",
        Failure::Protocol { .. } => "protocol",
    }
}

/// An answer that has not begun, of a transcript with these ids.
fn answer(taken: &[&str]) -> Answer {
    let taken = taken.iter().map(|id| (*id).to_owned()).collect();
    let terms = Terms { limit: MAX_REPLY_BYTES, taken, ..Terms::default() };
    Answer::new(Assembly::OpenAi(openai::Assembly::new(terms)), MAX_REPLY_BYTES)
}

/// Reads an answer in these pieces: the text that came, and the reply.
fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (String, Result<Finished, &'static str>) {
    let mut stream = answer(&[]);
    let mut came = String::new();
    for piece in pieces {
        if stream.is_done() {
            break;
        }
        match stream.push(piece) {
            Ok(added) => came.push_str(&added.text),
            Err(failure) => return (came, Err(kind(&failure))),
        }
    }
    match stream.end() {
        Ok((reply, rest)) => (came + &rest.text, Ok(reply)),
        Err(failure) => (came, Err(kind(&failure))),
    }
}

fn events(data: &[String], line_end: &str) -> Vec<u8> {
    let event = |data: &String| format!(": ping{line_end}data: {data}{line_end}{line_end}");
    data.iter().map(event).collect::<String>().into_bytes()
}

fn call(index: usize, id: &str, name: &str, arguments: &str) -> String {
    let function = json!({"name": name, "arguments": arguments});
    let call = json!({"index": index, "id": id, "function": function});
    json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string()
}

fn datum() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<String>().prop_map(|piece| text(&piece)),
        3 => (0..4_usize, "[a-c]{0,2}", "[a-c]{0,2}", any::<String>())
            .prop_map(|(index, id, name, arguments)| call(index, &id, &name, &arguments)),
        1 => prop::sample::select(vec!["stop", "length", "content_filter", "error", ""])
            .prop_map(finish),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(sent, came)| {
            json!({"choices": [], "usage": {"prompt_tokens": sent, "completion_tokens": came}})
                .to_string()
        }),
        1 => prop::sample::select(vec![
            "[DONE]", "{}", "null", "{", "garbage", r#"{"error": "broken"}"#,
            r#"{"choices": null, "usage": null}"#, r#"{"choices": [{"delta": null}]}"#,
        ])
        .prop_map(str::to_owned),
    ]
}

/// Pieces of these bytes, cut at these places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut last = 0;
    let piece = |place| &bytes[std::mem::replace(&mut last, place)..place];
    places.into_iter().map(piece).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_cut_gives_the_same_reply(
        data in prop::collection::vec(datum(), 0..12),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = events(&data, line_end);
        let (whole_text, whole) = read([bytes.as_slice()]);
        let (cut_text, pieces) = read(cut(&bytes, &places));
        let (_, single) = read(bytes.chunks(1));
        prop_assert_eq!(&pieces, &whole);
        prop_assert_eq!(&single, &whole);
        if let Ok(reply) = whole {
            prop_assert_eq!(&whole_text, &reply.text);
            prop_assert_eq!(&cut_text, &reply.text);
            let ids: HashSet<&str> = reply.tool_calls.iter().map(|call| call.id.as_str()).collect();
            prop_assert_eq!(ids.len(), reply.tool_calls.len());
            prop_assert!(!ids.contains(""));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        begin in prop::sample::select(vec!["", "data: ", "{", "data: {\"choices\": ["]),
    ) {
        let bytes = [begin.as_bytes(), &bytes].concat();
        let (_, whole) = read([bytes.as_slice()]);
        let (_, single) = read(bytes.chunks(1));
        prop_assert_eq!(whole, single);
    }
}

fn calls(data: &[String]) -> Vec<(String, String, String)> {
    let reply = read([events(data, "\n").as_slice()]).1.unwrap();
    let parts = |call: evonic_domain::ToolCall| (call.id, call.name, call.arguments);
    reply.tool_calls.into_iter().map(parts).collect()
}

fn parts(calls: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    let owned = |call: &(&str, &str, &str)| (call.0.into(), call.1.into(), call.2.into());
    calls.iter().map(owned).collect()
}

#[test]
fn calls_of_endpoints_with_habits_of_their_own_are_told_apart() {
    // Every call is numbered 0.
    let data = [call(0, "x", "a", "{}"), call(0, "y", "b", "{\"k\":1}"), finish("stop")];
    assert_eq!(calls(&data), parts(&[("x", "a", "{}"), ("y", "b", "{\"k\":1}")]));
    // The name and the id are repeated in every piece.
    let data = [call(0, "x", "a", "{\"k\""), call(0, "x", "a", ":1}"), finish("stop")];
    assert_eq!(calls(&data), parts(&[("x", "a", "{\"k\":1}")]));
    // No numbers, whole calls, arguments that are an object, ids that are null.
    let call = json!({"id": null, "function": {"name": "a", "arguments": {"k": 1}}});
    let both = json!({"choices": [{"delta": {"tool_calls": [call, call]}}]}).to_string();
    let expected = parts(&[("call00001", "a", "{\"k\":1}"), ("call00002", "a", "{\"k\":1}")]);
    assert_eq!(calls(&[both, finish("stop")]), expected);
}

#[test]
fn ids_are_made_where_they_are_missing_or_taken() {
    let data = [
        call(0, "", "a", ""),
        call(1, "x", "b", "{}"),
        call(2, "x", "c", "{}"),
        call(3, "call00001", "d", "{}"),
        finish("stop"),
    ];
    let expected = [
        ("call00002", "a", "{}"),
        ("x", "b", "{}"),
        ("call00003", "c", "{}"),
        ("call00001", "d", "{}"),
    ];
    assert_eq!(calls(&data), parts(&expected));
    // What an earlier reply of the transcript used is taken.
    let mut stream = answer(&["call00001", "call00002"]);
    stream.push(&events(&[call(0, "call00001", "a", "{}"), finish("stop")], "\n")).unwrap();
    let (reply, _) = stream.end().unwrap();
    assert_eq!(reply.tool_calls[0].id, "call00003");
}

/// The failure of the first of these chunks that is refused.
fn refused(data: &[String]) -> Failure {
    let mut stream = answer(&[]);
    let mut chunks = data.iter().map(|datum| events(std::slice::from_ref(datum), "\n"));
    chunks.find_map(|chunk| stream.push(&chunk).err()).expect("one is refused")
}

#[test]
fn a_reply_is_bounded() {
    let many: Vec<String> = (0..=MAX_CALLS).map(|n| call(n, "", "a", "")).collect();
    assert!(matches!(refused(&many), Failure::Protocol { .. }));
    let half = "x".repeat(MAX_REPLY_BYTES / 2);
    for data in [vec![text(&half); 3], vec![call(0, "", "a", &half); 3]] {
        let failure = refused(&data);
        assert!(matches!(failure, Failure::TooLarge { limit: MAX_REPLY_BYTES }), "{failure:?}");
    }
    // One line that never ends, and one JSON object that never ends.
    for begin in ["data: ", "{\"choices\": \""] {
        let mut stream = answer(&[]);
        stream.push(begin.as_bytes()).unwrap();
        let pushed = (1..).find_map(|n| stream.push(half.as_bytes()).err().map(|error| (n, error)));
        assert!(matches!(pushed, Some((8, Failure::Protocol { .. }))), "{pushed:?}");
    }
}

/// What is small as text and large once it is built.
#[test]
fn the_values_of_a_chunk_are_bounded() {
    let most = 60_000;
    let lists = |list: &str| {
        [
            format!("{{\"choices\": [{list}]}}"),
            format!("{{\"choices\": [{{\"delta\": {{\"tool_calls\": [{list}]}}}}]}}"),
            format!("{{\"choices\": [{{\"delta\": {{\"content\": [{list}]}}}}]}}"),
            format!(
                "{{\"choices\": [{{\"delta\": {{\"tool_calls\": [{{\"function\": \
                 {{\"name\": \"a\", \"arguments\": [{list}]}}}}]}}}}]}}"
            ),
            format!("{{\"error\": [{list}]}}"),
        ]
    };
    for chunk in lists(&vec!["{}"; most * 2].join(",")) {
        assert!(chunk.len() < MAX_REPLY_BYTES);
        let failure = refused(&[chunk]);
        let Failure::Protocol { message } = &failure else { panic!("{failure:?}") };
        assert_eq!(message, "a chunk of more than 65536 values");
    }
    // Commas within a text are none of its values.
    let mut stream = answer(&[]);
    let commas = ",".repeat(most * 2);
    assert_eq!(stream.push(&events(&[text(&commas)], "\n")).unwrap().text, commas);
}

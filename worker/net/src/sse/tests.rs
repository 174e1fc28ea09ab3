use proptest::prelude::*;

use super::*;

fn decode(pieces: &[&[u8]]) -> Vec<Result<Event, SseError>> {
    let mut decoder = Decoder::default();
    pieces.iter().flat_map(|piece| decoder.push(piece).collect::<Vec<_>>()).collect()
}

fn event(id: Option<&str>, event: &str, data: &str) -> Result<Event, SseError> {
    Ok(Event { id: id.map(str::to_owned), event: event.to_owned(), data: data.to_owned() })
}

#[test]
fn the_examples_of_the_standard() {
    for (stream, expected) in [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![event(None, "message", "YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            vec![
                event(Some("1"), "message", "first event"),
                event(Some(""), "message", "second event"),
            ],
        ),
        (
            "data\n\ndata\ndata\n\ndata:",
            vec![event(None, "message", ""), event(None, "message", "\n")],
        ),
        ("data:test\n\ndata: test\n\n", vec![event(None, "message", "test"); 2]),
        (
            "event: add\ndata: 1\n\ndata: 2\n\n",
            vec![event(None, "add", "1"), event(None, "message", "2")],
        ),
        ("\u{feff}data: x\n\n", vec![event(None, "message", "x")]),
        ("data: a\u{0}b\nid: a\u{0}b\n\n", vec![event(None, "message", "a\u{0}b")]),
        ("id: 7\nevent: gone\n\ndata: y\n\n", vec![event(Some("7"), "message", "y")]),
    ] {
        assert_eq!(decode(&[stream.as_bytes()]), expected, "{stream:?}");
        for ending in ["\r", "\r\n"] {
            let stream = stream.replace('\n', ending);
            assert_eq!(decode(&[stream.as_bytes()]), expected, "{stream:?}");
        }
    }
}

#[test]
fn retry_is_kept_when_it_is_a_number() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.push(b"retry: 250\n\nretry: soon\n\nretry: -1\n\n").count(), 0);
    assert_eq!(decoder.retry_ms(), Some(250));
}

#[test]
fn an_event_that_is_too_large_ends_the_stream() {
    let mut decoder = Decoder::with_limit(16);
    let too_large = Err(SseError::TooLarge { limit: 16 });
    let stream = b"data: 1\n\ndata: 456789\ndata: 0123456789\n\n";
    let events: Vec<_> = decoder.push(stream).collect();
    assert_eq!(events, [event(None, "message", "1"), too_large]);
    assert_eq!(decoder.push(b"data: 2\n\n").count(), 0);
    let long = format!("id: {}\n\n", "x".repeat(MAX_NAME_BYTES + 1));
    assert_eq!(decode(&[long.as_bytes()]), [Err(SseError::NameTooLong)]);
}

#[test]
fn events_that_were_not_taken_come_first_the_next_time() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.push(b"data: 1\n\ndata: 2\n\n").next(), Some(event(None, "message", "1")));
    let rest: Vec<_> = decoder.push(b"data: 3\n\n").collect();
    assert_eq!(rest, [event(None, "message", "2"), event(None, "message", "3")]);
}

/// A line of a stream, rather likely one that means something.
fn line() -> impl Strategy<Value = String> {
    let field = "(data|id|event|retry|:|datum)?:? ?[a-z0-9\u{e4} :]{0,12}";
    (field, "(\n|\r|\r\n|\n\n|\r\n\r\n)").prop_map(|(text, end)| text + &end)
}

proptest! {
    #[test]
    fn where_a_stream_is_cut_makes_no_difference(
        lines in proptest::collection::vec(line(), 0..30),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let stream = lines.concat().into_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect();
        prop_assert_eq!(decode(&pieces), decode(&[&stream]));
    }

    #[test]
    fn no_bytes_panic_and_bounds_hold(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..16),
    ) {
        let mut decoder = Decoder::with_limit(64);
        for piece in &pieces {
            for event in decoder.push(piece).flatten() {
                // A byte that is no UTF-8 becomes three.
                prop_assert!(event.data.len() <= 3 * 64);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(events in proptest::collection::vec(
        (any::<u64>(), "[a-z.]{1,20}", "[^\r\n]{0,60}"), 0..10,
    )) {
        let stream: String = events
            .iter()
            .map(|(id, name, data)| format!("id: {id}\nevent: {name}\ndata: {data}\n\n"))
            .collect();
        let expected: Vec<_> = events
            .iter()
            .map(|(id, name, data)| event(Some(&id.to_string()), name, data))
            .collect();
        prop_assert_eq!(decode(&[stream.as_bytes()]), expected);
    }
}

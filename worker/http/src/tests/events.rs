//! The event stream.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use super::{
    client::Client,
    worker::{Worker, whole},
};

fn open(worker: &Worker, session: &str, query: &str, headers: &str) -> Client {
    let mut client = worker.connect();
    let head = worker.head("GET", &format!("/api/v1/sessions/{session}/events{query}"));
    client.send(format!("{head}{headers}\r\n"));
    let reply = client.head().unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    client
}

/// Reads until the text so far satisfies `enough`.
fn read_until<S: Read + Write>(client: &mut Client<S>, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    while !enough(&text) {
        let piece = client.chunk().unwrap().unwrap_or_else(|| panic!("ended after {text:?}"));
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    text
}

fn without_heartbeats(text: &str) -> String {
    text.replace(": \n\n", "")
}

const SOME_WORK: &str = "$ for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done\nshow\n$ echo done";

#[test]
fn a_stream_resumes_byte_for_byte_from_every_event() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, SOME_WORK);
    // Live, from before the first delta to the turn's end.
    let live = whole(&mut open(&worker, &session, &format!("?until_turn={turn}"), ""));
    let live = without_heartbeats(&live);
    let events: Vec<&str> = live.split_inclusive("\n\n").collect();
    assert!(events.len() > 6, "{live}");
    assert!(events[0].starts_with("id: 1\nevent: message.created\ndata: {"), "{live}");
    assert!(events.last().unwrap().contains("\nevent: turn.completed\n"), "{live}");
    for (index, event) in events.iter().enumerate() {
        assert!(event.starts_with(&format!("id: {}\nevent: ", index + 1)), "{event}");
    }
    // From the log, resumed after each of them, by header and by parameter.
    for cut in 0..events.len() {
        let rest: String = events[cut..].concat();
        let (by_header, by_query) = (
            open(
                &worker,
                &session,
                &format!("?after=1&until_turn={turn}"),
                &format!("last-event-id: {cut}\r\n"),
            ),
            open(&worker, &session, &format!("?after={cut}&until_turn={turn}"), ""),
        );
        for mut stream in [by_header, by_query] {
            assert_eq!(without_heartbeats(&whole(&mut stream)), rest, "after {cut}");
        }
    }
    // After its last event there is nothing left to wait for.
    let all = events.len();
    let query = format!("?after={all}&until_turn={turn}");
    assert_eq!(whole(&mut open(&worker, &session, &query, "")), "");
}

#[test]
fn followers_of_a_busy_session_all_see_the_same() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ seq 1 3000\n$ seq 1 3000");
    let query = format!("?until_turn={turn}");
    let mut streams: Vec<_> = (0..8).map(|_| open(&worker, &session, &query, "")).collect();
    let seen: Vec<_> =
        streams.iter_mut().map(|stream| without_heartbeats(&whole(stream))).collect();
    let log = without_heartbeats(&whole(&mut open(&worker, &session, &query, "")));
    for (index, seen) in seen.iter().enumerate() {
        assert!(*seen == log, "follower {index} saw something else");
    }
}

#[test]
fn a_cursor_beyond_the_end_is_reset() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ true");
    worker.ended(&turn);
    let path = format!("/api/v1/sessions/{session}");
    let last = worker.fetch(&path).json()["last_event"].as_u64().unwrap();
    let mut stream = open(&worker, &session, "?after=999999", "");
    let text = read_until(&mut stream, |text| text.ends_with("\n\n"));
    assert_eq!(
        text,
        format!(
            "id: {last}\nevent: reset\ndata: {{\"last_event\":{last},\"reason\":\"ahead\"}}\n\n"
        )
    );
    worker.say(&session, "$ true");
    let next = read_until(&mut stream, |text| text.contains("message.created"));
    assert!(without_heartbeats(&next).starts_with(&format!("id: {}\n", last + 1)), "{next}");
}

#[test]
fn silence_is_broken_by_comments() {
    let worker = Worker::new(|config| config.http.sse_heartbeat = Duration::from_millis(50));
    let session = worker.session("ops");
    let mut stream = open(&worker, &session, "", "");
    assert_eq!(read_until(&mut stream, |text| text.len() >= 12), ": \n\n: \n\n: \n\n");
}

#[test]
fn bad_cursors_are_refused() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let path = format!("/api/v1/sessions/{session}/events");
    for query in ["?after=x", "?after=-1", "?until_turn=x", "?until=1"] {
        worker.fetch(&format!("{path}{query}")).problem(400);
    }
    let head = worker.head("GET", &path);
    let reply = worker.connect().ask(format!("{head}last-event-id: x\r\n\r\n"));
    assert_eq!(reply.problem(400)["field"], "last-event-id");
    let other = worker.session("dev");
    let turn = worker.say(&other, "$ true");
    // As if it were not there: nobody learns of turns of others.
    let unknown = format!("trn_{}", "0".repeat(32));
    let [foreign, unknown] = [turn, unknown].map(|turn| {
        let reply = worker.fetch(&format!("{path}?until_turn={turn}"));
        reply.problem(404);
        String::from_utf8(reply.body).unwrap().replace(&turn, "TURN")
    });
    assert_eq!(foreign, unknown);
}

#[test]
fn a_stream_ends_with_its_session_at_once() {
    let worker = Worker::plain();
    let (kept, gone) = (worker.session("dev"), worker.session("ops"));
    let mut stays = open(&worker, &kept, "", "");
    let mut stream = open(&worker, &gone, "", "");
    let began = Instant::now();
    assert_eq!(worker.delete(&format!("/api/v1/sessions/{gone}")).status, 204);
    assert_eq!(whole(&mut stream), "retry: 100\n\n");
    assert!(began.elapsed() < Duration::from_secs(5), "before the heartbeat");
    worker.fetch(&format!("/api/v1/sessions/{gone}/events")).problem(404);
    worker.say(&kept, "$ true");
    read_until(&mut stays, |text| text.contains("message.created"));
}

#[test]
fn a_stream_notices_a_session_that_another_worker_deleted() {
    let worker = Worker::new(|config| config.http.sse_heartbeat = Duration::from_millis(50));
    let session = worker.session("ops");
    let mut stream = open(&worker, &session, "", "");
    worker.delete_behind_its_back(&session);
    assert_eq!(without_heartbeats(&whole(&mut stream)), "retry: 100\n\n");
}

#[test]
fn a_drain_ends_streams_between_two_events() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ for i in $(seq 200); do echo $i; sleep 0.02; done");
    let mut streams: Vec<_> = (0..10).map(|_| open(&worker, &session, "", "")).collect();
    for stream in &mut streams {
        read_until(stream, |text| text.contains("tool.output"));
    }
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| worker.drain(Duration::from_secs(8)));
        for stream in &mut streams {
            let rest = whole(stream);
            let rest = rest.strip_suffix("retry: 100\n\n").expect("the hint comes last");
            assert!(rest.is_empty() || rest.ends_with("}\n\n"), "{rest:?}");
            stream.assert_closed();
        }
        drop(streams);
        assert_eq!(drained.join().unwrap(), 0);
    });
    drop(turn);
}

#[test]
fn a_follower_holds_no_database_handle() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let before = sqlite(&worker);
    let streams: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = open(&worker, &session, "", "");
            stream.stream().set_nonblocking(false).unwrap();
            let _ = &mut stream;
            stream
        })
        .collect();
    super::test_server::until(|| sqlite(&worker), |&now| now <= before);
    drop(streams);
}

fn sqlite(worker: &Worker) -> u64 {
    let handles = worker.fetch("/api/v1/handles").json();
    let kinds = handles["data"].as_array().unwrap();
    let sqlite = kinds.iter().find(|usage| usage["kind"] == "sqlite").unwrap();
    sqlite["permits"].as_u64().unwrap()
}

#[test]
fn long_events_come_whole_live_and_from_the_log() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let mut live = open(&worker, &session, "", "");
    let content = "\u{e9}".repeat(300_000);
    let turn = worker.say(&session, &format!("$ true\n{content}"));
    worker.ended(&turn);
    worker.say(&session, "$ true");
    let log = whole(&mut open(&worker, &session, &format!("?until_turn={turn}"), ""));
    assert!(log.contains(&content), "{}", log.len());
    for event in log.split_inclusive("\n\n") {
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        serde_json::from_str::<serde_json::Value>(data).unwrap();
    }
    let text = read_until(&mut live, |text| without_heartbeats(text).len() >= log.len());
    assert!(without_heartbeats(&text).starts_with(&log), "live it is the same");
}

#[test]
fn a_key_has_so_many_streams() {
    let worker = Worker::new(|config| config.http.max_streams_per_key = 3);
    let session = worker.session("ops");
    let mut streams: Vec<_> = (0..3).map(|_| open(&worker, &session, "", "")).collect();
    let path = format!("/api/v1/sessions/{session}/events");
    let reply = worker.fetch(&path);
    assert_eq!(reply.problem(429)["type"], "urn:evonic:problem:too_many_streams");
    assert_eq!(reply.header("retry-after"), Some("1"));
    streams.pop();
    super::test_server::until(|| worker.fetch_head(&path), |&status| status == 200);
}

#[test]
fn a_follower_that_takes_nothing_is_cut() {
    let worker = Worker::new(|config| config.http.idle_timeout = Duration::from_millis(500));
    let session = worker.session("ops");
    let stream = open(&worker, &session, "", "");
    // More than both sockets hold.
    for _ in 0..16 {
        let turn = worker.say(&session, &format!("$ true\n{}", "x".repeat(900_000)));
        worker.ended(&turn);
    }
    super::test_server::until(|| worker.owned(), |&owned| owned == 0);
    drop(stream);
}

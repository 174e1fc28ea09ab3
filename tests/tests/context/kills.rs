//! Workers that are killed while they compact.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::{Options, Pair},
    scripted::{Scripted, Server},
    size,
};

use super::{agent, all, assert_sound};

/// The replies' text, and each summary's.
const REPLY: &str = "It is noted, and the note is kept with the others for later use.";

#[test]
fn a_worker_killed_while_it_compacts_loses_and_doubles_nothing() {
    let kills = size::of("kills", 6, 50);
    let pieces = REPLY.split_inclusive(' ').map(str::to_owned).collect();
    let server = Server::start(vec![Scripted::Counted(pieces, Duration::from_millis(10))]);
    let config = format!(
        "{}context_tokens = 1200\nmax_tokens = 64\n[agents]\nmax_takeovers = 20\n\
         [supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n",
        server.config("scripted")
    );
    let pair = Pair::start(&Options::config(&config));
    agent(&pair, "clerk", "scripted", &[]);
    let session = pair.session("clerk");
    let began = Instant::now();
    let (mut killed, mut turns) = (0, 0_u32);
    while killed < kills {
        assert!(began.elapsed() < Duration::from_secs(900), "{killed} kills in {turns} turns");
        turns += 1;
        let text = format!("Note {turns}. {}", "The shipment was counted and stored. ".repeat(12));
        let before = server.requests().len();
        let turn = pair.post_under_kills(&session, &format!("note-{turns}"), &text);
        let deadline = Instant::now() + Duration::from_secs(60);
        let summarises = loop {
            let requests = server.requests();
            let new = requests.get(before..).unwrap_or_default();
            if new.iter().any(|body| body["messages"][0].to_string().contains("condense")) {
                break true;
            }
            if !new.is_empty() || Instant::now() > deadline {
                break false;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if summarises {
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..160)));
            let _status = pair.kill_worker();
            killed += 1;
        }
        let ended = pair.wait_for_turn(&turn);
        assert_eq!(ended["state"], "completed", "{ended}");
    }
    let compactions = all(&pair, &session, "compactions");
    assert_sound(&compactions);
    let summaries: Vec<_> =
        compactions.iter().filter(|compaction| compaction["kind"] == "summarised").collect();
    size::report("workers killed while they compacted", killed, "");
    size::report("summaries that stand", summaries.len(), "");
    assert!(summaries.len() as u64 >= killed, "a summary is lost: {compactions:#?}");
    // Each was told once.
    let path = format!("/api/v1/sessions/{session}/events");
    let mut events =
        pair.request("GET", &format!("{path}?until_turn={}", last_turn(&pair, &session)), None);
    let text = events.as_mut().map(|answer| answer.text()).expect("the log");
    let told = text.lines().filter(|line| *line == "event: context.compacted").count();
    assert_eq!(told, compactions.len());
    let items = all(&pair, &session, "items");
    assert_eq!(items.len(), 2 * turns as usize, "every item is stored once");
    assert!(items[0]["item"]["text"].as_str().is_some_and(|text| text.starts_with("Note 1.")));
}

fn last_turn(pair: &Pair, session: &str) -> String {
    let turns = all(pair, session, "turns");
    turns.last().and_then(|turn| turn["id"].as_str()).expect("a turn").to_owned()
}

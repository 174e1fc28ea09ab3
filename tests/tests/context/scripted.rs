//! What is done before a call, seen by an endpoint that says what a test wants.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::{Options, Pair},
    scripted::{Scripted, Server},
    troubleshooting::assert_documented,
};
use serde_json::{Value, json};

use super::{agent, all, assert_sound};

fn counted(text: &str) -> Scripted {
    Scripted::Counted(vec![text.to_owned()], Duration::ZERO)
}

/// A pair with a model `scripted` and an agent of it.
fn start(server: &Server, settings: &str, tools: &[&str]) -> Pair {
    let config = format!("{}{settings}\n", server.config("scripted"));
    let pair = Pair::start(&Options::config(&config));
    agent(&pair, "clerk", "scripted", tools);
    pair
}

fn say(pair: &Pair, session: &str, text: &str) -> Value {
    pair.wait_for_turn(&pair.post(session, text))
}

fn note(number: u32) -> String {
    format!("Note {number}. {}", "The shipment was counted and stored. ".repeat(12))
}

fn is_summary(body: &Value) -> bool {
    body["messages"][0].to_string().contains("condense")
}

fn kinds(pair: &Pair, session: &str) -> Vec<String> {
    let compactions = all(pair, session, "compactions");
    assert_sound(&compactions);
    compactions
        .iter()
        .map(|compaction| compaction["kind"].as_str().expect("it").to_owned())
        .collect()
}

/// A result that is too long is sent as head and tail, and `read_file` follows the pointer to what
/// is between them.
#[test]
fn a_long_result_is_shortened_and_read_by_its_pointer() {
    let server = Server::start(vec![
        Scripted::Call("bash".to_owned(), json!({"command": "seq 1 9999"})),
        Scripted::Call(
            "read_file".to_owned(),
            json!({"path": "evonic:item/1.2", "from_line": 150, "to_line": 152}),
        ),
        counted("done"),
    ]);
    let pair = start(&server, "context_tokens = 4000\nmax_tokens = 100", &["bash", "read_file"]);
    let session = pair.session("clerk");
    let ended = say(&pair, &session, "count");
    assert_eq!(ended["state"], "completed", "{ended}");
    let requests = server.requests();
    let second = requests[1]["messages"].to_string();
    assert!(second.contains("bytes left out; the whole: read_file evonic:item/1.2]"), "{second}");
    let third = requests[2]["messages"].to_string();
    assert!(third.contains("150\\t150") && third.contains("152\\t152"), "{third}");
    assert!(kinds(&pair, &session).iter().all(|kind| kind == "shortened"));
    let items = all(&pair, &session, "items");
    let stored = items.iter().find(|item| item["id"] == "1.2").expect("the result");
    let content = stored["item"]["content"].as_str().expect("its content");
    assert!(content.len() > 20_000 && !content.contains("read_file"), "{} bytes", content.len());
}

/// An item of another session is not there.
#[test]
fn no_session_reads_the_items_of_another() {
    let read = |item: &str| {
        Scripted::Call("read_file".to_owned(), json!({"path": format!("evonic:item/{item}")}))
    };
    let server =
        Server::start(vec![counted("secret 4711"), read("1.1"), read("2.0"), counted("ok")]);
    let pair = start(&server, "", &["read_file"]);
    let _ended = say(&pair, &pair.session("clerk"), "keep it");
    let ended = say(&pair, &pair.session("clerk"), "what is it?");
    assert_eq!(ended["state"], "completed", "{ended}");
    let last = server.requests().last().expect("a request")["messages"].to_string();
    assert_documented("evonic:item/…: this session has no such item", &last);
    assert!(!last.contains("4711") && last.contains("1\\twhat is it?"), "{last}");
}

/// An endpoint that refuses whatever it is sent fails the turn, and says so.
#[test]
fn an_endpoint_that_refuses_every_length_fails_the_turn() {
    let refusal = json!({"error": {"message": "This model's maximum context length is exceeded",
        "code": "context_length_exceeded"}});
    let mut script = vec![counted("It is noted."); 12];
    script.push(Scripted::Status(400, refusal.to_string()));
    let server = Server::start(script);
    let pair = start(&server, "", &[]);
    let session = pair.session("clerk");
    let mut ended = Value::Null;
    for number in 0..13 {
        ended = say(&pair, &session, &note(number));
    }
    assert_eq!(ended["error"]["code"], "context_too_large", "{ended}");
    let message = ended["error"]["message"].as_str().expect("a message");
    assert_documented("the endpoint refused what is left as too long: …", message);
    assert!(server.requests().len() < 60, "{} requests", server.requests().len());
}

/// Requests go on as the one before began, to the byte, until a compaction; no summary of another
/// session is waited for.
#[test]
fn what_is_sent_begins_as_before_until_a_compaction() {
    let server = Server::start(vec![counted("It is noted.")]);
    let pair = start(&server, "context_tokens = 2000\nmax_tokens = 64", &["read_file"]);
    let session = pair.session("clerk");
    for number in 1..=25 {
        let ended = say(&pair, &session, &note(number));
        assert_eq!(ended["state"], "completed", "{ended}");
    }
    let compactions = kinds(&pair, &session).len();
    assert!((2..=12).contains(&compactions), "{compactions} compactions");
    let requests = server.requests();
    let asked: Vec<_> = requests.iter().filter(|body| !is_summary(body)).collect();
    let mut breaks = 0;
    for both in asked.windows(2) {
        let before = both[0]["messages"].to_string();
        let begins = both[1]["messages"].to_string().starts_with(&before[..before.len() - 1]);
        breaks += usize::from(!begins);
        assert_eq!(both[0]["tools"], both[1]["tools"]);
        assert_eq!(both[0]["messages"][0], both[1]["messages"][0], "instructions");
    }
    assert!(breaks <= compactions, "{breaks} other beginnings in {compactions} compactions");
}

/// A summary that nobody makes costs what it would have stood for, and no turn.
#[test]
fn a_failed_summary_leaves_out_with_a_note() {
    let broken = Server::start(vec![Scripted::Status(400, "{\"error\":{}}".to_owned())]);
    let server = Server::start(vec![counted("It is noted.")]);
    let settings = format!(
        "context_tokens = 1400\nmax_tokens = 64\nsummary_model = \"broken\"\n{}",
        broken.config("broken")
    );
    let pair = start(&server, &settings, &[]);
    let session = pair.session("clerk");
    let mut told = String::new();
    for number in 1..=10 {
        let chat = pair.evonic(&["chat", "clerk", &note(number), "--session", &session]);
        assert!(chat.status.success(), "{chat:?}");
        told.push_str(&String::from_utf8_lossy(&chat.stdout));
        told.push_str(&String::from_utf8_lossy(&chat.stderr));
    }
    let kinds = kinds(&pair, &session);
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "left_out"), "{kinds:?}");
    assert_documented("items are left out from here on: … to …; about … tokens became …", &told);
    let last = server.requests().last().expect("a request")["messages"].to_string();
    assert!(last.contains("of this conversation are left out"), "{last}");
    assert!(broken.requests().len() >= kinds.len(), "it was asked each time");
}

/// An endpoint that refuses for length, and says no number, is asked with less and less.
#[test]
fn a_refusal_for_length_trims_and_asks_again() {
    let refusal = json!({"error": {"message": "This model's maximum context length is exceeded",
        "code": "context_length_exceeded"}});
    let mut script = vec![counted("It is noted."); 6];
    script.push(Scripted::Status(400, refusal.to_string()));
    script.push(counted("It is noted."));
    let server = Server::start(script);
    let pair = start(&server, "", &[]);
    let session = pair.session("clerk");
    for number in 1..=8 {
        let ended = say(&pair, &session, &note(number));
        assert_eq!(ended["state"], "completed", "{number}: {ended}");
    }
    let kinds = kinds(&pair, &session);
    assert_eq!(kinds.first().map(String::as_str), Some("summarised"), "{kinds:?}");
    let requests = server.requests();
    let bytes = |place: usize| requests[place].to_string().len();
    // The refused one, the summary, and the same question with less before it.
    assert!(is_summary(&requests[7]) && bytes(8) < bytes(6), "{} {}", bytes(6), bytes(8));
}

/// What cannot be left out alone is too large: the turn says which part, and the session lives.
#[test]
fn what_cannot_fit_is_named() {
    let server = Server::start(vec![counted("It is noted.")]);
    let pair = start(&server, "context_tokens = 2000\nmax_tokens = 64", &[]);
    let session = pair.session("clerk");
    let ended = say(&pair, &session, &"long ".repeat(3000));
    assert_eq!(ended["error"]["code"], "context_too_large", "{ended}");
    let message = ended["error"]["message"].as_str().expect("a message").to_owned();
    assert_documented(
        "the last message is too large: about … tokens where a request has room for …",
        &message,
    );
    assert!(message.contains("of the model's window of 2000"), "{message}");
    let ended = say(&pair, &session, "short");
    assert_eq!(ended["state"], "completed", "the session lives: {ended}");
    assert!(server.requests().last().expect("one").to_string().len() < 4000);

    let tools =
        start(&server, "context_tokens = 600\nmax_tokens = 64", &["bash", "read_file", "copy"]);
    let ended = say(&tools, &tools.session("clerk"), "hi");
    let message = ended["error"]["message"].as_str().expect("a message").to_owned();
    assert_documented("the tools are too large: about … tokens", &message);
}

/// A session is compacted when somebody asks for it, by the command line and over HTTP.
#[test]
fn a_session_is_compacted_on_request() {
    let server = Server::start(vec![counted("It is noted.")]);
    let pair = start(&server, "context_tokens = 100000", &[]);
    let session = pair.session("clerk");
    let nothing = pair.evonic(&["session", "compact", &session]);
    assert!(String::from_utf8_lossy(&nothing.stdout).contains("nothing to compact"), "{nothing:?}");
    for number in 1..=4 {
        let _ended = say(&pair, &session, &note(number));
    }
    let compacted = pair.evonic(&["session", "compact", &session]);
    let told = String::from_utf8_lossy(&compacted.stdout).into_owned();
    assert!(compacted.status.success(), "{compacted:?}");
    assert_documented(
        "a summary is sent from here on in place of items: … to …; about … tokens became …",
        &told,
    );
    assert_eq!(kinds(&pair, &session), ["summarised"]);
    let ended = say(&pair, &session, "and now?");
    assert_eq!(ended["state"], "completed", "{ended}");
    let last = server.requests().last().expect("a request")["messages"].to_string();
    assert!(!last.contains("Note 3.") && last.contains("Note 4."), "all but the last turn: {last}");
    let path = format!("/api/v1/sessions/{session}/compact");
    let turn = pair.expect(202, "POST", &path, None);
    let ended = pair.wait_for_turn(turn["id"].as_str().expect("an id"));
    assert_eq!(ended["state"], "completed", "{ended}");
    assert_eq!(kinds(&pair, &session).len(), 2);
    let messages = all(&pair, &session, "messages");
    assert_eq!(messages.len(), 10, "a turn without a message has no answer");

    let broken = Server::start(vec![Scripted::Status(400, "{\"error\":{}}".to_owned())]);
    let config = broken.config("scripted");
    let other = Pair::start(&Options::config(&config));
    agent(&other, "clerk", "scripted", &[]);
    let session = other.session("clerk");
    for number in 1..=2 {
        let _failed = say(&other, &session, &note(number));
    }
    let refused = other.evonic(&["session", "compact", &session]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{refused:?}");
    assert_documented("model … made no summary: …", &told);
    assert!(kinds(&other, &session).is_empty(), "nothing changed");
}

/// While a session's summary takes its time, another one's turn is answered.
#[test]
fn no_other_session_waits_for_a_summary() {
    let slow =
        Scripted::Counted(vec!["It".to_owned(), " is noted.".to_owned()], Duration::from_secs(3));
    let mut script = vec![counted("It is noted."); 3];
    script.extend([slow, counted("It is noted.")]);
    let server = Server::start(script);
    let pair = start(&server, "", &[]);
    let (session, other) = (pair.session("clerk"), pair.session("clerk"));
    for number in 1..=3 {
        let _ended = say(&pair, &session, &note(number));
    }
    let path = format!("/api/v1/sessions/{session}/compact");
    let turn = pair.expect(202, "POST", &path, None);
    evonic_tests::poll::until(
        "the summary is asked for",
        Duration::from_secs(30),
        || server.requests().len(),
        |asked| (*asked == 4).then_some(()),
    );
    let began = Instant::now();
    let ended = say(&pair, &other, "hello");
    assert_eq!(ended["state"], "completed", "{ended}");
    let waits = pair.expect(
        200,
        "GET",
        &format!("/api/v1/turns/{}", turn["id"].as_str().expect("it")),
        None,
    );
    assert_eq!(waits["state"], "running", "the other was answered after {:?}", began.elapsed());
    let ended = pair.wait_for_turn(turn["id"].as_str().expect("an id"));
    assert_eq!(ended["state"], "completed", "{ended}");
}

/// A window that an endpoint told by its refusal is known to the next worker.
#[test]
fn a_learnt_window_is_kept() {
    let refusal = json!({"error": {"message": "request (3031 tokens) exceeds the available context \
        size (2048 tokens), try increasing it", "type": "exceed_context_size_error",
        "n_prompt_tokens": 3031, "n_ctx": 2048}});
    let mut script = vec![counted("It is noted."); 2];
    script.push(Scripted::Status(400, refusal.to_string()));
    script.push(counted("It is noted."));
    let server = Server::start(script);
    let pair = start(&server, "", &[]);
    let session = pair.session("clerk");
    for number in 1..=3 {
        let _ended = say(&pair, &session, &note(number));
    }
    let facts = || {
        let database = rusqlite::Connection::open(pair.state_dir().join("evonic.db")).expect("it");
        let read = database.query_row("SELECT data FROM model_facts", [], |row| row.get(0));
        read.unwrap_or_else(|_| String::new())
    };
    evonic_tests::poll::until("the window is kept", Duration::from_secs(10), facts, |facts| {
        facts.contains("2048").then_some(())
    });
    let _status = pair.kill_worker();
    let ended = say(&pair, &session, &"long ".repeat(3000));
    let message = ended["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("window of 2048"), "{ended}");
}

//! Turns that fail: every code that the API promises, by what makes it.

use std::{net::TcpListener, time::Duration};

use evonic_shared::config::{Config, KeySource, Lost, Model};

use super::{
    harness::{ENDLESS, Endpoint, Harness, LOOPS, model_at},
    output::{WORDS, post_format},
    takeover::{call, die_before},
};
use evonic_domain::{
    Attachment, AttachmentKind, BudgetLimit, BudgetPeriod, BudgetSubject, ModelCall, NewBudget,
    TurnError, TurnErrorCode, TurnId, TurnState, Usage,
};
use evonic_store::NewPost;

/// The error of a turn of this model, which fails.
fn error_of(model: &str, content: &str, adjust: impl FnOnce(&mut Config)) -> TurnError {
    let harness = Harness::with(adjust);
    let worker = harness.worker(1, None);
    let turn = harness.post(&harness.session(model, None), content);
    worker.agents.wake();
    failed(&harness, &turn)
}

fn failed(harness: &Harness, turn: &TurnId) -> TurnError {
    let ended = harness.ended(turn);
    assert_eq!(ended.state, TurnState::Failed, "{ended:?}");
    ended.error.expect("a failed turn has an error")
}

/// The error of a turn whose model answers this.
fn answered(answer: &'static str) -> TurnError {
    let endpoint = Endpoint::start(answer);
    with_model(model_at(endpoint.address))
}

fn with_model(model: Model) -> TurnError {
    error_of("remote", "hello", |config| _ = config.models.insert("remote".to_owned(), model))
}

/// A turn whose steps the database refuses, for a reason that waiting does not mend.
fn of_a_broken_store() -> TurnError {
    let harness = Harness::open();
    let (_, turn) = harness.runbook("$ echo one\n");
    #[expect(clippy::disallowed_methods, reason = "a fault of the database, from outside")]
    let other = rusqlite::Connection::open(harness.database()).unwrap();
    other
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON items
             BEGIN SELECT RAISE(ABORT, 'no room for items'); END",
        )
        .unwrap();
    let worker = harness.worker(1, None);
    worker.agents.wake();
    failed(&harness, &turn)
}

/// A turn that finds too little room at a boundary, and was claimed before.
fn of_a_full_disk() -> TurnError {
    let harness = Harness::open();
    let (session, turn) = harness.runbook("$ sleep 1\n$ echo not any more\n");
    let worker = harness.worker(1, None);
    worker.agents.wake();
    harness.said(&session, "tool.started");
    let waiting = harness.post(&session, "$ true\n");
    harness.store.keep_free(u64::MAX / 4);
    let error = failed(&harness, &turn);
    let results = harness.results(&turn);
    assert_eq!(results.len(), 1, "what ran is kept, and nothing more runs: {results:?}");
    // A turn that waits is not claimed until there is room.
    worker.agents.wake();
    harness.pause(Duration::from_millis(300));
    assert_eq!(harness.turn(&waiting).state, TurnState::Queued);
    harness.store.keep_free(0);
    assert_eq!(harness.ended(&waiting).state, TurnState::Completed);
    error
}

fn of_a_lost_call() -> TurnError {
    let harness =
        Harness::with(|config| _ = config.tools.on_lost.insert("bash".to_owned(), Lost::Fail));
    let (_, turn) = harness.runbook("$ true\n");
    die_before(&harness, call("bash", r#"{"command":"true"}"#));
    let _worker = harness.worker(2, Some(1));
    failed(&harness, &turn)
}

fn of_a_fatal_turn() -> TurnError {
    let harness = Harness::with(|config| config.agents.max_takeovers = 1);
    let (_, turn) = harness.runbook("$ true\n");
    harness.as_another(1, |_, _| Ok(()));
    let _worker = harness.worker(2, Some(1));
    failed(&harness, &turn)
}

fn of_a_wrong_form() -> TurnError {
    let endpoint = Endpoint::start(WORDS);
    let model = model_at(endpoint.address);
    let harness = Harness::with(|config| _ = config.models.insert("remote".to_owned(), model));
    let turn = post_format(&harness, &harness.session("remote", None));
    let _worker = harness.worker(1, None);
    failed(&harness, &turn)
}

fn of_an_attachment() -> TurnError {
    let harness = Harness::open();
    let session = harness.session("runbook", None);
    let attachment = Attachment {
        kind: AttachmentKind::Image,
        sha256: "0".repeat(64),
        media_type: "image/png".to_owned(),
        name: "a.png".to_owned(),
        bytes: 8,
    };
    let new = NewPost { attachments: vec![attachment], max_queued: 10, ..NewPost::default() };
    let turn = harness.write(move |writer| {
        let upload = writer.store_piece(&session, None, b"an image", 1_000)?;
        writer.finish_upload(&upload, &"0".repeat(64), "image/png")?;
        Ok(writer.post(&session, new)?.turn.id)
    });
    let _worker = harness.worker(1, None);
    failed(&harness, &turn)
}

fn of_a_spent_budget() -> TurnError {
    let harness = Harness::with(|_| {});
    let (_, turn) = harness.runbook("$ true\n");
    harness.as_another(1, |writer, lease| {
        writer.create_budget(NewBudget {
            name: "turns".parse().unwrap(),
            subject: BudgetSubject::All,
            of: None,
            period: BudgetPeriod::Turn,
            limit: BudgetLimit::Tokens(1),
            on_reached: None,
        })?;
        let usage = Usage { output_tokens: 1, ..Usage::default() };
        writer.count_call(lease, &ModelCall { usage, ..ModelCall::default() })
    });
    let _worker = harness.worker(2, Some(1));
    failed(&harness, &turn)
}

/// A whole reply that is nothing but white space, and what it took.
const BLANK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" \"}}]}\n\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\
     \"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";

#[test]
fn what_became_no_reply_is_counted() {
    let endpoint = Endpoint::start(BLANK);
    let model = model_at(endpoint.address);
    let harness = Harness::with(|config| _ = config.models.insert("remote".to_owned(), model));
    let worker = harness.worker(1, None);
    let turn = harness.post(&harness.session("remote", None), "hello");
    worker.agents.wake();
    let error = failed(&harness, &turn);
    assert_eq!(error.code, TurnErrorCode::IncompleteReply, "{error:?}");
    let usage = harness.turn(&turn).usage;
    assert_eq!((usage.input_tokens, usage.output_tokens), (21, 3), "of three calls");
}

/// What makes a turn fail with this code. A new code does not compile until it is made here.
fn error_with(code: TurnErrorCode) -> TurnError {
    match code {
        TurnErrorCode::ModelUnknown => error_of("nowhere", "hello", |_| {}),
        TurnErrorCode::ModelSetup => {
            let key = Some(KeySource::File("/nowhere/key".into()));
            with_model(Model { key, ..model_at(([127, 0, 0, 1], 9).into()) })
        }
        TurnErrorCode::ModelRefused => {
            answered("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n")
        }
        TurnErrorCode::ModelUnavailable => {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            drop(listener);
            with_model(model_at(address))
        }
        TurnErrorCode::ModelProtocol => answered(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        ),
        TurnErrorCode::IncompleteReply => answered(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 14\r\n\r\n\
             data: [DONE]\n\n",
        ),
        TurnErrorCode::ModelTimeout => {
            let endpoint = Endpoint::start(ENDLESS);
            let call_timeout = Duration::from_millis(200);
            with_model(Model { call_timeout, ..model_at(endpoint.address) })
        }
        TurnErrorCode::ReplyTooLarge => {
            let endpoint = Endpoint::start(ENDLESS);
            with_model(Model { max_reply_bytes: 10, ..model_at(endpoint.address) })
        }
        TurnErrorCode::ContextTooLarge => {
            let message = "x".repeat(70_000);
            error_of("runbook", &message, |config| config.agents.max_transcript_bytes = 65_536)
        }
        TurnErrorCode::TurnTimeout => {
            let adjust = |config: &mut Config| {
                config.agents.turn_timeout = Duration::from_millis(300);
            };
            error_of("runbook", "$ sleep 1000\n", adjust)
        }
        TurnErrorCode::TooManyTakeovers => of_a_fatal_turn(),
        TurnErrorCode::TooManySteps => {
            error_of("runbook", "$ true\n$ true\n", |config| config.agents.max_steps = 1)
        }
        TurnErrorCode::RepeatedCalls => answered(LOOPS),
        TurnErrorCode::OutcomeUnknown => of_a_lost_call(),
        TurnErrorCode::InvalidOutput => of_a_wrong_form(),
        TurnErrorCode::AttachmentRefused => of_an_attachment(),
        TurnErrorCode::DiskFloor => of_a_full_disk(),
        TurnErrorCode::BudgetReached => of_a_spent_budget(),
        TurnErrorCode::Internal => of_a_broken_store(),
        TurnErrorCode::TranscriptTooLarge => unreachable!("of an earlier version"),
    }
}

#[test]
fn a_turn_fails_with_each_of_its_codes() {
    let began: Vec<_> = TurnErrorCode::ALL
        .into_iter()
        // No turn fails with it any more.
        .filter(|code| *code != TurnErrorCode::TranscriptTooLarge)
        .map(|code| (code, std::thread::spawn(move || error_with(code))))
        .collect();
    for (code, error) in began {
        let error = error.join().unwrap_or_else(|_| panic!("no turn ended with {code}"));
        assert_eq!(error.code, code, "{error:?}");
        assert!(error.message.len() > 10, "{code} says why: {:?}", error.message);
    }
}

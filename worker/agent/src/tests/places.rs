//! Turns that leave their place while their model is asked, or until it is to be asked.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};

use super::harness::{ENDLESS, Endpoint, Harness, model_at};
use evonic_domain::{TurnState, WaitReason};

const LATER: &str =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 600\r\ncontent-length: 0\r\n\r\n";

/// A reply that calls the shell.
const CALL: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\
     \"type\":\"function\",\"function\":{\"name\":\"bash\",\"arguments\":\
     \"{\\\"command\\\":\\\"true\\\"}\"}}]}}]}\n\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n\
     data: [DONE]\n\n";

fn one_place(harness_model: SocketAddr) -> Harness {
    Harness::with(|config| {
        (config.agents.workers, config.agents.reserved_workers) = (1, 0);
        let mut model = model_at(harness_model);
        model.patience = Duration::from_secs(3600);
        config.models.insert("m".to_owned(), model);
    })
}

#[test]
fn what_hangs_in_its_model_holds_no_place() {
    let endless = Endpoint::start(ENDLESS);
    let harness = one_place(endless.address);
    let worker = harness.worker(1, None);
    for _ in 0..3 {
        let session = harness.session("m", None);
        harness.post(&session, "think");
        worker.agents.wake();
        harness.said(&session, "text.delta");
    }
    let (_, turn) = harness.runbook("$ echo here\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    harness.until("three hang", || worker.agents.running(), |&running| running == 3);
}

#[test]
fn a_turn_that_is_to_ask_later_leaves_its_worker_and_can_be_cancelled() {
    let busy = Endpoint::start(LATER);
    let harness = one_place(busy.address);
    let worker = harness.worker(1, None);
    let session = harness.session("m", None);
    let turn = harness.post(&session, "think");
    worker.agents.wake();
    harness.said(&session, "turn.waiting");
    harness.until("nothing runs", || worker.agents.running(), |&running| running == 0);
    let waits = harness.turn(&turn);
    assert_eq!((waits.state, waits.owner), (TurnState::Queued, None));
    assert_eq!(waits.waiting.expect("until when").reason, WaitReason::RateLimit);
    assert_eq!(worker.drain(Duration::from_secs(20)), (0, 0), "there is nothing to hand over");
    let asked = turn.clone();
    harness.write(move |writer| writer.request_cancel(&asked));
    assert_eq!(harness.turn(&turn).state, TurnState::Cancelled);
}

/// Its reply is committed; for its call it has to wait until another one's command has ended.
#[test]
fn a_turn_that_waits_for_its_place_again_is_handed_over_at_once() {
    let (answers, endpoint) = (Arc::new(Notify::new()), tokio::runtime::Runtime::new().unwrap());
    let listener = endpoint.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::clone(&answers);
    let serving = endpoint.spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let read = socket.read(&mut [0; 4096]).await;
        answer.notified().await;
        let wrote = socket.write_all(CALL.as_bytes()).await;
        drop((read, wrote));
    });
    let harness = one_place(address);
    let worker = harness.worker(1, None);
    let session = harness.session("m", None);
    let turn = harness.post(&session, "think");
    worker.agents.wake();
    harness.said(&session, "turn.started");
    let (_, long) = harness.runbook("$ touch started; until [ -e go ]; do sleep 0.01; done\n");
    worker.agents.wake();
    harness.until("start", || harness.workplace("started").exists(), |&exists| exists);
    answers.notify_one();
    harness.said(&session, "step.completed");
    assert_eq!(worker.drain(Duration::from_secs(20)), (2, 0));
    assert_eq!(harness.results(&turn), [], "its call did not run");
    std::fs::write(harness.workplace("go"), "").unwrap();
    drop(worker);
    let _second = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&long).state, TurnState::Completed);
    harness.said(&session, "tool.completed");
    assert_eq!(harness.results(&turn)[0].0, "ok");
    drop(serving);
}

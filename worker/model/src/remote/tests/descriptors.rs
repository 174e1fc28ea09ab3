//! Descriptors stay flat, however a call ends.

use std::time::Duration;

use evonic_shared::kind::Kind;
use tokio_util::sync::CancellationToken;

use super::{
    ask, budget, hello, model_within, remote,
    server::{EVENTS, Server, Step, chunked, events, finish, status, text},
    settings, used,
};
use crate::{Model, request::Sink};

/// The place of what is no HTTP among the kinds of answers.
const GARBAGE: usize = 4;

/// Two hundred calls, among them cut, refused, stalled, dropped and cancelled ones: after each, the
/// kernel knows no socket of theirs, and the account no descriptor.
#[tokio::test]
async fn two_hundred_calls_leave_nothing_open() {
    let send = |answer: String| vec![Step::Send(answer.into_bytes())];
    let begun = format!("{EVENTS}data: {}\n\n", text("Good ")).into_bytes();
    let kinds = [
        send(chunked(&[text("ok"), finish("stop"), "[DONE]".to_owned()])),
        send(events(&[text("cut")])),
        send(status("401 Unauthorized", "", "no")),
        send(status("500 Internal Server Error", "", "no")),
        send("garbage\r\n\r\n".to_owned()),
        vec![Step::Hold],
        vec![Step::Send(begun.clone()), Step::Hold],
        vec![Step::Send(begun), Step::Hold],
    ];
    let script = |number: usize| {
        let script = kinds[number % kinds.len()].clone();
        let times = if number % kinds.len() == GARBAGE { 2 } else { 1 };
        std::iter::repeat_n(script, times)
    };
    let scripts = (0..200).flat_map(script).collect();
    let server = Server::start(scripts).await;
    let budget = budget(1);
    let model = model_within(&server, &budget, |settings| {
        settings.read_timeout = Duration::from_millis(20);
    });
    let model = Model::Remote(Box::new(model));
    for number in 0..200 {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        let cancel = CancellationToken::new();
        let asking = model.reply(hello(), sender, &cancel);
        match number % kinds.len() {
            6 => drop(tokio::join!(asking, async {
                receiver.recv().await;
                cancel.cancel();
            })),
            7 => tokio::select! {
                _ = asking => {}
                _ = receiver.recv() => {}
            },
            _ => drop(asking.await),
        }
        assert_eq!(server.client_sockets(), 0, "after call {number}");
        let used = used(&budget);
        assert_eq!((used.permits, used.descriptors, used.peak), (0, 0, 1), "after call {number}");
    }
    // What is no HTTP is asked for once more.
    assert_eq!(server.accepted(), 225);
    server.wait_for_silence().await;
}

/// Calls at the same time hold a descriptor each, and no more than there are permits.
#[tokio::test]
async fn calls_at_the_same_time_keep_to_the_budget() {
    let answer = chunked(&[text("ok"), finish("stop"), "[DONE]".to_owned()]).into_bytes();
    let server =
        Server::start(vec![vec![Step::Pause(Duration::from_millis(5)), Step::Send(answer)]]).await;
    let budget = budget(3);
    let model = model_within(&server, &budget, |_| {});
    let request = hello();
    let replies = futures_util::future::join_all((0..20).map(|_| ask(&model, &request))).await;
    assert!(replies.iter().all(|(reply, _)| reply.is_ok()), "{replies:?}");
    let used = used(&budget);
    assert_eq!((used.permits, used.descriptors, used.peak), (0, 0, 3));
    assert_eq!(server.client_sockets(), 0);
}

/// A look-up cannot be cancelled, so its permit comes back when it ends, and not before.
#[tokio::test]
async fn a_look_up_that_is_dropped_keeps_its_permit_until_it_ends() {
    let budget = budget(1);
    let mut settings = settings("http://no-such-host.invalid/v1");
    // A look-up that fails before it was waited for leads to a pause.
    settings.patience = Duration::from_secs(600);
    settings.retry_pause = Duration::from_secs(60);
    let model = remote(&settings, &budget);
    let request = hello();
    let (sender, _receiver) = tokio::sync::mpsc::channel(1);
    let mut sink = Sink::new(&sender);
    let asked = model.reply(&request, &mut sink);
    // One poll: the look-up has begun on its own thread.
    assert!(futures_util::FutureExt::now_or_never(asked).is_none());
    let next = budget.acquire(Kind::Model, Duration::from_secs(60)).await;
    assert!(next.is_ok(), "the permit comes back");
    drop(next);
    assert_eq!(used(&budget).descriptors, 0);
}

//! Any order of what several workers do: one owner a turn, one running turn a session, no gaps,
//! and every accepted message ends exactly once.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const GENERATIONS: u64 = 3;
const SESSIONS: usize = 3;

/// One thing that some worker or client does. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Deed {
    Post { session: usize },
    Claim { generation: u64 },
    Append { lease: usize },
    Step { lease: usize, finished: bool },
    HandOver { lease: usize },
    End { lease: usize, how: u8 },
    TakeOver { generation: u64 },
    Cancel { turn: usize },
}

fn deed() -> impl Strategy<Value = Deed> {
    let any = any::<usize>();
    prop_oneof![
        4 => (0..SESSIONS).prop_map(|session| Deed::Post { session }),
        6 => (1..=GENERATIONS).prop_map(|generation| Deed::Claim { generation }),
        2 => any.prop_map(|lease| Deed::Append { lease }),
        3 => (any, prop::bool::ANY).prop_map(|(lease, finished)| Deed::Step { lease, finished }),
        2 => any.prop_map(|lease| Deed::HandOver { lease }),
        4 => (any, 0..3_u8).prop_map(|(lease, how)| Deed::End { lease, how }),
        2 => (1..=GENERATIONS).prop_map(|generation| Deed::TakeOver { generation }),
        2 => any.prop_map(|turn| Deed::Cancel { turn }),
    ]
}

/// What must be true, kept beside the database.
#[derive(Default)]
struct Model {
    sessions: Vec<SessionId>,
    /// Every accepted turn, in order, with its owner while it runs; none once it ended.
    turns: Vec<(TurnId, SessionId, Option<State>)>,
    /// Every lease ever given, also stale ones: workers that do not know yet.
    leases: Vec<Lease>,
    /// Turns with a call that was started and has no result.
    begun: HashSet<TurnId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Running(u64),
}

impl Model {
    fn state(&mut self, id: &TurnId) -> &mut Option<State> {
        &mut self.turns.iter_mut().find(|(turn, ..)| turn == id).unwrap().2
    }

    /// Which turn the next claim must bring.
    fn next(&self) -> Option<&TurnId> {
        let busy = |session: &SessionId| {
            self.turns
                .iter()
                .any(|(_, of, state)| of == session && matches!(state, Some(State::Running(_))))
        };
        let mut free = self
            .turns
            .iter()
            .filter(|(_, session, state)| *state == Some(State::Queued) && !busy(session));
        free.next().map(|(turn, ..)| turn)
    }
}

fn pick<T: Clone>(from: &[T], number: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[number % from.len()].clone())
}

fn end(how: u8) -> TurnEnd {
    match how {
        0 => completed("done"),
        1 => TurnEnd::Failed(TurnError { code: TurnErrorCode::Internal, message: "y".to_owned() }),
        _ => TurnEnd::Cancelled,
    }
}

/// Writes under a lease: it stands exactly when the lease's generation runs the turn, which is
/// then returned.
fn leased(
    harness: &Harness,
    model: &mut Model,
    number: usize,
    then: Option<State>,
    write: impl FnOnce(&mut AuditedWriter<'_, '_>, &Lease) -> Result<(), StoreError> + Send + 'static,
    keeps: bool,
) -> Option<TurnId> {
    let lease = pick(&model.leases, number)?;
    let own = lease.clone();
    let result = harness.try_write(move |writer| write(writer, &own));
    let state = model.state(&lease.turn_id);
    if *state == Some(State::Running(lease.generation)) {
        result.unwrap();
        if !keeps {
            *state = then;
        }
        Some(lease.turn_id)
    } else {
        assert!(matches!(result, Err(StoreError::Fenced)), "{result:?}");
        None
    }
}

fn doing(harness: &Harness, model: &mut Model, deed: &Deed) {
    match *deed {
        Deed::Post { session } => {
            let session = model.sessions[session].clone();
            let turn = harness.post(&session, "work");
            model.turns.push((turn, session, Some(State::Queued)));
        }
        Deed::Claim { generation } => {
            let claimed = harness.claim(generation);
            assert_eq!(claimed.as_ref().map(|claimed| &claimed.turn.id), model.next());
            if let Some(claimed) = claimed {
                *model.state(&claimed.turn.id) = Some(State::Running(generation));
                model.leases.push(claimed.lease);
            }
        }
        Deed::Append { lease } => {
            let append = |writer: &mut AuditedWriter<'_, '_>, lease: &Lease| {
                writer.append(lease, vec![delta("x")])
            };
            leased(harness, model, lease, None, append, true);
        }
        Deed::Step { lease, finished } => {
            // An agent answers an open call before its model is asked again.
            let open = |lease: &Lease| model.begun.contains(&lease.turn_id);
            if pick(&model.leases, lease).is_some_and(|lease| open(&lease)) {
                return;
            }
            let step = move |writer: &mut AuditedWriter<'_, '_>, lease: &Lease| {
                writer.record_reply(
                    lease,
                    NewReply {
                        text: String::new(),
                        tool_calls: vec![call("c")],
                        ..NewReply::default()
                    },
                )?;
                writer.start_call(lease, &pending("c", "command_id"))?;
                if finished {
                    writer.finish_call(lease, &call("c"), Outcome::Ok, String::new())?;
                }
                Ok(())
            };
            let stands = leased(harness, model, lease, None, step, true);
            model.begun.extend(stands.filter(|_| !finished));
        }
        Deed::HandOver { lease } => {
            let hand_over =
                |writer: &mut AuditedWriter<'_, '_>, lease: &Lease| writer.hand_over(lease);
            leased(harness, model, lease, Some(State::Queued), hand_over, false);
        }
        Deed::End { lease, how } => {
            let end = move |writer: &mut AuditedWriter<'_, '_>, lease: &Lease| {
                writer.end_turn(lease, end(how))
            };
            leased(harness, model, lease, None, end, false);
        }
        Deed::TakeOver { generation } => {
            let taken = harness.write(move |writer| writer.take_over(generation));
            let mut wanted = 0;
            for (.., state) in &mut model.turns {
                if *state == Some(State::Running(generation)) {
                    *state = Some(State::Queued);
                    wanted += 1;
                }
            }
            assert_eq!(taken.len(), wanted);
        }
        Deed::Cancel { turn } => {
            let Some((turn, ..)) = pick(&model.turns, turn) else { return };
            let id = turn.clone();
            harness.write(move |writer| writer.request_cancel(&id));
            // What an interrupted call left is killed by who claims the turn next.
            let begun = model.begun.contains(&turn);
            let state = model.state(&turn);
            if *state == Some(State::Queued) && !begun {
                *state = None;
            }
        }
    }
}

fn agree(harness: &Harness, model: &Model) {
    for (id, _, state) in &model.turns {
        let turn = harness.turn(id);
        match state {
            Some(State::Queued) => assert_eq!((turn.state, turn.owner), (TurnState::Queued, None)),
            Some(State::Running(owner)) => {
                assert_eq!((turn.state, turn.owner), (TurnState::Running, Some(*owner)));
            }
            None => assert!(turn.state.is_ended() && turn.owner.is_none(), "{turn:?}"),
        }
    }
}

/// Works off what is left, and looks at everything that was ever said.
fn finish(harness: &Harness, model: &mut Model) {
    for generation in 1..=GENERATIONS {
        doing(harness, model, &Deed::TakeOver { generation });
    }
    while model.next().is_some() {
        doing(harness, model, &Deed::Claim { generation: 1 });
        let newest = model.leases.len() - 1;
        doing(harness, model, &Deed::End { lease: newest, how: 0 });
    }
    let mut ends: HashMap<String, u32> = HashMap::new();
    for session in &model.sessions {
        let events = harness.events(session);
        assert!((1..).zip(&events).all(|(wanted, event)| event.sequence == wanted));
        for event in events {
            let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
            let turn = data["turn_id"].as_str().unwrap().to_owned();
            let ended =
                matches!(event.name.as_str(), "turn.completed" | "turn.failed" | "turn.cancelled");
            let ends = ends.entry(turn).or_default();
            assert_eq!(*ends, 0, "{} after the end", event.name);
            *ends += u32::from(ended);
        }
    }
    for (turn, ..) in &model.turns {
        assert_eq!(ends[turn.as_str()], 1, "{turn} ended so many times");
        transcript_is_closed(harness, turn);
    }
}

fn transcript_is_closed(harness: &Harness, turn: &TurnId) {
    let turn = turn.clone();
    let (mut asked, mut answered) = (0, 0);
    for item in harness.read(move |reader| reader.transcript(&turn)) {
        match item {
            Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. } => {}
            Item::Assistant { tool_calls, .. } => asked += tool_calls.len(),
            Item::ToolResult { .. } => answered += 1,
        }
    }
    assert!(answered <= asked, "{answered} results of {asked} calls");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_interleaving_keeps_the_promises(deeds in prop::collection::vec(deed(), 1..80)) {
        let harness = Harness::new();
        let mut model = Model::default();
        for _ in 0..SESSIONS {
            model.sessions.push(harness.session().id);
        }
        for deed in &deeds {
            doing(&harness, &mut model, deed);
            agree(&harness, &model);
        }
        finish(&harness, &mut model);
    }
}

/// Workers at once, each with its own tasks: every message ends, each turn once, whoever did it.
#[test]
fn a_crowd_of_workers_ends_every_message_once() {
    let harness = Harness::new();
    let sessions: Vec<_> = (0..8).map(|_| harness.session().id).collect();
    for number in 0..80 {
        harness.post(&sessions[number % sessions.len()], "work");
    }
    harness.wait(async {
        let mut workers = JoinSet::new();
        for generation in 1..=6 {
            let store = harness.store.clone();
            workers.spawn(async move { while work(&store, generation).await {} });
        }
        while let Some(done) = workers.join_next().await {
            done.unwrap();
        }
    });
    assert_eq!(harness.read(|reader| reader.backlog()), (0, 0));
    for session in &sessions {
        let names = harness.names(session);
        let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
        assert_eq!(count("turn.completed"), 10, "{names:?}");
        assert_eq!(count("turn.started"), 10, "{names:?}");
        assert_eq!(count("turn.resumed"), count("turn.handed_over"), "{names:?}");
    }
}

/// Claims a turn and ends it or hands it over; false when there is no work left for anyone.
async fn work(store: &Store, generation: u64) -> bool {
    let claimed = store.write(move |writer| claim_oldest(writer, generation)).await.unwrap();
    let Some(Claimed { lease, .. }) = claimed else {
        let (queued, running) = store.read(|reader| reader.backlog()).await.unwrap();
        return queued + running > 0;
    };
    let append = lease.clone();
    store.write(move |writer| writer.append(&append, vec![delta("x")])).await.unwrap();
    let hand_over = fastrand::bool();
    let end = move |writer: &mut AuditedWriter<'_, '_>| {
        if hand_over { writer.hand_over(&lease) } else { writer.end_turn(&lease, completed("x")) }
    };
    store.change(Origin::inside(), end).await.unwrap();
    true
}

use super::*;
use evonic_domain::{SessionId, TurnId};
use evonic_shared::config::Config;

/// A worker's places, and tasks that stand for its turns.
struct World {
    admission: Admission,
    wishes: (mpsc::Sender<Wish>, mpsc::Receiver<Wish>),
    runtime: tokio::runtime::Runtime,
}

/// A turn's task: it takes what it is told to, and says when it has it.
struct Turn {
    task: Id,
    takes: mpsc::Sender<Place>,
    has: mpsc::Receiver<Place>,
}

impl World {
    fn new(workers: u32, max_running: u32, model_handles: u32) -> Self {
        let mut settings = Config::defaults("/".into(), "/".into()).agents;
        (settings.workers, settings.reserved_workers) = (workers, 0);
        settings.max_running = max_running;
        let admission = Admission::new(&settings, model_handles);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { admission, wishes: mpsc::channel(1), runtime }
    }

    fn queued(&self, caller: &str, agent: &str) -> WaitingTurn {
        let (posted_by, agent_id) = (caller.to_owned(), agent.to_owned());
        WaitingTurn { turn_id: TurnId::new(), posted_by, agent_id, position: 1 }
    }

    /// Claims a turn of this holder, if it may be.
    fn begin(&mut self, caller: &str, agent: &str) -> Option<Turn> {
        let queued = [self.queued(caller, agent)];
        if !self.admission.has_room() {
            return None;
        }
        let mut snapshot = self.admission.snapshot();
        let chosen = snapshot.choose(&queued).cloned()?;
        self.admission.looked(&queued, 1);
        assert_eq!(chosen, queued[0], "another one comes back");
        let (takes, mut told) = mpsc::channel(1);
        let (says, has) = mpsc::channel(1);
        let mut place = OwnPlace::claimed(self.wishes.0.clone());
        let task = self.runtime.spawn(async move {
            while let Some(wanted) = told.recv().await {
                place.take(wanted).await;
                says.send(wanted).await.unwrap();
            }
        });
        let turn_id = chosen.turn_id.clone();
        let lease = Lease { turn_id, session_id: SessionId::new(), generation: 1 };
        self.admission.begin(task.id(), lease, Holder::of(&chosen));
        Some(Turn { task: task.id(), takes, has })
    }

    /// Lets a turn take a place; what it gave back is free at once.
    fn take(&mut self, turn: &mut Turn, place: Place) -> bool {
        let wish = self.runtime.block_on(async {
            turn.takes.send(place).await.unwrap();
            tokio::select! {
                biased;
                wish = self.wishes.1.recv() => wish,
                _ = turn.has.recv() => None,
            }
        });
        wish.is_some_and(|wish| self.admission.wished(wish))
    }

    fn has(&mut self, turn: &mut Turn) -> Option<Place> {
        self.admission.grant_work();
        self.runtime.block_on(async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
        turn.has.try_recv().ok()
    }

    fn leave(&mut self, turn: &Turn) {
        let admitted = self.admission.ended(turn.task).expect("it runs");
        self.admission.left(&admitted);
    }
}

#[test]
fn a_turn_that_asks_leaves_its_place_to_another() {
    let mut world = World::new(1, 8, 4);
    let mut first = world.begin("one", "a").expect("a place");
    assert!(world.begin("two", "b").is_none());
    assert!(world.take(&mut first, Place::Call));
    assert_eq!(world.has(&mut first), Some(Place::Call));
    let second = world.begin("two", "b").expect("the first one's place");
    assert!(!world.take(&mut first, Place::Work), "it had none");
    assert_eq!(world.has(&mut first), None);
    world.leave(&second);
    assert_eq!(world.has(&mut first), Some(Place::Work));
    assert!(world.begin("two", "b").is_none());
    world.leave(&first);
    assert!(world.begin("two", "b").is_some());
}

/// More calls than there are handles: who waits holds neither place.
#[test]
fn who_waits_for_a_call_is_in_nobodys_way() {
    let mut world = World::new(1, 8, 1);
    let mut turns = Vec::new();
    for number in 0..3 {
        let mut turn = world.begin("one", "a").expect("a place");
        assert!(world.take(&mut turn, Place::Call));
        assert_eq!(world.has(&mut turn).is_some(), number == 0);
        turns.push(turn);
    }
    assert!(world.admission.has_room());
    let first = turns.remove(0);
    world.leave(&first);
    assert_eq!(world.has(&mut turns[0]), Some(Place::Call), "in their order");
    assert_eq!(world.has(&mut turns[1]), None);
    world.leave(&turns[0]);
    assert_eq!(world.has(&mut turns[1]), Some(Place::Call));
}

/// Turns in memory are bounded, and one caller's never keep out another one's.
#[test]
fn so_many_turns_run_at_once_and_no_more() {
    let mut world = World::new(4, 12, 2);
    let mut asking = Vec::new();
    let mut begin = |world: &mut World, caller: &str, agent: &str| {
        let Some(mut turn) = world.begin(caller, agent) else { return false };
        let _ = world.take(&mut turn, Place::Call);
        asking.push(turn);
        true
    };
    let mut flood = |world: &mut World, caller: &str, agent: &str| {
        (0..20).filter(|_| begin(world, caller, agent)).count()
    };
    assert_eq!(flood(&mut world, "one", "hangs"), 8);
    assert_eq!(flood(&mut world, "one", "other"), 1, "two are kept for other agents");
    assert_eq!(flood(&mut world, "one", "third"), 1);
    assert_eq!(flood(&mut world, "one", "fourth"), 0, "the rest is for other callers");
    assert_eq!(flood(&mut world, "two", "hangs"), 1);
    assert_eq!(flood(&mut world, "three", "hangs"), 1);
    assert_eq!(flood(&mut world, "four", "hangs"), 0);
    for turn in &asking {
        world.leave(turn);
    }
    assert_eq!(world.admission.turns.len(), 0);
    // All of it is free again.
    assert_eq!((0..20).filter(|_| world.begin("one", "hangs").is_some()).count(), 4);
}

/// Who stops waiting, as a cancelled turn does, is passed over.
#[test]
fn who_stopped_waiting_gets_nothing() {
    let mut world = World::new(1, 8, 4);
    let mut first = world.begin("one", "a").expect("a place");
    world.take(&mut first, Place::Call);
    assert_eq!(world.has(&mut first), Some(Place::Call));
    let second = world.begin("two", "b").expect("the first one's place");
    let (granted, grant) = oneshot::channel();
    drop(grant);
    world.admission.wished(Wish { task: first.task, place: Place::Work, granted });
    world.leave(&second);
    world.admission.grant_work();
    assert!(world.begin("two", "b").is_some(), "nobody holds the place");
    assert_eq!(world.admission.turns[&first.task].held, None);
}

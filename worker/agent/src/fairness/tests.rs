use proptest::prelude::*;

use super::*;
use evonic_domain::TurnId;

fn waiting(caller: &str, agent: &str, position: u64) -> WaitingTurn {
    let (posted_by, agent_id) = (caller.to_owned(), agent.to_owned());
    WaitingTurn { turn_id: TurnId::new(), posted_by, agent_id, position }
}

/// A queue whose turns end in any order, and leave their places to come back, and the places that it
/// fills.
struct World {
    places: Places,
    queued: Vec<WaitingTurn>,
    running: Vec<WaitingTurn>,
    /// They ask a model, without a place.
    asking: Vec<WaitingTurn>,
    /// They wait for a place again, in the order in which they came.
    returning: Vec<(WaitingTurn, Moment)>,
    last: u64,
}

impl World {
    fn new(workers: u32, reserved: u32) -> Self {
        Self::with(workers, Reserve { callers: reserved, agents: 0 })
    }

    fn with(size: u32, reserve: Reserve) -> Self {
        let places = Places::new(size, reserve);
        let (queued, running, asking, returning) = Default::default();
        Self { places, queued, running, asking, returning, last: 0 }
    }

    fn post(&mut self, caller: &str, agent: &str) {
        self.last += 1;
        self.queued.push(waiting(caller, agent, self.last));
    }

    /// Those that come back, and what the store says: the first of each caller and agent.
    fn heads(&self) -> Vec<WaitingTurn> {
        let mut heads: BTreeMap<Holder, &WaitingTurn> = BTreeMap::new();
        for turn in &self.queued {
            heads.entry(Holder::of(turn)).or_insert(turn);
        }
        let returning = self.returning.iter().map(|(turn, _)| turn);
        returning.chain(heads.into_values()).cloned().collect()
    }

    fn begin(&mut self) -> Option<WaitingTurn> {
        let heads = self.heads();
        self.places.forget_served(&heads);
        let since = |turn: &WaitingTurn| {
            let returning = self.returning.iter().find(|(back, _)| back == turn);
            returning.map(|(_, since)| *since)
        };
        let heads: Vec<_> = heads
            .iter()
            .map(|turn| match since(turn) {
                Some(since) => Candidate { turn, since },
                None => Candidate::queued(turn),
            })
            .collect();
        let chosen = self.places.choose(&heads)?.clone();
        self.places.take(Holder::of(&chosen), self.last);
        self.queued.retain(|turn| turn.turn_id != chosen.turn_id);
        self.returning.retain(|(turn, _)| turn.turn_id != chosen.turn_id);
        self.running.push(chosen.clone());
        Some(chosen)
    }

    fn end(&mut self, at: usize) {
        let ended = self.running.remove(at % self.running.len());
        self.places.give_back(&Holder::of(&ended));
    }

    /// A turn gives its place back to ask a model.
    fn ask(&mut self, at: usize) {
        let asks = self.running.remove(at % self.running.len());
        self.places.give_back(&Holder::of(&asks));
        self.asking.push(asks);
    }

    /// A model has answered.
    fn come_back(&mut self, at: usize) {
        let back = self.asking.remove(at % self.asking.len());
        self.returning.push((back, self.places.now(self.last)));
    }

    fn held(&self, caller: &str) -> usize {
        self.running.iter().filter(|turn| turn.posted_by == caller).count()
    }

    fn fill(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.begin()).map(|turn| turn.posted_by).collect()
    }
}

#[test]
fn one_who_is_alone_leaves_the_reserve() {
    let mut world = World::new(8, 1);
    (0..20).for_each(|_| world.post("flood", "a"));
    assert_eq!(world.fill(), ["flood"; 7]);
    world.post("guest", "a");
    world.post("guest", "a");
    assert_eq!(world.fill(), ["guest"], "the reserve is for the first of a caller");
    // From now on the places come to an even share, and one is always left for who comes.
    for _ in 0..4 {
        let of_flood = world.running.iter().position(|turn| turn.posted_by == "flood");
        world.end(of_flood.expect("it runs"));
        world.post("guest", "a");
        world.fill();
    }
    assert_eq!((world.held("flood"), world.held("guest")), (4, 3));
}

#[test]
fn a_single_place_goes_round() {
    let mut world = World::new(1, 0);
    for _ in 0..4 {
        world.post("one", "a");
    }
    for _ in 0..4 {
        world.post("two", "b");
        world.post("one", "b");
    }
    let mut order = Vec::new();
    while let Some(turn) = world.begin() {
        order.push(format!("{} {}", turn.posted_by, turn.agent_id));
        world.end(0);
    }
    let turns = ["one a", "two b", "one b", "two b"].repeat(2);
    assert_eq!(order[..8], turns);
    assert_eq!(order.len(), 12);
}

/// Who posts one turn at a time overtakes nobody twice.
#[test]
fn those_who_come_again_and_again_keep_nobody_waiting() {
    let mut world = World::new(1, 0);
    world.post("again", "a");
    assert_eq!(world.fill(), ["again"]);
    (0..3).for_each(|_| world.post("flood", "a"));
    world.post("other", "a");
    let mut order = Vec::new();
    for _ in 0..6 {
        let ended = world.running[0].posted_by.clone();
        if ended != "flood" {
            world.post(&ended, "a");
        }
        world.end(0);
        order.extend(world.fill());
    }
    assert_eq!(order, ["flood", "other", "again", "flood", "other", "again"]);
}

#[derive(Clone, Debug)]
enum Act {
    Post(u8, u8),
    Begin,
    End(usize),
    Ask(usize),
    ComeBack(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..4_u8, 0..3_u8).prop_map(|(caller, agent)| Act::Post(caller, agent)),
        3 => Just(Act::Begin),
        2 => any::<usize>().prop_map(Act::End),
        2 => any::<usize>().prop_map(Act::Ask),
        2 => any::<usize>().prop_map(Act::ComeBack),
    ];
    prop::collection::vec(act, 0..200)
}

proptest! {
    #[test]
    fn places_are_shared(workers in 1..9_u32, reserved in 0..4_u32, acts in acts()) {
        let reserved = reserved.min(workers - 1);
        let mut world = World::new(workers, reserved);
        // For each caller and each agent of it who has no place and waits: who was served since.
        let mut overtaken: BTreeMap<Holder, Vec<Holder>> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Post(caller, agent) => world.post(&caller.to_string(), &agent.to_string()),
                Act::End(at) => if !world.running.is_empty() { world.end(at) },
                Act::Ask(at) => if !world.running.is_empty() { world.ask(at) },
                Act::ComeBack(at) => if !world.asking.is_empty() { world.come_back(at) },
                Act::Begin => {
                    let free = workers as usize - world.running.len();
                    let waiting = world.heads();
                    let held_by: BTreeMap<String, usize> = waiting
                        .iter()
                        .map(|turn| (turn.posted_by.clone(), world.held(&turn.posted_by)))
                        .collect();
                    let fewest = held_by.values().min().copied();
                    let Some(begun) = world.begin() else {
                        // Work-conserving: a place stays empty only for who has none.
                        let none_waits = fewest.is_none_or(|fewest| fewest > 0);
                        prop_assert!(free == 0 || (none_waits && free <= reserved as usize)
                            || waiting.is_empty());
                        continue;
                    };
                    let held = held_by[&begun.posted_by];
                    prop_assert_eq!(Some(held), fewest, "another one has fewer");
                    prop_assert!(held < (workers as usize).div_ceil(held_by.len()), "its share");
                    prop_assert!(held == 0 || free > reserved as usize, "the reserve");
                    // The share of an agent within its caller's.
                    let of = |agent: &str| world.running.iter().filter(|turn| {
                        turn.posted_by == begun.posted_by && turn.agent_id == agent
                    }).count();
                    for other in waiting.iter().filter(|turn| turn.posted_by == begun.posted_by) {
                        prop_assert!(of(&begun.agent_id) <= of(&other.agent_id) + 1);
                    }
                    // No starvation: nobody without a place is overtaken twice by the same one.
                    let begun = Holder::of(&begun);
                    overtaken.remove(&begun);
                    let idle = world.heads();
                    overtaken.retain(|holder, _| {
                        idle.iter().any(|turn| Holder::of(turn) == *holder)
                            && world.held(&holder.caller) == 0
                    });
                    for holder in idle.iter().map(Holder::of).collect::<BTreeSet<_>>() {
                        if world.held(&holder.caller) == 0 {
                            overtaken.entry(holder).or_default().push(begun.clone());
                        }
                    }
                    for (holder, by) in &overtaken {
                        let callers: Vec<_> = by.iter().map(|by| &by.caller).collect();
                        let once: BTreeSet<_> = callers.iter().collect();
                        prop_assert!(
                            once.len() == callers.len(),
                            "{holder:?} was overtaken by {by:?}"
                        );
                    }
                }
            }
        }
        prop_assert!(world.places.served.len() <= 12);
    }

    /// Of a caller's turns at an agent those that have begun are first, in their order; and
    /// whoever waits gets a place, however often others leave theirs and come back.
    #[test]
    fn who_comes_back_is_first_of_its_own_and_starves_nobody(
        size in 1..9_u32, callers in 0..3_u32, agents in 0..3_u32, acts in acts()
    ) {
        let callers = callers.min(size - 1);
        let agents = agents.min(size - 1 - callers);
        let mut world = World::with(size, Reserve { callers, agents });
        for act in acts {
            match act {
                Act::Post(caller, agent) => world.post(&caller.to_string(), &agent.to_string()),
                Act::End(at) => if !world.running.is_empty() { world.end(at) },
                Act::Ask(at) => if !world.running.is_empty() { world.ask(at) },
                Act::ComeBack(at) => if !world.asking.is_empty() { world.come_back(at) },
                Act::Begin => {
                    let back: Vec<_> = world.returning.iter().map(|(turn, _)| turn.clone()).collect();
                    let Some(begun) = world.begin() else { continue };
                    let of_holder = |turn: &&WaitingTurn| Holder::of(turn) == Holder::of(&begun);
                    if let Some(first) = back.iter().find(of_holder) {
                        prop_assert_eq!(&first.turn_id, &begun.turn_id);
                    }
                }
            }
            prop_assert!(world.running.len() <= size as usize);
        }
        // From now on each turn that gets a place leaves it three times before it ends.
        let all = world.queued.len() + world.running.len() + world.asking.len()
            + world.returning.len();
        let mut left: BTreeMap<TurnId, u32> = BTreeMap::new();
        for _ in 0..all * 5 {
            world.fill();
            if let Some(turn) = world.running.first().cloned() {
                let times = left.entry(turn.turn_id).or_default();
                *times += 1;
                if *times > 3 { world.end(0) } else { world.ask(0) }
            }
            while !world.asking.is_empty() { world.come_back(0) }
        }
        let waits = world.queued.len() + world.returning.len() + world.running.len();
        prop_assert_eq!(waits, 0, "somebody waits for ever");
    }
}

/// A model that hangs takes neither all of a caller's places nor all there are.
#[test]
fn an_agent_and_a_caller_leave_places_to_others() {
    let mut world = World::with(16, Reserve { callers: 2, agents: 2 });
    (0..20).for_each(|_| world.post("one", "hangs"));
    assert_eq!(world.fill().len(), 12);
    (0..20).for_each(|_| world.post("one", "other"));
    (0..20).for_each(|_| world.post("one", "third"));
    assert_eq!(world.fill().len(), 2, "an agent that has none gets one");
    world.post("two", "hangs");
    world.post("three", "hangs");
    assert_eq!(world.fill(), ["two", "three"]);
}

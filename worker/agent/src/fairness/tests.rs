use proptest::prelude::*;

use super::*;
use evonic_domain::TurnId;

fn waiting(caller: &str, agent: &str, position: u64) -> WaitingTurn {
    let (posted_by, agent_id) = (caller.to_owned(), agent.to_owned());
    WaitingTurn { turn_id: TurnId::new(), posted_by, agent_id, position }
}

/// A queue whose turns end in any order, and the places that it fills.
struct World {
    places: Places,
    queued: Vec<WaitingTurn>,
    running: Vec<WaitingTurn>,
    last: u64,
}

impl World {
    fn new(workers: u32, reserved: u32) -> Self {
        let places = Places::new(workers, reserved);
        Self { places, queued: Vec::new(), running: Vec::new(), last: 0 }
    }

    fn post(&mut self, caller: &str, agent: &str) {
        self.last += 1;
        self.queued.push(waiting(caller, agent, self.last));
    }

    /// What the store says: the first of each caller and agent.
    fn heads(&self) -> Vec<WaitingTurn> {
        let mut heads: BTreeMap<Holder, &WaitingTurn> = BTreeMap::new();
        for turn in &self.queued {
            heads.entry(Holder::of(turn)).or_insert(turn);
        }
        heads.into_values().cloned().collect()
    }

    fn begin(&mut self) -> Option<WaitingTurn> {
        let heads = self.heads();
        self.places.forget_served(&heads);
        let chosen = self.places.choose(&heads)?.clone();
        self.places.take(Holder::of(&chosen), self.last);
        self.queued.retain(|turn| turn.turn_id != chosen.turn_id);
        self.running.push(chosen.clone());
        Some(chosen)
    }

    fn end(&mut self, at: usize) {
        let ended = self.running.remove(at % self.running.len());
        self.places.give_back(&Holder::of(&ended));
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
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0..4_u8, 0..3_u8).prop_map(|(caller, agent)| Act::Post(caller, agent)),
        3 => Just(Act::Begin),
        2 => any::<usize>().prop_map(Act::End),
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
                    for turn in &idle {
                        if world.held(&turn.posted_by) == 0 {
                            overtaken.entry(Holder::of(turn)).or_default().push(begun.clone());
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
}

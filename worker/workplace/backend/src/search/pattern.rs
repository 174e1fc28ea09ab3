//! An expression, looked for within bounds.
//!
//! The expressions of agents are compiled to automata, whose work is the number of their states
//! times the bytes of a line at the most: seconds, for a large one and a long line, in which nothing
//! else happens on its thread. What may take that long is done here state by state instead, and
//! whoever asked is asked now and then whether to go on.

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::{
    nfa::thompson::{Compiler, Config, NFA, State, WhichCaptures},
    util::{primitives::StateID, syntax},
};

use crate::{Result, WorkplaceError};

/// States times bytes that are a fraction of a second, whatever the expression: up to here the
/// fast engines are left alone.
const QUICK: usize = 1 << 24;

/// Bytes that an expression may take, compiled; and its cache while it runs.
const EXPRESSION_BYTES: usize = 8 << 20;
const CACHE_BYTES: usize = 1 << 20;

/// Steps between two questions whether to go on: a fraction of a millisecond.
const STEPS: u32 = 1 << 12;

/// An expression.
pub(super) struct Pattern {
    regex: Regex,
    /// The same one.
    nfa: NFA,
}

impl Pattern {
    /// # Errors
    /// [`WorkplaceError::Pattern`].
    pub(super) fn new(pattern: &str) -> Result<Self> {
        let invalid = |message: String| WorkplaceError::Pattern { message };
        let mut regex = RegexBuilder::new(pattern);
        regex.size_limit(EXPRESSION_BYTES).dfa_size_limit(CACHE_BYTES);
        let regex = regex.build().map_err(|error| invalid(error.to_string()))?;
        let config = Config::new()
            .utf8(false)
            .nfa_size_limit(Some(EXPRESSION_BYTES))
            .which_captures(WhichCaptures::None);
        let nfa = Compiler::new()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build(pattern)
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self { regex, nfa })
    }

    /// Where in a line its first match begins; nothing when it has none, or when `go_on` says so.
    pub(super) fn find(&self, line: &[u8], go_on: &mut dyn FnMut() -> bool) -> Option<usize> {
        if self.nfa.states().len().saturating_mul(line.len()) <= QUICK {
            return self.regex.find(line).map(|found| found.start());
        }
        Search { nfa: &self.nfa, line, left: STEPS, go_on }.leftmost()
    }
}

/// Threads in the order of where they began: of those that come to the same state the first counts.
struct Threads {
    list: Vec<(StateID, usize)>,
    /// The round in which a state was last added.
    added: Vec<usize>,
}

impl Threads {
    fn new(states: usize) -> Self {
        Self { list: Vec::new(), added: vec![0; states] }
    }
}

/// A simulation of the automaton over one line.
struct Search<'s> {
    nfa: &'s NFA,
    line: &'s [u8],
    /// Steps until `go_on` is asked.
    left: u32,
    go_on: &'s mut dyn FnMut() -> bool,
}

impl Search<'_> {
    fn leftmost(&mut self) -> Option<usize> {
        let states = self.nfa.states().len();
        let (mut now, mut next) = (Threads::new(states), Threads::new(states));
        let (mut stack, mut best) = (Vec::new(), None);
        for at in 0..=self.line.len() {
            if best.is_none()
                && self.follow(&mut now, &mut stack, self.nfa.start_anchored(), at, at)?
            {
                best = Some(at);
            }
            if best.is_some() && now.list.is_empty() {
                break;
            }
            let byte = self.line.get(at);
            for (state, start) in now.list.drain(..) {
                // Those that follow began no earlier.
                if best.is_some_and(|best| start >= best) {
                    break;
                }
                let target = byte.and_then(|byte| self.transition(state, *byte));
                let Some(target) = target else { continue };
                if self.follow(&mut next, &mut stack, target, start, at + 1)? {
                    best = Some(start);
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        best
    }

    /// Adds what a state leads to without a byte; whether that is a match. Nothing when the search
    /// is to end.
    fn follow(
        &mut self,
        threads: &mut Threads,
        stack: &mut Vec<StateID>,
        state: StateID,
        start: usize,
        at: usize,
    ) -> Option<bool> {
        let mut matches = false;
        stack.push(state);
        while let Some(id) = stack.pop() {
            self.step()?;
            // Rounds begin at 1.
            if std::mem::replace(&mut threads.added[id], at + 1) == at + 1 {
                continue;
            }
            match self.nfa.state(id) {
                State::Look { look, next } => {
                    if self.nfa.look_matcher().matches(*look, self.line, at) {
                        stack.push(*next);
                    }
                }
                State::Union { alternates } => stack.extend(alternates.iter().copied()),
                State::BinaryUnion { alt1, alt2 } => stack.extend([*alt1, *alt2]),
                State::Capture { next, .. } => stack.push(*next),
                State::Match { .. } => matches = true,
                State::Fail => {}
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) => {
                    threads.list.push((id, start));
                }
            }
        }
        Some(matches)
    }

    fn transition(&self, state: StateID, byte: u8) -> Option<StateID> {
        match self.nfa.state(state) {
            State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
            State::Sparse(transitions) => transitions.matches_byte(byte),
            State::Dense(transitions) => transitions.matches_byte(byte),
            _ => None,
        }
    }

    /// Counts a step; nothing when there is to be none.
    fn step(&mut self) -> Option<()> {
        self.left -= 1;
        if self.left == 0 {
            self.left = STEPS;
            return (self.go_on)().then_some(());
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn simulated(pattern: &Pattern, line: &[u8]) -> Option<usize> {
        Search { nfa: &pattern.nfa, line, left: STEPS, go_on: &mut || true }.leftmost()
    }

    /// Grows with each byte of the line, for the engines too: its states stay apart.
    const LARGE: &str = "[ab]*a[ab]{1500}c";

    fn hostile_line() -> Vec<u8> {
        (0..1 << 20).map(|_| if fastrand::bool() { b'a' } else { b'b' }).collect()
    }

    #[test]
    fn a_search_that_takes_long_is_asked_whether_to_go_on() {
        let (pattern, line) = (Pattern::new(LARGE).unwrap(), hostile_line());
        let mut asked = 0;
        let begun = std::time::Instant::now();
        let found = pattern.find(&line, &mut || {
            asked += 1;
            asked < 100
        });
        assert_eq!((found, asked), (None, 100));
        assert!(begun.elapsed().as_secs() < 5, "took {:?}", begun.elapsed());
    }

    #[test]
    fn a_long_line_is_searched_to_its_end() {
        let mut line = vec![b'x'; 1 << 20];
        line.extend_from_slice("Größe_id".as_bytes());
        let pattern = Pattern::new(r"\b\w+ö\w+_id\b$").unwrap();
        assert_eq!(pattern.find(&line, &mut || true), Some(0), "one word");
        line[1 << 19] = b' ';
        assert_eq!(pattern.find(&line, &mut || true), Some((1 << 19) + 1));
        assert!(pattern.nfa.states().len() * line.len() > QUICK, "it was not simulated");
    }

    proptest! {
        #[test]
        fn it_finds_what_the_engines_find(
            pattern in prop::sample::select(vec![
                "a", "a+b", "(a|ab)(c|bcd)*", "^a|b$", r"\bb", r"\Bab", "(?i)aB", "a*?b", "[^a]",
                "", "^$", "a{2,4}c", "(ab?)*c", r"\w\s", "é", "(?-u:\\xff)a", r"(?m)^b$", "b|abc|c",
            ]),
            line in prop::collection::vec(
                prop::sample::select(vec![&b"a"[..], b"b", b"c", b"d", b" ", "é".as_bytes(), b"\xff", b"\n"]),
                0..24,
            ),
        ) {
            let (pattern, line) = (Pattern::new(pattern).unwrap(), line.concat());
            let wanted = pattern.regex.find(&line).map(|found| found.start());
            prop_assert_eq!(simulated(&pattern, &line), wanted);
        }
    }
}

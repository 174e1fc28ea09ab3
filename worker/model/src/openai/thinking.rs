//! Reasoning that stands at the beginning of the text, between `<think>` and `</think>`, as many
//! local models write it.

use crate::remote::Added;

const BEGIN: &str = "<think>";
const END: &str = "</think>";

/// Parts reasoning from text as it comes.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    state: State,
    /// What may be a tag and is not whole.
    held: String,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing but white space, or the beginning of a tag, came.
    #[default]
    Open,
    Inside,
    /// Behind the reasoning; white space is left out.
    Behind,
    Text,
}

impl Thinking {
    pub(super) fn push(&mut self, text: &str) -> Added {
        let mut added = Added::default();
        self.held.push_str(text);
        loop {
            match self.state {
                State::Open => {
                    let begin = self.held.trim_start();
                    if let Some(rest) = begin.strip_prefix(BEGIN) {
                        self.held = rest.to_owned();
                        self.state = State::Inside;
                    } else if BEGIN.starts_with(begin) {
                        return added;
                    } else {
                        self.state = State::Text;
                    }
                }
                State::Inside => {
                    if let Some((reasoning, rest)) = self.held.split_once(END) {
                        added.reasoning.push_str(reasoning);
                        self.held = rest.to_owned();
                        self.state = State::Behind;
                    } else {
                        let tag = (1..END.len()).rev().find(|&n| self.held.ends_with(&END[..n]));
                        let end = self.held.len() - tag.unwrap_or(0);
                        added.reasoning.extend(self.held.drain(..end));
                        return added;
                    }
                }
                State::Behind => {
                    let rest = self.held.trim_start().to_owned();
                    self.held = rest;
                    if self.held.is_empty() {
                        return added;
                    }
                    self.state = State::Text;
                }
                State::Text => {
                    added.text.push_str(&std::mem::take(&mut self.held));
                    return added;
                }
            }
        }
    }

    /// What was held back.
    pub(super) fn finish(&mut self) -> Added {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Inside => Added { reasoning: held, ..Added::default() },
            State::Open | State::Behind | State::Text => Added { text: held, ..Added::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_parted_however_it_is_cut() {
        for (whole, reasoning, text) in [
            ("<think>plan</think>\n\nHello", "plan", "Hello"),
            ("\n<think>a </b> c</think>x</think>", "a </b> c", "x</think>"),
            ("<thin", "", "<thin"),
            ("<think>never ends </thi", "never ends </thi", ""),
            ("Hello <think>x</think>", "", "Hello <think>x</think>"),
            (" plain", "", " plain"),
        ] {
            for size in 1..=whole.len() {
                let mut thinking = Thinking::default();
                let mut added = Added::default();
                for piece in whole.as_bytes().chunks(size) {
                    added.append(thinking.push(std::str::from_utf8(piece).unwrap()));
                }
                added.append(thinking.finish());
                assert_eq!((added.reasoning.as_str(), added.text.as_str()), (reasoning, text));
            }
        }
    }
}

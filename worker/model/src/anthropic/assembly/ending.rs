//! The end of a reply: whether it is whole, and what a limit cut.

use std::collections::HashSet;

use evonic_domain::ToolCall;
use serde_json::Value;

use super::{Assembly, block::Open};
use crate::{
    anthropic::blocks::Carrying,
    openai::{CUT_CALL, recovered_name, unique_id},
    remote::{Added, Failure, Finished},
};

impl Assembly {
    /// The reply, and a note at the end of its text that the endpoint did not send.
    ///
    /// # Errors
    /// [`Failure`] when it was refused, or is not complete.
    pub(crate) fn finish(mut self) -> Result<(Finished, Added), Failure> {
        let stop = self.stop.take();
        let cut = match stop.as_deref() {
            Some("end_turn" | "stop_sequence" | "tool_use") => false,
            Some("max_tokens") => true,
            Some("model_context_window_exceeded") if self.is_empty() => {
                let message = "nothing of the reply had room in the window".to_owned();
                let tokens = Some(self.usage.input_tokens);
                return Err(Failure::TooLong { window: self.terms.window, tokens, message });
            }
            Some("model_context_window_exceeded") => true,
            Some("refusal") => {
                let message = "it declined to reply (stop_reason refusal)".to_owned();
                return Err(Failure::Refused { status: 200, message });
            }
            Some(other) => {
                let other: String = other.chars().take(64).collect();
                return Err(Failure::incomplete(format!("it ended with {other:?}")));
            }
            None if self.stopped && !self.has_half() => false,
            None => return Err(Failure::transient("the answer ended before the reply did")),
        };
        let mut rest = Added::default();
        if cut {
            if self.is_empty() {
                let message =
                    "it was cut off at its limit of tokens before any of it came: raise max_tokens";
                return Err(Failure::Incomplete { message: message.to_owned(), again: false });
            }
            let (note, begun) = self.cut_short();
            if self.is_empty() && !begun {
                return Err(Failure::incomplete(CUT_CALL));
            }
            rest.text = note;
        }
        if self
            .blocks
            .values()
            .any(|block| matches!(block, Open::Call { name, .. } if name.is_empty()))
        {
            return Err(Failure::incomplete("a tool call without a name"));
        }
        if self.is_empty() {
            let reasoned = self.blocks.values().any(|block| matches!(block, Open::Kept(_)));
            return Err(Failure::incomplete(match (reasoned, self.blocks.is_empty()) {
                (true, _) => "nothing but reasoning came",
                (false, false) => "nothing but white space came",
                (false, true) if stop.as_deref() == Some("tool_use") => {
                    "it announced tool calls, and none came"
                }
                (false, true) => "nothing came but its end",
            }));
        }
        let mut finished = self.into_finished();
        finished.text.push_str(&rest.text);
        Ok((finished, rest))
    }

    fn into_finished(self) -> Finished {
        let mut carrying = Carrying::default();
        let own: HashSet<String> = self.blocks.values().filter_map(Open::id).collect();
        let mut given: HashSet<String> = HashSet::new();
        let (mut text, mut tool_calls) = (String::new(), Vec::new());
        for block in self.blocks.into_values() {
            match block {
                Open::Text(piece) => {
                    carrying.text(piece.len());
                    text.push_str(&piece);
                }
                Open::Call { id, name, input } => {
                    let taken = |id: &str| self.terms.taken.contains(id) || given.contains(id);
                    let id = match id.is_empty() || taken(&id) {
                        false => id,
                        true => unique_id(|id| taken(id) || own.contains(id)),
                    };
                    given.insert(id.clone());
                    let arguments = if input.trim().is_empty() { "{}".to_owned() } else { input };
                    let name = recovered_name(name, &self.terms);
                    tool_calls.push(ToolCall { id, name, arguments });
                    carrying.call();
                }
                Open::Kept(block) => carrying.keep(Value::Object(block)),
            }
        }
        Finished { text, tool_calls, usage: self.usage, carried: carrying.finish() }
    }

    fn is_empty(&self) -> bool {
        self.blocks.values().all(|block| match block {
            Open::Text(text) => text.trim().is_empty(),
            Open::Call { .. } => false,
            Open::Kept(_) => true,
        })
    }

    fn has_half(&self) -> bool {
        self.blocks.values().any(Open::is_half)
    }

    /// Drops what the limit cut: half of an argument must never be run, and thinking without its
    /// signature is refused. Returns a note, and whether something of what was cut had begun.
    fn cut_short(&mut self) -> (String, bool) {
        let said = |block: &Open| matches!(block, Open::Text(text) if !text.is_empty());
        let space = if self.blocks.values().any(said) { "\n\n" } else { "" };
        let is_blank =
            |block: &Open| matches!(block, Open::Call { input, .. } if input.trim().is_empty());
        // The last block is the one that was cut, also where nothing of its input came.
        let last = self.blocks.keys().next_back().copied();
        let all = self.blocks.len();
        let mut begun = false;
        self.blocks.retain(|index, block| {
            let is_cut = block.is_half() || (Some(*index) == last && is_blank(block));
            begun |= is_cut && !is_blank(block) && matches!(block, Open::Call { .. });
            !is_cut
        });
        let note = match all - self.blocks.len() {
            0 => format!("{space}[The reply was cut off at its limit of tokens.]"),
            cut => format!(
                "{space}[The reply was cut off at its limit of tokens; {cut} unfinished tool calls \
                 were dropped.]"
            ),
        };
        (note, begun)
    }
}

//! The assembly of a reply: events in, a reply out; or a whole message.

mod block;
mod ending;

use std::collections::BTreeMap;

use evonic_domain::Usage;
use serde_json::{Map, Value};

use self::block::Open;
use crate::{
    openai::{MAX_CALLS, number},
    remote::{Added, Failure, Terms},
};

/// The most blocks of a reply.
const MAX_BLOCKS: usize = 1024;

/// The reply so far.
#[derive(Debug)]
pub(crate) struct Assembly {
    terms: Terms,
    /// By index, in the order in which they stand.
    blocks: BTreeMap<u64, Open>,
    stop: Option<String>,
    stopped: bool,
    usage: Usage,
    bytes: usize,
}

impl Assembly {
    /// No part of a reply.
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            blocks: BTreeMap::new(),
            stop: None,
            stopped: false,
            usage: Usage::default(),
            bytes: 0,
        }
    }

    /// Takes the next event; returns what it added.
    ///
    /// # Errors
    /// [`Failure`] when it is none, or goes past a bound.
    pub(crate) fn take(&mut self, mut event: Value) -> Result<Added, Failure> {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let index = event.get("index").and_then(Value::as_u64);
        let mut part = |name: &str| event.get_mut(name).map(Value::take).unwrap_or_default();
        match kind.as_str() {
            "message_start" => {
                let message = part("message");
                self.take_usage(message.get("usage"));
                Ok(Added::default())
            }
            "message" => self.take_whole(event),
            "content_block_start" => {
                let next = self.blocks.keys().next_back().map_or(0, |last| last + 1);
                let block = part("content_block");
                self.begin(index.unwrap_or(next), block)
            }
            "content_block_delta" => {
                let last = self.blocks.keys().next_back().copied().unwrap_or(0);
                let delta = part("delta");
                self.extend(index.unwrap_or(last), delta)
            }
            "message_delta" => {
                let delta = part("delta");
                self.take_usage(event.get("usage"));
                let stop = delta.get("stop_reason").and_then(Value::as_str).map(str::to_owned);
                self.stop = stop.or(self.stop.take());
                Ok(Added::default())
            }
            "message_stop" => {
                self.stopped = true;
                Ok(Added::default())
            }
            // `ping`, `content_block_stop`, and what is not there yet.
            _ => Ok(Added::default()),
        }
    }

    /// A message that did not come in pieces.
    fn take_whole(&mut self, mut message: Value) -> Result<Added, Failure> {
        self.take_usage(message.get("usage"));
        let stop = message.get("stop_reason").and_then(Value::as_str);
        self.stop = stop.map(str::to_owned);
        self.stopped = true;
        let mut added = Added::default();
        if let Some(Value::Array(blocks)) = message.get_mut("content").map(Value::take) {
            for (index, block) in (0..).zip(blocks) {
                added.append(self.begin(index, block)?);
            }
        }
        Ok(added)
    }

    fn begin(&mut self, index: u64, block: Value) -> Result<Added, Failure> {
        let Value::Object(mut block) = block else {
            return Err(Failure::protocol("a content block is no object"));
        };
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(Failure::protocol(format!("more than {MAX_BLOCKS} content blocks")));
        }
        let text = |block: &Map<String, Value>, name: &str| {
            block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut added = Added::default();
        let open = match text(&block, "type").as_str() {
            "text" => {
                added.text = text(&block, "text");
                Open::Text(added.text.clone())
            }
            "tool_use" => {
                let calls = self.blocks.values().filter(|block| matches!(block, Open::Call { .. }));
                if calls.count() == MAX_CALLS {
                    return Err(Failure::protocol(format!("more than {MAX_CALLS} tool calls")));
                }
                // An empty object at the start of a stream: what it is comes in pieces.
                let input = match block.remove("input") {
                    Some(Value::Object(input)) if !input.is_empty() => {
                        Value::Object(input).to_string()
                    }
                    Some(Value::String(input)) => input,
                    _ => String::new(),
                };
                Open::Call { id: text(&block, "id"), name: text(&block, "name"), input }
            }
            kind => {
                if kind == "thinking" {
                    added.reasoning = text(&block, "thinking");
                }
                Open::Kept(block)
            }
        };
        self.count(open.bytes())?;
        self.blocks.insert(index, open);
        Ok(added)
    }

    fn extend(&mut self, index: u64, delta: Value) -> Result<Added, Failure> {
        let piece = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        let kind = piece("type").to_owned();
        let mut added = Added::default();
        let open = self.blocks.entry(index).or_insert_with(|| match kind.as_str() {
            // An endpoint that leaves out the start of a block.
            "text_delta" => Open::Text(String::new()),
            "input_json_delta" => Open::call(),
            _ => Open::Kept(Map::new()),
        });
        let bytes = match (kind.as_str(), open) {
            ("text_delta", Open::Text(text)) => {
                added.text = piece("text").to_owned();
                text.push_str(&added.text);
                added.text.len()
            }
            ("input_json_delta", Open::Call { input, .. }) => {
                input.push_str(piece("partial_json"));
                piece("partial_json").len()
            }
            ("thinking_delta", Open::Kept(block)) => {
                added.reasoning = piece("thinking").to_owned();
                append(block, "thinking", &added.reasoning);
                added.reasoning.len()
            }
            ("signature_delta", Open::Kept(block)) => {
                append(block, "signature", piece("signature"));
                piece("signature").len()
            }
            // Citations, and what is not there yet.
            _ => 0,
        };
        self.count(bytes)?;
        Ok(added)
    }

    /// What was read of a cache and written to one is counted beside the rest of the input.
    fn take_usage(&mut self, usage: Option<&Value>) {
        let count = |name: &str| usage.and_then(|usage| number(usage.get(name)?));
        let known = &mut self.usage;
        let write = count("cache_creation_input_tokens").unwrap_or(known.cache_write_tokens);
        let cached = count("cache_read_input_tokens").unwrap_or(known.cached_tokens);
        let special = known.cached_tokens.saturating_add(known.cache_write_tokens);
        let plain = count("input_tokens").unwrap_or(known.input_tokens.saturating_sub(special));
        known.cache_write_tokens = write;
        known.cached_tokens = cached;
        known.input_tokens = plain.saturating_add(cached).saturating_add(write);
        known.output_tokens = count("output_tokens").unwrap_or(known.output_tokens);
        let thinking =
            usage.and_then(|u| number(u.pointer("/output_tokens_details/thinking_tokens")?));
        known.reasoning_tokens = thinking.unwrap_or(known.reasoning_tokens);
    }

    /// The tokens so far.
    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether any token of a reply came.
    pub(crate) const fn is_begun(&self) -> bool {
        self.bytes > 0
    }

    /// Whether the endpoint said how the reply ends.
    pub(crate) const fn is_finished(&self) -> bool {
        self.stopped || self.stop.is_some()
    }

    /// Whether nothing more comes.
    pub(crate) const fn is_done(&self) -> bool {
        self.stopped
    }

    fn count(&mut self, bytes: usize) -> Result<(), Failure> {
        self.bytes += bytes;
        let limit = self.terms.limit;
        if self.bytes > limit { Err(Failure::TooLarge { limit }) } else { Ok(()) }
    }
}

fn append(block: &mut Map<String, Value>, name: &str, piece: &str) {
    match block.get_mut(name) {
        Some(Value::String(text)) => text.push_str(piece),
        _ => {
            block.insert(name.to_owned(), Value::String(piece.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests;

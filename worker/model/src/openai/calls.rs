//! The tool calls of a reply: pieces in, calls out. Endpoints number them all 0, or not at all, or
//! give every piece an id of its own.

use std::collections::HashSet;

use evonic_domain::ToolCall;
use serde_json::{Map, Value};

use crate::remote::{Failure, Terms};

/// The most tool calls of a reply.
pub(crate) const MAX_CALLS: usize = 64;

/// What is wrong with a reply that the limit of tokens ended before the arguments of its call.
pub(crate) const CUT_CALL: &str =
    "it was cut off at its limit of tokens within a tool call: raise max_tokens";

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    /// Other fields of it, and of its function: they go back as they came.
    extra: Map<String, Value>,
    function_extra: Map<String, Value>,
}

/// A piece of a call.
#[derive(Debug, Default)]
struct Piece {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    extra: Map<String, Value>,
    function_extra: Map<String, Value>,
}

impl Calls {
    pub(super) const fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Takes pieces; returns their bytes.
    ///
    /// # Errors
    /// [`Failure`] when they are no calls, or too many.
    pub(super) fn take(&mut self, pieces: Value, terms: &Terms) -> Result<usize, Failure> {
        let pieces = match pieces {
            Value::Null => return Ok(0),
            Value::Array(pieces) => pieces,
            other => {
                let what = if other.is_object() { "an object" } else { "a plain value" };
                return Err(Failure::protocol(format!("tool_calls is {what}, not a list")));
            }
        };
        let mut bytes = 0;
        for piece in pieces {
            bytes += self.take_piece(piece_of(piece)?, terms)?;
        }
        Ok(bytes)
    }

    /// Takes a piece of the one call that an endpoint of old has.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) fn take_function(
        &mut self,
        function: Value,
        terms: &Terms,
    ) -> Result<usize, Failure> {
        let mut piece = Map::new();
        piece.insert("index".to_owned(), Value::from(0));
        piece.insert("function".to_owned(), function);
        self.take_piece(piece_of(Value::Object(piece))?, terms)
    }

    fn take_piece(&mut self, piece: Piece, terms: &Terms) -> Result<usize, Failure> {
        let extra = [&piece.extra, &piece.function_extra];
        let extra: usize =
            extra.iter().flat_map(|map| map.values()).map(|v| v.to_string().len()).sum();
        let bytes = piece.id.len() + piece.name.len() + piece.arguments.len() + extra;
        let known = |name: &str| terms.tools.iter().any(|(sent, _)| sent == name);
        let place = self.place(&piece, &known);
        if place.is_none() && self.calls.len() == MAX_CALLS {
            return Err(Failure::protocol(format!("more than {MAX_CALLS} tool calls")));
        }
        let place = place.unwrap_or_else(|| {
            self.calls.push(Call { index: piece.index, ..Call::default() });
            self.calls.len() - 1
        });
        let call = &mut self.calls[place];
        if call.id.is_empty() {
            call.id = piece.id;
        }
        // Some endpoints repeat the name with each piece, some cut it.
        if call.name != piece.name && !known(&call.name) {
            call.name.push_str(&piece.name);
        }
        // Some send the whole call again at its end.
        let repeated = call.arguments == piece.arguments && is_object(&call.arguments);
        if !repeated {
            call.arguments.push_str(&piece.arguments);
        }
        call.extra.extend(piece.extra);
        call.function_extra.extend(piece.function_extra);
        Ok(bytes)
    }

    /// The call that a piece belongs to; none when it begins a new one.
    fn place(&self, piece: &Piece, known: &impl Fn(&str) -> bool) -> Option<usize> {
        let named =
            |call: &Call| piece.index.is_none() && !piece.id.is_empty() && call.id == piece.id;
        if let Some(place) = self.calls.iter().rposition(named) {
            return Some(place);
        }
        let numbered = |call: &Call| piece.index.is_none() || call.index == piece.index;
        let place = self.calls.iter().rposition(numbered)?;
        let call = &self.calls[place];
        let other_id = !piece.id.is_empty() && !call.id.is_empty() && call.id != piece.id;
        let same_id = !piece.id.is_empty() && call.id == piece.id;
        let begins = if piece.name.is_empty() || same_id || call.name.is_empty() {
            false
        } else if other_id {
            true
        } else if is_object(&call.arguments) {
            // Whole arguments: what follows is another call, unless it only repeats the name.
            piece.name != call.name || !piece.arguments.is_empty()
        } else {
            call.arguments.is_empty() && piece.name != call.name && known(&call.name)
        };
        (!begins).then_some(place)
    }

    /// Whether the arguments of a call are cut.
    pub(super) fn has_half(&self) -> bool {
        self.calls.iter().any(|call| call.name.is_empty() || is_half(&call.arguments))
    }

    pub(super) fn has_nameless(&self) -> bool {
        self.calls.iter().any(|call| call.name.is_empty())
    }

    /// Drops the calls that a limit cut: half of an argument must never run, and arguments of which
    /// nothing came are cut too. How many, and whether the arguments of one were begun.
    pub(super) fn drop_cut(&mut self) -> (usize, bool) {
        let all = self.calls.len();
        let mut begun = false;
        self.calls.retain(|call| {
            let is_blank = call.arguments.trim().is_empty();
            let is_whole = !call.name.is_empty() && !is_blank && !is_half(&call.arguments);
            begun |= !is_whole && !is_blank;
            is_whole
        });
        (all - self.calls.len(), begun)
    }

    /// Calls with ids of their own, the names that their tools have, and arguments that are at
    /// least an empty object; and what goes back with them, by id.
    pub(super) fn finish(self, terms: &Terms) -> (Vec<ToolCall>, Map<String, Value>) {
        let mut given: HashSet<String> = HashSet::new();
        let own: HashSet<String> = self.calls.iter().map(|call| call.id.clone()).collect();
        let mut carried = Map::new();
        let calls = self.calls.into_iter().map(|mut call| {
            let free = !call.id.is_empty() && !terms.taken.contains(&call.id);
            let id = if free && !given.contains(&call.id) {
                call.id
            } else {
                unique_id(|id| terms.taken.contains(id) || given.contains(id) || own.contains(id))
            };
            given.insert(id.clone());
            if !call.function_extra.is_empty() {
                call.extra.insert("function".to_owned(), Value::Object(call.function_extra));
            }
            if !call.extra.is_empty() {
                carried.insert(id.clone(), Value::Object(call.extra));
            }
            let blank = call.arguments.trim().is_empty();
            let arguments = if blank { "{}".to_owned() } else { call.arguments };
            ToolCall { id, name: recovered_name(call.name, terms), arguments }
        });
        (calls.collect(), carried)
    }
}

fn piece_of(piece: Value) -> Result<Piece, Failure> {
    let Value::Object(mut piece) = piece else {
        return Err(Failure::protocol("a tool call is no object"));
    };
    let index =
        match piece.remove("index") {
            None | Some(Value::Null) => None,
            Some(index) => {
                let number = index.as_u64().or_else(|| index.as_str()?.parse().ok());
                Some(number.ok_or_else(|| {
                    Failure::protocol(format!("a tool call with the index {index}"))
                })?)
            }
        };
    let text = |value: Option<Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    };
    let id = text(piece.remove("id"));
    piece.remove("type");
    let mut function = match piece.remove("function") {
        Some(Value::Object(function)) => function,
        None | Some(Value::Null) => Map::new(),
        Some(_) => return Err(Failure::protocol("the function of a tool call is no object")),
    };
    let (name, arguments) = (text(function.remove("name")), text(function.remove("arguments")));
    let filled = |map: Map<String, Value>| map.into_iter().filter(|(_, value)| !value.is_null());
    Ok(Piece {
        index,
        id,
        name,
        arguments,
        extra: filled(piece).collect(),
        function_extra: filled(function).collect(),
    })
}

fn is_object(arguments: &str) -> bool {
    arguments.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}

/// Whether arguments are the beginning of JSON, and not all of it.
fn is_half(arguments: &str) -> bool {
    let read = serde_json::from_str::<serde::de::IgnoredAny>(arguments);
    !arguments.trim().is_empty() && read.is_err_and(|error| error.is_eof())
}

/// An id that fits every endpoint: nine letters and digits, as Mistral wants them.
pub(crate) fn unique_id(taken: impl Fn(&str) -> bool) -> String {
    let mut ids = (1_u32..).map(|number| format!("call{number:05}"));
    ids.find(|id| !taken(id)).expect("numbers do not end")
}

/// The name of the tool that a call means: models add what belongs to their templates.
pub(crate) fn recovered_name(name: String, terms: &Terms) -> String {
    let real = |sent: &str| {
        terms.tools.iter().find(|(known, _)| known == sent).map(|(_, real)| real.clone())
    };
    let before_token = || real(name.split_once("<|")?.0.trim());
    let bare = || real(name.strip_prefix("functions.")?);
    let found = real(&name).or_else(|| real(name.trim())).or_else(before_token).or_else(bare);
    found.unwrap_or(name)
}

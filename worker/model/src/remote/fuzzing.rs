//! The decoders of answers, for the fuzzer.

use evonic_shared::fuzzing::cut;

use super::{Added, Answer, Assembly, Finished, Terms};
use crate::{anthropic, openai};

/// Small enough for the fuzzer to go beyond it.
const MAX_REPLY_BYTES: usize = 256;

/// An answer of Chat Completions: where it is cut does not matter.
pub(crate) fn openai_answer(bytes: &[u8]) {
    whole_and_cut(bytes, |terms| Assembly::OpenAi(openai::Assembly::new(terms)));
}

/// An answer of Messages: where it is cut does not matter.
pub(crate) fn messages_answer(bytes: &[u8]) {
    whole_and_cut(bytes, |terms| Assembly::Anthropic(anthropic::Assembly::new(terms)));
}

fn whole_and_cut(bytes: &[u8], assembly: impl Fn(Terms) -> Assembly) {
    let terms = || Terms { limit: MAX_REPLY_BYTES, ..Terms::default() };
    let (whole, mut pieces) = cut(bytes);
    let one = read(assembly(terms()), &mut std::iter::once(whole));
    assert_eq!(one, read(assembly(terms()), &mut pieces));
}

/// What came in pieces, and the reply; nothing when it fails. Of what follows its end an answer in
/// one piece may see more.
fn read(
    assembly: Assembly,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> Option<(Added, Finished)> {
    let (mut answer, mut added) = (Answer::new(assembly, MAX_REPLY_BYTES), Added::default());
    for piece in pieces {
        if answer.is_done() {
            break;
        }
        added.append(answer.push(piece).ok()?);
    }
    let (reply, rest) = answer.end().ok()?;
    added.append(rest);
    Some((added, reply))
}

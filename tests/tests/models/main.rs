//! Models as their endpoints really answer, through a whole pair: what becomes of the turn.

mod check;
mod endpoint;
mod reported;

use std::process::Output;

/// What a command wrote to both streams.
fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

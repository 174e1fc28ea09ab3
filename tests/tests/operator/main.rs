//! What operators meet: restarts, health checks, broken configurations, files in the way, signals.

mod configuration;
mod health;
mod paths;
mod restart;
mod signals;

use std::process::Output;

/// What a command wrote to both streams.
fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

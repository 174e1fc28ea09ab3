//! The log of this process, in the form that its reader wants ([`evonic_shared::log`]).
//!
//! A reader that does not read, or is gone, costs lines and nothing else: no thread of the worker
//! waits for it longer than [`evonic_process::log::WRITE_TIMEOUT`].

mod layer;

use std::time::SystemTime;

use evonic_process::log::Output;
use evonic_shared::{
    config::LogFormat,
    log::{Fields, Line},
};
use tracing::Level;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt};

pub(super) use evonic_shared::log::Style;

use self::layer::Lines;

/// What lines call this program.
const PROGRAM: &str = "evonic";

/// Starts the log and returns how its lines are written. The configuration refuses a filter that
/// cannot be read; should one come here all the same, `info` stands in for it.
pub(super) fn start(filter: &str, format: LogFormat) -> Style {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let output = Output::new(format).connected();
    let style = output.style;
    let log = tracing_subscriber::registry().with(filter).with(Lines(output));
    // A log that was set before stays: only tests set one.
    let _ = tracing::subscriber::set_global_default(log);
    style
}

/// One line for standard error that needs no subscriber, for a caller that cannot trust it any
/// more.
pub(super) fn bare_line(style: Style, text: &str) -> Vec<u8> {
    let fields = Fields { message: text.to_owned(), ..Fields::default() };
    let style = if style == Style::Native { Style::Prefixed } else { style };
    Line { program: PROGRAM, level: Level::ERROR, target: PROGRAM, fields }
        .encode(style, SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_has_the_form_of_the_others() {
        assert_eq!(bare_line(Style::Native, "late"), b"<3>late\n");
        assert!(bare_line(Style::Plain, "late").ends_with(b" ERROR evonic: late\n"));
        let line: serde_json::Value =
            serde_json::from_slice(&bare_line(Style::Json, "late")).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"error".into(), &"late".into()));
    }
}

//! The log of this process, in the form that its reader wants ([`evonic_shared::log`]).
//!
//! A reader that does not read, or is gone, costs lines and nothing else: no thread of the worker
//! waits for it longer than [`evonic_process::log::WRITE_TIMEOUT`].

use std::time::SystemTime;

use evonic_process::log::Output;
use evonic_shared::{
    config::LogFormat,
    log::{Fields, Line},
};
use tracing::{
    Event, Level, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

pub(super) use evonic_shared::log::Style;

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

/// The layer that writes each event as a line, with the fields of the spans around it.
#[derive(Debug)]
struct Lines(Output);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        let mut spans = Vec::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            spans.push(span.name());
            if let Some(around) = span.extensions().get::<Fields>() {
                fields.others.extend(around.others.clone());
            }
        }
        if !spans.is_empty() {
            fields.others.insert("span".to_owned(), spans.join(":").into());
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        // A line that cannot be logged has nowhere to go.
        let _ = self.0.write(&Line { program: PROGRAM, level, target, fields });
    }
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
    use std::{error::Error, os::unix::net::UnixDatagram};

    use super::*;

    #[test]
    fn a_bare_line_has_the_form_of_the_others() {
        assert_eq!(bare_line(Style::Native, "late"), b"<3>late\n");
        assert!(bare_line(Style::Plain, "late").ends_with(b" ERROR evonic: late\n"));
        let line: serde_json::Value =
            serde_json::from_slice(&bare_line(Style::Json, "late")).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"error".into(), &"late".into()));
    }

    #[test]
    fn a_line_has_the_fields_of_its_spans() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let output = Lines(Output::with_style(Style::Native, &path));
        let subscriber = tracing_subscriber::registry().with(output);
        tracing::subscriber::with_default(subscriber, || {
            let turn = tracing::info_span!("invoke_agent", turn_id = "trn_1", steps = 0);
            turn.record("steps", 2);
            let _inside = turn.entered();
            let _call = tracing::info_span!("execute_tool", gen_ai.tool.name = "bash").entered();
            let error = std::io::Error::other("broken");
            let elapsed_ms = std::time::Duration::from_secs(1).as_millis();
            tracing::warn!(error = &error as &dyn Error, elapsed_ms, "call failed");
        });
        let mut datagram = [0; 4096];
        let length = journald.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(&datagram[..length]);
        for wanted in [
            "MESSAGE=call failed turn_id=trn_1 steps=2 gen_ai.tool.name=bash \
             span=invoke_agent:execute_tool error=broken elapsed_ms=1000\n",
            "PRIORITY=4\n",
            "SYSLOG_IDENTIFIER=evonic\n",
            "EVONIC_TURN_ID=trn_1\n",
            "EVONIC_STEPS=2\n",
            "EVONIC_GEN_AI_TOOL_NAME=bash\n",
            "EVONIC_ERROR=broken\n",
            "EVONIC_ELAPSED_MS=1000\n",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}

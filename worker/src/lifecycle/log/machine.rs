//! Lines for machines: the fields of an event and of the spans around it, as JSON or for journald.

use std::{error::Error, fmt, io::Write, path::Path};

use evonic_shared::log::{JOURNAL_SOCKET, Line, Severity};
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

use super::{PROGRAM, journal::Journal, stderr::Stderr};

/// Where lines go.
#[derive(Debug)]
pub(super) enum Machine {
    /// To standard error, as JSON.
    Json(Stderr),
    /// To journald.
    Journal(Journal),
}

impl Machine {
    fn write(&self, line: &Line) {
        match self {
            // A line whose reader does not read is dropped.
            Self::Json(stderr) => {
                let _ = stderr.clone().write_all(line.to_json(&now()).as_bytes());
            }
            Self::Journal(journal) => journal.send(&line.to_journal(), Path::new(JOURNAL_SOCKET)),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Machine {
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
        self.write(&Line {
            program: PROGRAM,
            severity: severity(*metadata.level()),
            target: metadata.target().to_owned(),
            message: fields.message,
            fields: fields.others,
        });
    }
}

/// How much a level matters.
pub(super) fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG => Severity::Debug,
        Level::TRACE => Severity::Trace,
    }
}

/// RFC 3339, UTC.
pub(super) fn now() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Fields of an event or of a span.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let name = field.name().strip_prefix("r#").unwrap_or(field.name());
        self.others.insert(name.to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, text);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_line_has_the_fields_of_its_spans() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let machine = Machine::Journal(Journal::open(&path).unwrap());
        let subscriber = tracing_subscriber::registry().with(machine);
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

    #[test]
    fn a_journal_that_does_not_read_or_is_gone_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::open(&path).unwrap();
        (0..2000).step_by(100).for_each(|_| journal.send(&[b'x'; 60_000], &path));
        drop(journald);
        journal.send(b"MESSAGE=nobody\n", &path);
        std::fs::remove_file(&path).unwrap();
        let again = UnixDatagram::bind(&path).unwrap();
        journal.send(b"MESSAGE=again\n", &path);
        let mut datagram = [0; 64];
        let length = again.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..length], b"MESSAGE=again\n");
    }
}

//! The layer that writes each event as a line, with the fields of the spans around it.

use evonic_process::log::Output;
use evonic_shared::log::{Fields, Line};
use tracing::{
    Event, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::PROGRAM;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Lines(pub(super) Output);

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

#[cfg(test)]
mod tests {
    use std::{error::Error, os::unix::net::UnixDatagram};

    use evonic_shared::log::Style;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

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

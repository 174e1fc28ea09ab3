//! A step that runs a tool.

use std::{ops::ControlFlow, time::Duration};

use tracing::Instrument;

use super::{Flow, Run, append, words};
use crate::{
    agent::{
        gather::Gather,
        job::{Heard, Job},
    },
    domain::{EventKind, Outcome, ToolCall},
    tools::ToolResult,
};

/// How long a cancelled tool may take to stop by itself before it is cut off: with the writes
/// around it, a cancel takes less than a second.
const CANCEL_PATIENCE: Duration = Duration::from_millis(700);

impl Run {
    /// Commits that the call is about to run, runs it, and commits its result.
    pub(super) async fn call(&mut self, call: ToolCall) -> Flow {
        if !self.specs.iter().any(|spec| spec.name == call.name) {
            return self.refuse(call).await;
        }
        let mark = format!("call_{}", uuid::Uuid::now_v7().simple());
        let (starting, its_mark) = (call.clone(), mark.clone());
        self.commit(move |writer, lease| writer.start_call(lease, &starting, &its_mark)).await?;

        let mut job = self.start(call.clone(), mark);
        let mut gather = Gather::new(self.bench.settings.coalesce);
        let cancel = self.signals.cancel.clone();
        let overdue = async move {
            cancel.cancelled().await;
            tokio::time::sleep(CANCEL_PATIENCE).await;
        };
        tokio::pin!(overdue);
        let result = loop {
            tokio::select! {
                biased;
                () = &mut overdue => {
                    job.end().await;
                    let content = words::CANCELLED_HARD.to_owned();
                    break Ok(ToolResult { outcome: Outcome::Cancelled, content });
                }
                () = gather.due() => self.publish_output(&call, &mut gather).await?,
                heard = job.heard() => match heard {
                    Heard::Ended(result) => break result,
                    Heard::Piece(piece) => {
                        gather.push(&piece);
                        if gather.is_full() {
                            self.publish_output(&call, &mut gather).await?;
                        }
                    }
                },
            }
        };
        let last = output(&call, &mut gather);
        match result {
            Ok(ToolResult { outcome, content }) => self.finish(call, outcome, content, last).await,
            Err(defect) => {
                let message = format!("tool {} broke: {}", call.name, defect.message);
                tracing::error!(call_id = call.id, error = message, "tool has a defect");
                let content = words::TOOL_DEFECT.to_owned();
                self.finish(call, Outcome::Unknown, content, last).await?;
                ControlFlow::Break(self.fail(words::internal(message)).await)
            }
        }
    }

    fn start(&self, call: ToolCall, mark: String) -> Job<String, ToolResult> {
        let span = tracing::info_span!(
            "execute_tool",
            gen_ai.tool.name = call.name,
            gen_ai.tool.call.id = call.id
        );
        let (tools, cancel) = (self.bench.tools.clone(), self.signals.cancel.clone());
        Job::start(|output| {
            async move { tools.run(&call, &mark, output, &cancel).await }.instrument(span)
        })
    }

    /// Answers a call of a tool that the agent does not have.
    async fn refuse(&mut self, call: ToolCall) -> Flow {
        let content = words::no_such_tool(&call.name, self.specs.iter().map(|spec| spec.name));
        self.finish(call, Outcome::Error, content, Vec::new()).await
    }

    async fn publish_output(&self, call: &ToolCall, gather: &mut Gather) -> Flow {
        let events = output(call, gather);
        self.commit(move |writer, lease| append(writer, lease, &events)).await
    }
}

/// What was gathered of a call's output.
fn output(call: &ToolCall, gather: &mut Gather) -> Vec<EventKind> {
    let event = |text| EventKind::ToolOutput { call_id: call.id.clone(), text };
    gather.take().map(event).into_iter().collect()
}

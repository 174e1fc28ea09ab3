//! `copy`.

use std::sync::Arc;

use async_trait::async_trait;
use evonic_shared::error_chain::ErrorChain;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::Limits;
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Piece, Tool, ToolResult, ToolSpec, format,
    tool::spec,
};
use evonic_domain::Outcome;
use evonic_workplace::{Backend, CopyError, Copying, Progress};

const DESCRIPTION: &str = "Copies a file, or a folder with `recursive`, within the workplace or between it and another \
     one that this agent may use, and checks that the copy is the same. An unfinished copy is gone \
     on with by the same call again.";

/// Steps of a copy that may wait to be shown.
const STEPS: usize = 16;

/// A copy shows its progress when this part of its bytes was added.
const PARTS: u64 = 20;

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// A path in the workplace, or WORKPLACE:PATH in another one.
    #[schemars(length(min = 1))]
    from: String,
    /// Its new path, as `from`; below it when it is a folder that is there.
    #[schemars(length(min = 1))]
    to: String,
    /// Whether a folder is copied, with everything below it. Default: false.
    recursive: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Copy(pub(super) Limits);

#[async_trait]
impl Tool for Copy {
    fn spec(&self) -> ToolSpec {
        spec::<Arguments>("copy", DESCRIPTION, Effect::Change, Ending::GoesOn)
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let Arguments { from, to, recursive } = call.arguments()?;
        let recursive = recursive.unwrap_or_default();
        let source = End::named(&call, "from", &from).await?;
        let target = End::named(&call, "to", &to).await?;
        let id = id(&source, &target, recursive);
        let copying = Copying {
            from: source.backend,
            from_path: source.path,
            to: target.backend,
            to_path: target.path,
            recursive,
            id,
        };
        let (sender, steps) = mpsc::channel(STEPS);
        let copied = async {
            let (copied, summary) = tokio::join!(
                copying.run(sender, call.cancel),
                stream_progress(steps, &call.output, self.0.max_output_bytes),
            );
            copied.map(|()| summary)
        };
        let result = match tokio::time::timeout(self.0.timeout, copied).await {
            Ok(Ok(summary)) => ToolResult::ok(format!("copied {summary} from {from} to {to}")),
            Ok(Err(CopyError::Cancelled)) => ToolResult {
                outcome: Outcome::Cancelled,
                content: "[cancelled; the same call again goes on where it was]".to_owned(),
            },
            Ok(Err(error)) => ToolResult::error(ErrorChain(&error).to_string()),
            Err(_) => {
                let seconds = format::count(self.0.timeout.as_secs());
                ToolResult::error(format!(
                    "[timed out after {seconds} s; the same call again goes on where it was]"
                ))
            }
        };
        Ok(result.into())
    }
}

/// One end of a copy.
struct End {
    backend: Arc<dyn Backend>,
    /// Identifier of the workplace.
    workplace: String,
    path: String,
}

impl End {
    /// `PATH` in the call's workplace, or `WORKPLACE:PATH`, as this argument names it.
    async fn named(call: &Call<'_>, argument: &str, end: &str) -> Result<Self, ArgumentError> {
        let of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let other = end.split_once(':').filter(|(workplace, path)| {
            !workplace.is_empty() && !path.is_empty() && workplace.chars().all(of_a_name)
        });
        let own = Arc::clone(call.workplace);
        let (backend, workplace, path) = match (other, call.reach) {
            (None, reach) => (own, reach.map_or(String::new(), |reach| reach.own.clone()), end),
            (Some((workplace, _)), None) => {
                let problem = format!("{argument}: there is no workplace {workplace}");
                return Err(ArgumentError(problem));
            }
            (Some((workplace, path)), Some(reach)) => {
                let opened = reach.open(workplace).await;
                let (other, id) =
                    opened.map_err(|problem| ArgumentError(format!("{argument}: {problem}")))?;
                (other.unwrap_or(own), id, path)
            }
        };
        Ok(Self { backend, workplace, path: path.to_owned() })
    }
}

/// Names a copy by what is copied: the same one again continues where it was, whoever makes it.
fn id(from: &End, to: &End, recursive: bool) -> String {
    let mut hash = Sha256::new();
    for part in [&from.workplace, &from.path, &to.workplace, &to.path] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.update([u8::from(recursive)]);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Shows the progress of a copy, in lines of at most so many bytes in all. Returns a summary of what
/// was copied.
async fn stream_progress(
    mut steps: mpsc::Receiver<Progress>,
    output: &mpsc::Sender<Piece>,
    max_bytes: usize,
) -> String {
    let (mut left, mut next, mut part, mut skipped) = (max_bytes, 0, 1, 0);
    let mut summary = "nothing".to_owned();
    while let Some(step) = steps.recv().await {
        let line = match step {
            Progress::Planned { files, bytes } => {
                part = (bytes / PARTS).max(1);
                format!("{}, {}\n", format::plural(files, "file", "files"), format::bytes(bytes))
            }
            Progress::Moved { bytes, .. } if bytes < next => continue,
            Progress::Moved { path, bytes } => {
                next = bytes + part;
                format!("{} at {path}\n", format::bytes(bytes))
            }
            Progress::Paused { reason, retry_ms } => {
                format!("{reason}; tried again in {} ms\n", format::count(retry_ms))
            }
            Progress::Checked { path, sha256 } => format!("{path} is the same: {sha256}\n"),
            Progress::Done { files, bytes, sent } => {
                let files = format::plural(files, "file", "files");
                let bytes = format::bytes(bytes);
                summary = format!("{files}, {bytes} ({} sent)", format::bytes(sent));
                continue;
            }
            Progress::Skipped { path, reason } => {
                skipped += 1;
                format!("{path} is not copied: {reason}\n")
            }
            Progress::Noted { path, note } => format!("{path}: {note}\n"),
            Progress::Failed { .. } => continue,
        };
        if let Some(rest) = left.checked_sub(line.len()) {
            left = rest;
            // Without a listener the copy continues all the same.
            let _ = output.send(Piece { text: line, output_offset: 0 }).await;
        }
    }
    if skipped > 0 {
        let ones = format::plural(skipped, "one", "ones");
        summary.push_str(&format!(", without {ones} that are neither files nor folders,"));
    }
    summary
}

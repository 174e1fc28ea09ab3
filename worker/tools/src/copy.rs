//! `copy`.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Answer, Inner, Piece, ToolResult, arguments::Copy, command::Caller, figures};
use evonic_domain::Outcome;
use evonic_workplace::{Backend, CopyError, Copying, Progress};

/// Steps of a copy that may wait to be told.
const STEPS: usize = 16;

/// A copy tells how far it is when this part of its bytes was added.
const PARTS: u64 = 20;

/// One end of a copy.
struct End {
    place: Arc<dyn Backend>,
    /// Identifier of the workplace.
    workplace: String,
    path: String,
}

impl Inner {
    pub(super) async fn copy(&self, arguments: Copy, caller: Caller<'_>) -> Answer {
        let Copy { from, to, recursive } = arguments;
        let ends = match (self.end(&from).await, self.end(&to).await) {
            (Ok(from), Ok(to)) => (from, to),
            (Err(problem), _) => return refused("from", &problem),
            (_, Err(problem)) => return refused("to", &problem),
        };
        let id = id(&ends.0, &ends.1, recursive);
        let copying = Copying {
            from: ends.0.place,
            from_path: ends.0.path,
            to: ends.1.place,
            to_path: ends.1.path,
            recursive,
            id,
        };
        let (sender, steps) = mpsc::channel(STEPS);
        let copied = async {
            let (copied, done) = tokio::join!(
                copying.run(sender, caller.cancel),
                told(steps, &caller.output, self.settings.max_output_bytes as usize),
            );
            copied.map(|()| done)
        };
        match tokio::time::timeout(self.settings.timeout, copied).await {
            Ok(Ok(done)) => ToolResult::ok(format!("copied {done} from {from} to {to}")),
            Ok(Err(CopyError::Cancelled)) => ToolResult {
                outcome: Outcome::Cancelled,
                content: "[cancelled; the same call again goes on where it was]".to_owned(),
            },
            Ok(Err(error)) => {
                let causes =
                    std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
                let causes = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                ToolResult::error(causes)
            }
            Err(_) => {
                let seconds = figures::count(self.settings.timeout.as_secs());
                ToolResult::error(format!(
                    "[timed out after {seconds} s; the same call again goes on where it was]"
                ))
            }
        }
        .into()
    }

    /// `PATH` in the workplace, or `WORKPLACE:PATH`.
    async fn end(&self, end: &str) -> Result<End, String> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let other = end.split_once(':').filter(|(workplace, path)| {
            !workplace.is_empty() && !path.is_empty() && workplace.chars().all(named)
        });
        let own = |workplace: &str, path: &str| End {
            place: Arc::clone(&self.workplace),
            workplace: workplace.to_owned(),
            path: path.to_owned(),
        };
        let own_id = self.reach.as_ref().map_or("", |reach| reach.own());
        let Some((workplace, path)) = other else { return Ok(own(own_id, end)) };
        let Some(reach) = &self.reach else {
            return Err(format!("there is no workplace {workplace}"));
        };
        match reach.open(workplace).await? {
            (None, id) => Ok(own(&id, path)),
            (Some(place), workplace) => Ok(End { place, workplace, path: path.to_owned() }),
        }
    }
}

fn refused(argument: &str, problem: &str) -> Answer {
    ToolResult::error(format!("copy: {argument}: {problem}")).into()
}

/// Names a copy by what is copied: the same one again goes on where it was, whoever makes it.
fn id(from: &End, to: &End, recursive: bool) -> String {
    let mut hash = Sha256::new();
    for part in [&from.workplace, &from.path, &to.workplace, &to.path] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.update([u8::from(recursive)]);
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Tells how far a copy is, in lines of at most so many bytes in all. Returns what was copied, in
/// words.
async fn told(
    mut steps: mpsc::Receiver<Progress>,
    output: &mpsc::Sender<Piece>,
    max_bytes: usize,
) -> String {
    let (mut left, mut next, mut part, mut skipped) = (max_bytes, 0, 1, 0);
    let mut done = "nothing".to_owned();
    while let Some(step) = steps.recv().await {
        let line = match step {
            Progress::Planned { files, bytes } => {
                part = (bytes / PARTS).max(1);
                format!("{}, {}\n", figures::of(files, "file", "files"), figures::size(bytes))
            }
            Progress::Moved { bytes, .. } if bytes < next => continue,
            Progress::Moved { path, bytes } => {
                next = bytes + part;
                format!("{} at {path}\n", figures::size(bytes))
            }
            Progress::Paused { reason, retry_ms } => {
                format!("{reason}; tried again in {} ms\n", figures::count(retry_ms))
            }
            Progress::Checked { path, sha256 } => format!("{path} is the same: {sha256}\n"),
            Progress::Done { files, bytes, sent } => {
                let files = figures::of(files, "file", "files");
                let bytes = figures::size(bytes);
                done = format!("{files}, {bytes} ({} sent)", figures::size(sent));
                continue;
            }
            Progress::Skipped { path, reason } => {
                skipped += 1;
                format!("{path} is not copied: {reason}\n")
            }
            Progress::Failed { .. } => continue,
        };
        if let Some(rest) = left.checked_sub(line.len()) {
            left = rest;
            // Nobody listens any more when this fails; the copy goes on all the same.
            let _ = output.send(Piece { text: line, output_offset: 0 }).await;
        }
    }
    if skipped > 0 {
        let ones = figures::of(skipped, "one", "ones");
        done.push_str(&format!(", without {ones} that are neither files nor folders,"));
    }
    done
}

//! Following a command to its end, over as many links as it takes.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Spool,
    output_parser::{ScriptResult, Sink, cut_short, refused, run_parsed},
    retry::Retry,
    scripts,
    shell::{Purpose, Script},
    status,
};
use crate::{
    Class, CommandSpec, Commands, Ended, Finished, Result, Stage, Unknown, WorkplaceError,
};

/// The longest time limit: ten years. Shells count in hundredths of a second.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How often an end may say that there is more than was shown.
const CONTINUATIONS: u32 = 100;

/// What launches a command, as often as a link breaks before the command is seen to run.
pub(super) struct Launch {
    /// From the watcher's text on.
    arguments: Vec<String>,
    stdin: Bytes,
}

/// How following a command ended.
pub(super) enum Outcome {
    Finished(Finished),
    /// The machine refused, before anything was started: why.
    Refused(String),
    /// It failed. `certain`: no launcher can have started the command.
    Failed {
        error: WorkplaceError,
        certain: bool,
    },
}

impl Outcome {
    const fn failed(error: WorkplaceError, certain: bool) -> Self {
        Self::Failed { error, certain }
    }
}

impl Spool {
    /// What launches this command.
    ///
    /// # Errors
    /// [`WorkplaceError`] when its folder cannot be entered.
    pub(super) async fn launch(&self, spec: &CommandSpec) -> Result<Launch> {
        let limit = spec.timeout.min(LONGEST).as_millis().div_ceil(10);
        let fixed = [
            scripts::join(&[scripts::COMMON, scripts::WATCH]),
            self.shell.folder(&spec.folder).await?,
            limit.to_string(),
            self.settings.max_output_bytes.to_string(),
            spec.stdin.len().to_string(),
        ];
        let arguments = fixed.into_iter().chain(spec.argv.iter().cloned()).collect();
        Ok(Launch { arguments, stdin: spec.stdin.clone() })
    }

    /// Follows a command to its end, over as many links as it takes. Launches it where that is
    /// asked for; a second launcher becomes a follower by itself.
    pub(super) async fn follow(
        &self,
        command_id: &str,
        from: u64,
        mut launch: Option<Launch>,
        output: &mpsc::Sender<Bytes>,
    ) -> Outcome {
        let mut at = from;
        let mut retry = Retry::new();
        let mut certain = launch.is_some();
        let mut continuations = 0;
        loop {
            let forgotten = self.forgotten.take();
            let before = at;
            let (alive, result) =
                self.follow_once(command_id, &forgotten, launch.as_ref(), output, &mut at).await;
            if at > self.most_output() {
                return self.end_output(command_id).await;
            }
            let error = match result {
                Ok(result) => match result.final_line.as_deref() {
                    Some(line) if line.starts_with("end ") => match ended(line, at) {
                        Some(Progress::Finished(finished)) => return Outcome::Finished(finished),
                        Some(Progress::More) => {
                            // What the end cut off is there; the next link brings it.
                            launch = None;
                            continuations += 1;
                            if at > before && continuations <= CONTINUATIONS {
                                continue;
                            }
                            cut_short(Stage::Follow)
                        }
                        None => {
                            return Outcome::failed(refused(line.to_owned()), false);
                        }
                    },
                    Some(line) if line.starts_with("refused ") => {
                        let why = line["refused ".len()..].to_owned();
                        return if certain || launch.is_none() {
                            Outcome::Refused(why)
                        } else {
                            Outcome::failed(refused(why), certain)
                        };
                    }
                    _ => match result.final_line(Stage::Follow) {
                        Ok(line) => {
                            return Outcome::failed(refused(line), false);
                        }
                        // No line of the script, from a shell that ended by itself: it runs no
                        // scripts.
                        Err(error) if error.class() == Class::Permanent => {
                            return Outcome::failed(error, certain);
                        }
                        Err(error) => {
                            certain = false;
                            error
                        }
                    },
                },
                Err(error) => {
                    self.forgotten.add(forgotten);
                    // Whatever the error says, what gave a sign of life was started.
                    let first = certain && !alive && did_not_run(&error);
                    certain = first;
                    if first {
                        return Outcome::failed(error, certain);
                    }
                    error
                }
            };
            if alive {
                launch = None;
            }
            if at > before || alive {
                retry.reset();
            }
            if let Err(error) = retry.wait(error).await {
                return Outcome::failed(error, certain);
            }
        }
    }

    /// The most output that is read: more than a watcher can have overlooked.
    fn most_output(&self) -> u64 {
        4 * u64::from(self.settings.max_output_bytes) + self.overshoot
    }

    /// Ends a command with too much output, in the place of a watcher that is late or is none.
    async fn end_output(&self, command_id: &str) -> Outcome {
        match self.kill(command_id).await {
            Ok(left_behind) => {
                Outcome::Finished(Finished { ended: Ended::TooMuchOutput, left_behind })
            }
            Err(error) => Outcome::failed(error, false),
        }
    }

    /// Follows a command over one link. Also returns whether there was a sign of its life.
    async fn follow_once(
        &self,
        command_id: &str,
        forgotten: &[String],
        launch: Option<&Launch>,
        output: &mpsc::Sender<Bytes>,
        at: &mut u64,
    ) -> (bool, Result<ScriptResult>) {
        let spools = match self.shell.spools().await {
            Ok(spools) => spools,
            Err(error) => return (false, Err(error)),
        };
        let fixed = [spools, command_id.to_owned(), forgotten.join(" "), at.to_string()];
        let mut arguments = Vec::from(fixed);
        let (last, stdin, purpose) = match launch {
            Some(launch) => {
                arguments.extend_from_slice(&launch.arguments);
                let purpose = Purpose::Launch { command_id: command_id.to_owned() };
                (scripts::LAUNCH, launch.stdin.clone(), purpose)
            }
            None => (scripts::FOLLOW, Bytes::new(), Purpose::Serve),
        };
        let text = scripts::join(&[scripts::COMMON, scripts::SHOW, last]);
        let sink = Sink::Reader { to: output, at, limit: self.most_output() };
        let script = Script { text, arguments, input: stdin, purpose };
        run_parsed(&*self.shell, script, sink).await
    }
}

/// What the last line of a follower means.
enum Progress {
    Finished(Finished),
    /// There is more of the output than was shown.
    More,
}

/// Reads `end SIZE STATUS`; the size is `-` when all was shown. Of a status that is none nobody
/// knows what it stands for.
fn ended(line: &str, at: u64) -> Option<Progress> {
    let (size, status) = line.strip_prefix("end ")?.split_once(' ')?;
    if size != "-" && size.parse::<u64>().ok()? > at {
        return Some(Progress::More);
    }
    let unknown = Finished { ended: Ended::Unknown(Unknown::NoRecord), left_behind: 0 };
    Some(Progress::Finished(status::read(status).unwrap_or(unknown)))
}

/// Whether an error of a shell came before the script was handed over.
fn did_not_run(error: &WorkplaceError) -> bool {
    match error {
        WorkplaceError::Unreachable { stage, .. } => !stage.reached_host(),
        // It is about how a script ended.
        WorkplaceError::Refused { stage: Stage::Follow, .. } => false,
        WorkplaceError::Exhausted(_) | WorkplaceError::LeftAlone { .. } => true,
        error => error.class() == Class::Permanent,
    }
}

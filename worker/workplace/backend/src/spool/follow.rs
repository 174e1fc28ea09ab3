//! Following a command to its end, over as many links as it takes.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Spool, broken,
    exchange::{Heard, Sink, exchange},
    patience::Patience,
    refused, script,
    shell::{Purpose, Shell},
    status, text, word,
};
use crate::{Class, CommandSpec, Finished, Stage, WorkplaceError};

/// The longest time limit: ten years. Shells count in hundredths of a second.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What is needed to launch a command, as often as a link breaks before it is seen to run.
pub(super) struct Launch {
    /// From the watcher's text on.
    arguments: Vec<String>,
    stdin: Bytes,
}

/// What came of following a command.
pub(super) enum Outcome {
    Finished(Finished),
    /// The machine refused, before anything was started: why, in words.
    Refused(String),
    /// It failed. `certain`: no launcher can have started the command.
    Failed {
        error: WorkplaceError,
        certain: bool,
    },
}

impl<S: Shell> Spool<S> {
    /// What launches this command.
    ///
    /// # Errors
    /// [`WorkplaceError`] when its folder cannot be entered.
    pub(super) async fn launch(&self, spec: &CommandSpec) -> Result<Launch, WorkplaceError> {
        let limit = spec.timeout.min(LONGEST).as_millis().div_ceil(10);
        let fixed = [
            script::join(&[text::COMMON, text::WATCH]),
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
        let mut patience = Patience::new();
        let mut certain = launch.is_some();
        loop {
            let forgotten = self.forgotten.take();
            let before = at;
            let (alive, result) =
                self.follow_once(command_id, &forgotten, launch.as_ref(), output, &mut at).await;
            let error = match result {
                Ok(heard) => match heard.word.as_deref() {
                    Some(word) if word.starts_with("end ") => match ended(word, at) {
                        Some(Progress::Finished(finished)) => return Outcome::Finished(finished),
                        Some(Progress::More) => {
                            // What the end cut off is there; the next link brings it.
                            launch = None;
                            if at > before {
                                continue;
                            }
                            broken(Stage::Follow)
                        }
                        None => {
                            return Outcome::Failed {
                                error: refused(word.to_owned()),
                                certain: false,
                            };
                        }
                    },
                    Some(word) if word.starts_with("refused ") => {
                        let why = word["refused ".len()..].to_owned();
                        return if certain || launch.is_none() {
                            Outcome::Refused(why)
                        } else {
                            Outcome::Failed { error: refused(why), certain }
                        };
                    }
                    _ => match word(heard, Stage::Follow) {
                        Ok(word) => {
                            return Outcome::Failed { error: refused(word), certain: false };
                        }
                        // No word of ours, by a shell that ended by itself: it will not run scripts.
                        Err(error) if error.class() == Class::Permanent => {
                            return Outcome::Failed { error, certain };
                        }
                        Err(error) => {
                            certain = false;
                            error
                        }
                    },
                },
                Err(error) => {
                    self.forgotten.add(forgotten);
                    // Whatever the error says: what gave a sign of life was started.
                    let first = certain && !alive && did_not_run(&error);
                    certain = first;
                    if first {
                        return Outcome::Failed { error, certain };
                    }
                    error
                }
            };
            if alive {
                launch = None;
            }
            if at > before || alive {
                patience.renew();
            }
            if let Err(error) = patience.after(error).await {
                return Outcome::Failed { error, certain };
            }
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
    ) -> (bool, Result<Heard, WorkplaceError>) {
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
                (text::LAUNCH, launch.stdin.clone(), purpose)
            }
            None => (text::FOLLOW, Bytes::new(), Purpose::Serve),
        };
        let text = script::join(&[text::COMMON, text::SHOW, last]);
        let sink = Sink::Reader { to: output, at };
        let (ears, end) = exchange(&*self.shell, text, arguments, stdin, purpose, sink).await;
        (ears.alive(), end.map(|end| ears.heard(end)))
    }
}

/// What the last word of a follower means.
enum Progress {
    Finished(Finished),
    /// There is more of the output than was shown.
    More,
}

/// Reads `end SIZE STATUS`; the size is `-` when all was shown.
fn ended(word: &str, at: u64) -> Option<Progress> {
    let (size, status) = word.strip_prefix("end ")?.split_once(' ')?;
    if size != "-" && size.parse::<u64>().ok()? > at {
        return Some(Progress::More);
    }
    status::read(status).map(Progress::Finished)
}

/// Whether an error of a shell came before the script was handed over.
fn did_not_run(error: &WorkplaceError) -> bool {
    match error {
        WorkplaceError::Unreachable { stage, .. } => !stage.reached_host(),
        WorkplaceError::Exhausted(_) | WorkplaceError::LeftAlone { .. } => true,
        error => error.class() == Class::Permanent,
    }
}

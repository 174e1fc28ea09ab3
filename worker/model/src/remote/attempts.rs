//! Whether and when an endpoint is asked again for one reply.

use std::time::Duration;

use tokio::time::Instant;

use super::{Failure, Finished, Remote, attachments, call, learning, pauses::RetryPauses};
use crate::{ModelError, Reply, Request, Tried, request::Sink};
use evonic_domain::{ModelCall, Usage, WaitReason};

/// The most of pauses, in all, for which a reply holds its place: a longer one is left to the
/// caller, who holds nothing meanwhile.
const MAX_PAUSES: Duration = Duration::from_secs(2);

/// How often a reply that is not complete is asked for again.
const MAX_INCOMPLETE: u32 = 2;

/// How often an answer that breaks its protocol is asked for again.
const MAX_BROKEN: u32 = 1;

/// The attempts for one reply.
struct Attempts<'a> {
    model: &'a Remote,
    begun: Instant,
    /// Before this reply was asked for, by any worker.
    since: Duration,
    attempts: u32,
    /// By any worker, for a fault of the endpoint's.
    faults: u32,
    /// Of these, those of earlier calls.
    faults_before: u32,
    /// Whether a host that nobody knows is final.
    checks: bool,
    incomplete: u32,
    broken: u32,
    pauses: RetryPauses,
    paused: Duration,
}

/// What follows a failure.
enum Next {
    /// Another attempt after this pause.
    Again(Duration),
    End(ModelError),
}

/// Asks for a reply until it is there, or another attempt makes no sense or has to wait.
///
/// # Errors
/// [`ModelError`].
pub(super) async fn reply(
    model: &Remote,
    request: &Request,
    sink: &mut Sink<'_>,
) -> Result<Reply, ModelError> {
    let mut attempts = Attempts::new(model, request);
    let mut body = model.body(request).await.map_err(|failure| model.error(failure, 0))?;
    loop {
        attempts.attempts += 1;
        let limit = model.settings.call_timeout;
        let mut usage = Usage::default();
        let call = call::reply(model, body.again(), model.answer(request), sink, &mut usage);
        let failure = match tokio::time::timeout(limit, call).await {
            Ok(Ok(finished)) => return Ok(made(model, finished)),
            Ok(Err(failure)) => attachments::blame(model, request, failure),
            Err(_) => Failure::Slow { limit },
        };
        if !usage.is_unknown() {
            let cost = model.price().of(&usage);
            sink.spent(ModelCall { model: model.name.clone(), usage, cost }).await;
        }
        if learning::learn(model, request, &failure) {
            let reason = model.clean(failure.message());
            tracing::warn!(model = model.name, reason, "model call is repeated without a field");
            sink.retract(&reason).await;
            body = model.body(request).await.map_err(|failure| model.error(failure, 0))?;
            continue;
        }
        let reason = model.clean(failure.message());
        match attempts.after(failure) {
            Next::End(error) => return Err(error),
            Next::Again(pause) => {
                let attempt = attempts.attempts;
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(
                    model = model.name,
                    attempt,
                    reason,
                    pause_ms,
                    "retrying model call"
                );
                sink.retract(&reason).await;
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn made(model: &Remote, mut finished: Finished) -> Reply {
    let cost = model.price().of(&finished.usage);
    // With calls also what carries nothing: their ids are this endpoint's.
    let kept = !finished.carried.is_null() || !finished.tool_calls.is_empty();
    let carried = kept.then(|| finished.carried(&model.identity));
    let Finished { text, tool_calls, usage, .. } = finished;
    Reply { text, tool_calls, usage, carried, model: model.name.clone(), cost }
}

/// How many attempts, each after a pause twice as long as the one before, take so long.
fn attempts_within(time: Duration, pause: Duration) -> u32 {
    let pauses = time.as_millis() / pause.as_millis().max(1);
    (pauses + 1).ilog2()
}

impl<'a> Attempts<'a> {
    fn new(model: &'a Remote, request: &Request) -> Self {
        let Tried { faults, since } = request.tried;
        let config = &model.settings;
        let before = faults.max(attempts_within(since, config.retry_pause));
        Self {
            model,
            begun: Instant::now(),
            since,
            attempts: 0,
            faults,
            faults_before: faults,
            checks: request.checks,
            incomplete: 0,
            broken: 0,
            pauses: RetryPauses::new(config.retry_pause, config.max_retry_pause, before),
            paused: Duration::ZERO,
        }
    }

    /// What follows a failed attempt.
    fn after(&mut self, failure: Failure) -> Next {
        match failure {
            Failure::Busy { reason, message, after } => self.wait(reason, message, after),
            Failure::UnknownHost { .. } if self.checks => {
                Next::End(self.model.error(failure, self.attempts))
            }
            Failure::Unconnected { message } | Failure::UnknownHost { message } => {
                if !self.model.settings.fallback.is_empty() {
                    // Another model is asked instead.
                    self.paused = MAX_PAUSES;
                }
                self.wait(WaitReason::Unavailable, message, None)
            }
            Failure::Transient { message } if self.faults < self.model.settings.retries => {
                self.faults += 1;
                let pause = self.pause(None);
                self.again_or_later(WaitReason::Unavailable, message, pause)
            }
            Failure::Incomplete { again: true, .. } if self.incomplete < MAX_INCOMPLETE => {
                self.incomplete += 1;
                self.soon()
            }
            Failure::Protocol { .. } if self.broken < MAX_BROKEN => {
                self.broken += 1;
                self.soon()
            }
            failure => Next::End(self.model.error(failure, self.attempts)),
        }
    }

    /// Waits for an endpoint that is busy, within the patience with it.
    fn wait(&mut self, reason: WaitReason, message: String, asked: Option<Duration>) -> Next {
        let pause = self.pause(asked);
        let patience = self.model.settings.patience;
        let name = &self.model.name;
        if self.since + self.begun.elapsed() + pause <= patience {
            return self.again_or_later(reason, message, pause);
        }
        let message = match asked.filter(|asked| *asked > patience) {
            Some(asked) => format!(
                "{message} (it asks to come back in {} s, and models.{name}.patience is {} s)",
                asked.as_secs(),
                patience.as_secs()
            ),
            None => message,
        };
        let failure = Failure::Busy { reason, message, after: None };
        Next::End(self.model.error(failure, self.attempts))
    }

    fn pause(&mut self, asked: Option<Duration>) -> Duration {
        self.pauses.next(asked, fastrand::f64())
    }

    fn again_or_later(&mut self, reason: WaitReason, message: String, pause: Duration) -> Next {
        if self.paused + pause <= MAX_PAUSES && self.paused < MAX_PAUSES {
            self.paused += pause;
            return Next::Again(pause);
        }
        let (model, message) = (self.model.name.clone(), self.model.clean(&message));
        let faults = self.faults - self.faults_before;
        Next::End(ModelError::Later { model, reason, after: pause, faults, message })
    }

    /// The endpoint is there: nothing is gained by waiting for long.
    fn soon(&mut self) -> Next {
        let pause = self.pause(None).min(MAX_PAUSES.saturating_sub(self.paused));
        self.paused += pause;
        Next::Again(pause)
    }
}

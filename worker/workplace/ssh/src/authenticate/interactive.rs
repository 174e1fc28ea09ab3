//! Questions of the server (RFC 4256), as PAM asks them.

use ssh2::{ErrorCode, KeyboardInteractivePrompt, Prompt};

use super::attempt::{Attempt, Tried, code};
use crate::secret::{self, Secret};
use evonic_backend::Result;

/// Answers each prompt without echo with the password.
pub(super) fn try_interactive(attempt: &mut Attempt<'_>) -> Result<Tried> {
    let Some(source) = &attempt.target.password else {
        return Ok(Tried::Refused("settings.password is not set".to_owned()));
    };
    let password = secret::read(source, "settings.password")?;
    attempt.set_timeout()?;
    let mut answers = Answers { password, rounds: 0, open: Vec::new() };
    let user = &attempt.target.user;
    match attempt.session.userauth_keyboard_interactive(user, &mut answers) {
        Ok(()) => Ok(Tried::Done("keyboard-interactive".to_owned())),
        Err(error) if error.code() == ErrorCode::Session(code::AUTHENTICATION_FAILED) => {
            attempt.count_refusal();
            Ok(Tried::Refused(answers.refusal()))
        }
        Err(error) => attempt.judge(&error, ""),
    }
}

struct Answers {
    password: Secret,
    rounds: u32,
    /// Questions that no password answers.
    open: Vec<String>,
}

/// A server that asks more often never ends.
const ROUNDS: u32 = 8;

/// Questions that are told.
const OPEN: usize = 16;

impl KeyboardInteractivePrompt for Answers {
    fn prompt<'a>(&mut self, _user: &str, _words: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        self.rounds += 1;
        let answer = |prompt: &Prompt<'a>| {
            if prompt.echo && self.open.len() < OPEN {
                self.open.push(prompt.text.trim().chars().take(80).collect());
            }
            if prompt.echo || self.rounds > ROUNDS {
                return String::new();
            }
            self.password.expose().to_owned()
        };
        prompts.iter().map(answer).collect()
    }
}

impl Answers {
    fn refusal(&self) -> String {
        match (self.rounds, self.open.as_slice()) {
            (0, _) => "refused without a question".to_owned(),
            (_, []) => {
                "refused; the password is wrong, or more than a password is asked for".into()
            }
            (_, open) => format!("refused; the server asked {}", open.join(", ")),
        }
    }
}

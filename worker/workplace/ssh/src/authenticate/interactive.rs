//! Questions of the server (RFC 4256), as PAM asks them. A new password is never given: one that has
//! expired stays what it is.

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
    let mut answers =
        Answers { password, rounds: 0, open: Vec::new(), words: Vec::new(), is_expired: false };
    let user = &attempt.target.user;
    match attempt.session.userauth_keyboard_interactive(user, &mut answers) {
        Ok(()) => Ok(Tried::Done("keyboard-interactive".to_owned())),
        Err(error) if error.code() == ErrorCode::Session(code::AUTHENTICATION_FAILED) => {
            attempt.count_refusal();
            Ok(Tried::Refused(answers.refusal()))
        }
        Err(_) if answers.is_expired => {
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
    /// What the server says with its questions.
    words: Vec<String>,
    /// Whether a new password is asked for.
    is_expired: bool,
}

/// A server that asks more often never ends.
const ROUNDS: u32 = 8;

/// Questions that are told.
const OPEN: usize = 16;

/// Characters of what is said with them.
const WORDS: usize = 400;

/// A stranger's words on one line.
fn shown(words: &str, most: usize) -> String {
    let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(most).collect()
}

impl KeyboardInteractivePrompt for Answers {
    fn prompt<'a>(&mut self, _user: &str, words: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        self.rounds += 1;
        let words = shown(words, WORDS);
        if !words.is_empty() && self.words.len() < OPEN {
            self.words.push(words);
        }
        let asks_for_another = |prompt: &Prompt<'_>| {
            let text = prompt.text.to_ascii_lowercase();
            let mut words = text.split(|letter: char| !letter.is_alphanumeric());
            words.any(|word| word == "new" || (self.rounds > 1 && word == "current"))
        };
        if prompts.iter().any(asks_for_another) {
            self.is_expired = true;
        }
        let answer = |prompt: &Prompt<'a>| {
            if self.is_expired {
                return String::new();
            }
            if prompt.echo && self.open.len() < OPEN {
                self.open.push(shown(&prompt.text, 80));
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
        if self.is_expired {
            let words = self.words.join(" ");
            let said = if words.is_empty() { String::new() } else { format!(": {words}") };
            return format!("refused; the password has expired, a new one is asked for{said}");
        }
        match (self.rounds, self.open.as_slice()) {
            (0, _) => "refused without a question".to_owned(),
            (_, []) => {
                "refused; the password is wrong, or more than a password is asked for".into()
            }
            (_, open) => format!("refused; the server asked {}", open.join(", ")),
        }
    }
}

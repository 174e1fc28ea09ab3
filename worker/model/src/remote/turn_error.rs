//! A failure as the error of a turn.

use evonic_shared::config::ModelKind;

use super::{Failure, Remote};
use crate::ModelError;

/// The most characters of a message of others that an error repeats.
const MAX_MESSAGE_CHARS: usize = 500;

impl Remote {
    /// The error of a turn, after this many attempts.
    pub(super) fn error(&self, failure: Failure, attempts: u32) -> ModelError {
        let model = self.name.clone();
        match failure {
            Failure::Exhausted(exhausted) => ModelError::Exhausted(exhausted),
            Failure::Transient { message }
            | Failure::Busy { message, .. }
            | Failure::Unconnected { message }
            | Failure::UnknownHost { message }
            | Failure::Unreachable { message } => {
                ModelError::Unavailable { model, attempts, message: self.clean(&message) }
            }
            Failure::Refused { status, message } => {
                ModelError::Refused { model, status, message: self.clean(&message) }
            }
            Failure::Spent { status, message } => {
                ModelError::Spent { model, status, message: self.clean(&message) }
            }
            Failure::Attachment { hashes, message } => {
                ModelError::Attachment { model, hashes, message: self.clean(&message) }
            }
            Failure::TooLong { window, tokens, message } => {
                ModelError::TooLong { model, window, tokens, message: self.clean(&message) }
            }
            Failure::TooLarge { limit } => ModelError::ReplyTooLarge { model, limit },
            Failure::Incomplete { message, .. } => {
                ModelError::Incomplete { model, message: self.clean(&message) }
            }
            Failure::Slow { limit } => ModelError::Timeout { model, limit },
            Failure::Protocol { message } => ModelError::Protocol {
                model,
                protocol: match self.settings.kind {
                    ModelKind::OpenAi => "Chat Completions",
                    ModelKind::Anthropic => "Messages",
                },
                message: self.clean(&message),
            },
        }
    }

    /// A message of others as one short line without the key.
    pub(super) fn clean(&self, message: &str) -> String {
        let message = match &self.key {
            Some(key) => key.redact(message),
            None => message.to_owned(),
        };
        let words = message.split(|c: char| c.is_whitespace() || c.is_control());
        let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MAX_MESSAGE_CHARS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

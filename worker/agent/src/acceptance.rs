//! What a model cannot be given, known before it is asked.

use evonic_domain::{
    Attachment, AttachmentKind, FileForm, ResponseFormat, TurnError, TurnErrorCode,
};
use evonic_model::{MAX_TEXT_BYTES, Model};

/// What a model cannot be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// One of the attachments, by its number.
    Attachment { at: usize, message: String },
    /// An answer of a form.
    ResponseFormat { message: String },
}

impl Unacceptable {
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Unacceptable::Attachment { message, .. } | Unacceptable::ResponseFormat { message } => {
                message
            }
        }
    }

    /// As the end of a turn.
    pub(super) fn error(&self) -> TurnError {
        let code = match self {
            Unacceptable::Attachment { .. } => TurnErrorCode::AttachmentRefused,
            Unacceptable::ResponseFormat { .. } => TurnErrorCode::InvalidOutput,
        };
        TurnError::new(code, self.message())
    }
}

/// Checks a message for the model of this name. An endpoint may refuse more than is known here.
///
/// # Errors
/// [`Unacceptable`].
pub fn check_message(
    name: &str,
    model: &Model,
    attachments: &[Attachment],
    format: Option<&ResponseFormat>,
) -> Result<(), Unacceptable> {
    for (at, attachment) in attachments.iter().enumerate() {
        if let Some(why) = refusal(name, model, attachment) {
            let message = format!("attachment {}: {why}", described(attachment, at));
            return Err(Unacceptable::Attachment { at, message });
        }
    }
    if format.is_some() && matches!(model, Model::Runbook(_)) {
        let message =
            format!("model {name} answers in a form of its own: response_format needs another one");
        return Err(Unacceptable::ResponseFormat { message });
    }
    Ok(())
}

fn refusal(name: &str, model: &Model, attachment: &Attachment) -> Option<String> {
    let media_type = &attachment.media_type;
    let form = FileForm::of(media_type);
    match attachment.kind {
        _ if matches!(model, Model::Runbook(_)) => Some(format!("model {name} takes text alone")),
        AttachmentKind::Image if !model.eyes() => {
            Some(format!("model {name} has no eyes: it cannot be shown an image"))
        }
        AttachmentKind::File if form == FileForm::Other => {
            Some(format!("no model takes a file of type {media_type}, but text, JSON and PDF"))
        }
        AttachmentKind::File if form == FileForm::Text && attachment.bytes > MAX_TEXT_BYTES => {
            let bytes = attachment.bytes;
            Some(format!("a model is shown {MAX_TEXT_BYTES} bytes of a text, and it has {bytes}"))
        }
        AttachmentKind::Image | AttachmentKind::File => None,
    }
}

fn described(attachment: &Attachment, at: usize) -> String {
    if attachment.name.is_empty() { (at + 1).to_string() } else { attachment.name.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use evonic_model::{ModelError, Runbook};

    use super::*;

    fn file(media_type: &str) -> Attachment {
        Attachment {
            kind: AttachmentKind::File,
            sha256: "0".repeat(64),
            media_type: media_type.to_owned(),
            name: String::new(),
            bytes: 1,
        }
    }

    fn refused(attachments: &[Attachment]) -> Unacceptable {
        check_message("runbook", &Model::Runbook(Runbook), attachments, None).unwrap_err()
    }

    #[test]
    fn the_runbook_takes_text_alone() {
        let notes = Attachment { name: "notes.txt".to_owned(), ..file("text/plain") };
        let refusal = refused(&[notes]);
        assert_eq!(refusal.message(), "attachment notes.txt: model runbook takes text alone");
        assert_eq!(refusal.error().code, TurnErrorCode::AttachmentRefused);
        let format = Some(&ResponseFormat::JsonObject {});
        let refusal = check_message("runbook", &Model::Runbook(Runbook), &[], format).unwrap_err();
        assert_eq!(refusal.error().code, TurnErrorCode::InvalidOutput);
        assert_eq!(check_message("runbook", &Model::Runbook(Runbook), &[], None), Ok(()));
    }

    #[test]
    fn a_text_is_as_long_as_a_model_is_shown_it() {
        let model = Model::Unusable(Arc::new(ModelError::Cancelled));
        let text = |bytes| Attachment { bytes, ..file("application/json") };
        assert_eq!(check_message("m", &model, &[text(MAX_TEXT_BYTES)], None), Ok(()));
        let attachments = [text(1), text(MAX_TEXT_BYTES + 1)];
        let refusal = check_message("m", &model, &attachments, None).unwrap_err();
        let expected = "attachment 2: a model is shown 1048576 bytes of a text, and it has 1048577";
        assert_eq!(refusal.message(), expected);
        assert_eq!(check_message("m", &model, &[file("application/pdf")], None), Ok(()));
    }
}

//! What becomes of a reply that asks for nothing: the turn's end, or another try where it has not
//! the form that the answer must have.

use serde_json::Value;

use super::Run;
use crate::{
    acceptance::check_message,
    response_schema::{Fault, ResponseSchema},
};
use evonic_domain::{Attachment, Item, Lease, ResponseFormat, TurnEnd, TurnError, TurnErrorCode};
use evonic_store::{StoreError, Writer};

/// How often a model is asked again for an answer of the right form.
const MAX_CORRECTIONS: u32 = 2;

/// The form of a turn's answer.
#[derive(Debug)]
pub(super) struct Output {
    /// None where it is free. A schema was checked when it came; one that a later version cannot
    /// use any more is a fault of every reply.
    schema: Option<Result<ResponseSchema, Fault>>,
    format: Option<ResponseFormat>,
    corrections: u32,
}

/// What a reply leads to.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It has calls.
    GoOn,
    /// The model is asked again, with this note.
    AskAgain {
        fault: Fault,
        note: String,
    },
    End(TurnEnd),
}

impl Output {
    pub(super) fn new(format: Option<ResponseFormat>, corrections: u32) -> Self {
        Self { schema: format.as_ref().map(ResponseSchema::new), format, corrections }
    }

    /// What an endpoint is told.
    pub(super) fn schema(&self) -> Option<Value> {
        let schema = self.schema.as_ref()?.as_ref().ok()?;
        Some(schema.schema().clone())
    }

    pub(super) const fn ask_again(&mut self) {
        self.corrections += 1;
    }

    /// What a reply without calls leads to.
    pub(super) fn judge(&self, text: &str) -> Verdict {
        let fault = match &self.schema {
            None => return completed(text),
            Some(Ok(schema)) => match schema.check(text) {
                Ok(json) => return completed(json),
                Err(fault) => fault,
            },
            Some(Err(fault)) => return failed(&format!("response_format.schema: {fault}")),
        };
        if self.corrections < MAX_CORRECTIONS {
            let note = note(&fault);
            return Verdict::AskAgain { fault, note };
        }
        failed(&format!(
            "the answer does not fit response_format, also not after it was asked for again \
             {MAX_CORRECTIONS} times: {fault}"
        ))
    }
}

impl Run {
    /// What the agent's model of now cannot be given of the turn's message.
    pub(super) fn unacceptable(&self) -> Option<TurnError> {
        let name = &self.agent.model;
        let model = self.deps.models.get(name)?;
        let format = self.output.format.as_ref();
        let checked = check_message(name, model, self.own_attachments(), format);
        checked.err().map(|unacceptable| unacceptable.error())
    }

    /// Those of the turn's message.
    pub(super) fn own_attachments(&self) -> &[Attachment] {
        match self.context.own_part(&self.transcript).first() {
            Some(Item::User { attachments, .. }) => attachments,
            _ => &[],
        }
    }
}

impl Verdict {
    /// Commits it, after the reply.
    pub(super) fn write(&self, writer: &mut Writer<'_>, lease: &Lease) -> Result<(), StoreError> {
        match self {
            Verdict::GoOn => Ok(()),
            Verdict::AskAgain { fault, note } => {
                writer.refuse_output(lease, &fault.path, &fault.message, note)
            }
            Verdict::End(end) => writer.end_turn(lease, end.clone()),
        }
    }
}

fn completed(text: &str) -> Verdict {
    Verdict::End(TurnEnd::Completed { text: text.to_owned() })
}

fn failed(message: &str) -> Verdict {
    tracing::warn!(code = TurnErrorCode::InvalidOutput.name(), reason = message, "turn failed");
    Verdict::End(TurnEnd::Failed(TurnError::new(TurnErrorCode::InvalidOutput, message)))
}

/// What the model is told of its reply.
fn note(fault: &Fault) -> String {
    format!(
        "Your reply is not JSON of the required schema: {fault}. Reply again with the JSON alone, \
         without any other text."
    )
}

//! A workplace as a client asks for it.

use serde::{Deserialize, Serialize};

use crate::{
    agent::AgentName,
    validation::SettingsError,
    workplace::{Settings, WorkplaceKind},
};

/// Body of `POST /api/v1/workplaces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "NewWorkplaceBody")]
pub struct NewWorkplace {
    pub name: AgentName,
    #[serde(flatten)]
    pub settings: Settings,
}

/// Body of `POST /api/v1/workplaces` as it comes: the settings are read by their kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWorkplaceBody {
    name: AgentName,
    kind: WorkplaceKind,
    #[serde(default)]
    settings: serde_json::Map<String, serde_json::Value>,
}

impl TryFrom<NewWorkplaceBody> for NewWorkplace {
    type Error = SettingsError;

    /// # Errors
    /// [`SettingsError`] for settings that are not of the kind; whether they can be used is not
    /// looked at.
    fn try_from(body: NewWorkplaceBody) -> Result<Self, SettingsError> {
        let settings = Settings::read(body.kind, body.settings)?;
        Ok(Self { name: body.name, settings })
    }
}

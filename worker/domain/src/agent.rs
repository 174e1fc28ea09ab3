//! An agent: a model, instructions, tools and a workplace under a name.

use serde::{Deserialize, Deserializer, Serialize};

use super::{AgentId, Retention, id::text};

/// A name that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 64 characters of a-z, 0-9 and '-', and begins with a letter or digit")]
pub struct InvalidName;

/// The name of an agent: 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentName(String);

impl std::str::FromStr for AgentName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName)
        }
    }
}

text!(AgentName);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub id: AgentId,
    /// Its name, unique.
    pub name: AgentName,
    /// The configured model that answers: `runbook`, or a name of `[models]`.
    pub model: String,
    /// What the model reads before the conversation; may be empty.
    pub instructions: String,
    /// The tools it may call, by name; null means every tool.
    pub tools: Option<Vec<String>>,
    /// Identifier of the workplace that its tools act in; its name is taken too.
    pub workplace: String,
    /// Identifiers or names of other workplaces that its `copy` may read and write.
    pub other_workplaces: Vec<String>,
    /// How long its sessions are kept; null: as `[retention]` of the configuration says.
    #[serde(default)]
    pub retention: Option<Retention>,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub updated_at: String,
}

/// Body of `POST /api/v1/agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAgent {
    pub name: AgentName,
    pub model: String,
    #[serde(default)]
    pub instructions: String,
    #[serde(default)]
    pub tools: Option<Vec<String>>,
    /// See [`Agent::workplace`]; `local` when absent.
    #[serde(default = "local")]
    pub workplace: String,
    /// See [`Agent::other_workplaces`].
    #[serde(default)]
    pub other_workplaces: Vec<String>,
    /// See [`Agent::retention`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
}

fn local() -> String {
    "local".to_owned()
}

/// Body of `PATCH /api/v1/agents/{id}`: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// See [`Agent::tools`]: `null` allows every tool again.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present_even_if_null"
    )]
    pub tools: Option<Option<Vec<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workplace: Option<String>,
    /// See [`Agent::other_workplaces`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_workplaces: Option<Vec<String>>,
    /// See [`Agent::retention`]: `null` keeps them as the configuration says again.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present_even_if_null"
    )]
    pub retention: Option<Option<Retention>>,
}

/// Tells a field that is `null` from one that is absent: serde reads both as [`None`] otherwise.
fn present_even_if_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_tells_null_from_absent() {
        let change = |json| serde_json::from_str::<AgentChange>(json).unwrap().tools;
        assert_eq!(change("{}"), None);
        assert_eq!(change(r#"{"tools": null}"#), Some(None));
        assert_eq!(change(r#"{"tools": ["bash"]}"#), Some(Some(vec!["bash".to_owned()])));
    }
}

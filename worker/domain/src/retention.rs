//! How long sessions are kept.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::id::text;

/// How long the sessions of an agent are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// For how long after its last event; null: for ever.
    #[serde(default)]
    pub sessions: Option<Age>,
    /// The most of them; null: as many as there are.
    #[serde(default)]
    pub max_sessions: Option<NonZeroU32>,
}

/// No time for which a session can be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a session is kept for a day or longer: a duration such as \"30days\"")]
pub struct InvalidAge;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration of a day or longer, as text such as `30days`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Age(String);

impl Age {
    /// How long that is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        humantime::parse_duration(&self.0).unwrap_or(Duration::MAX)
    }
}

impl From<Duration> for Age {
    fn from(duration: Duration) -> Self {
        Self(humantime::format_duration(duration.max(DAY)).to_string())
    }
}

impl std::str::FromStr for Age {
    type Err = InvalidAge;

    fn from_str(text: &str) -> Result<Self, InvalidAge> {
        let duration = humantime::parse_duration(text).map_err(|_| InvalidAge)?;
        if duration < DAY { Err(InvalidAge) } else { Ok(duration.into()) }
    }
}

text!(Age);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_text_of_a_day_or_longer() {
        let read = |json| serde_json::from_str::<Retention>(json);
        let kept = read(r#"{"sessions": "720h", "max_sessions": 3}"#).unwrap();
        assert_eq!(kept.sessions.as_ref().unwrap().duration(), 30 * DAY);
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(text, r#"{"sessions":"30days","max_sessions":3}"#);
        assert_eq!(read("{}").unwrap(), Retention::default());
        for refused in
            [r#"{"sessions": "1h"}"#, r#"{"sessions": "soon"}"#, r#"{"max_sessions": 0}"#]
        {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}

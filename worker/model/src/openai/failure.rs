//! Why one attempt failed, and whether another may do better.

use std::time::Duration;

use evonic_handles::Exhausted;
use evonic_shared::error_chain::ErrorChain;

use crate::connection::ConnectError;

/// Why one attempt failed. Messages may be long and may repeat what the endpoint sent: they are
/// shortened, and cleaned of the key, where they become a `ModelError`.
#[derive(Debug)]
pub(super) enum Failure {
    /// No permit. Not tried again here: no attempt was made, and the caller may wait as long as it
    /// likes.
    Exhausted(Exhausted),
    /// Another attempt may do better, not before the given time if there is one.
    Transient { message: String, retry_after: Option<Duration> },
    /// The endpoint cannot be reached in a way that will not change.
    Unreachable { message: String },
    /// The endpoint refuses for good.
    Refused { status: u16, message: String },
    /// The reply is larger than it may be.
    TooLarge { limit: usize },
    /// What came is not Chat Completions.
    Protocol { message: String },
}

impl Failure {
    pub(super) fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into(), retry_after: None }
    }

    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self::Protocol { message: message.into() }
    }

    /// An answer with this status instead of 200.
    pub(super) fn status(status: u16, message: String, retry_after: Option<Duration>) -> Self {
        match status {
            408 | 409 | 425 | 429 | 500.. => {
                let message = format!("status {status}: {message}");
                Self::Transient { message, retry_after }
            }
            _ => Self::Refused { status, message },
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Exhausted(exhausted) => Self::Exhausted(exhausted),
            ConnectError::Net(error) if error.is_permanent() => {
                Self::Unreachable { message: ErrorChain(&error).to_string() }
            }
            error => Self::transient(ErrorChain(&error).to_string()),
        }
    }
}

/// When to come back, by a header `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(header: &str, now: jiff::Timestamp) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(header.trim()).ok()?;
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_transient() {
        for status in [408, 409, 425, 429, 500, 502, 503, 504, 529] {
            assert!(matches!(
                Failure::status(status, String::new(), None),
                Failure::Transient { .. }
            ));
        }
        for status in [201, 301, 307, 400, 401, 402, 403, 404, 413, 422] {
            let failure = Failure::status(status, String::new(), None);
            assert!(
                matches!(failure, Failure::Refused { status: refused, .. } if refused == status)
            );
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: jiff::Timestamp = "2026-11-23T20:00:00Z".parse().unwrap();
        let after = |header| retry_after(header, now);
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after(" 0 "), Some(Duration::ZERO));
        assert_eq!(after("Mon, 23 Nov 2026 20:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(after("Mon, 23 Nov 2026 19:00:00 GMT"), Some(Duration::ZERO));
        for wrong in ["", "soon", "-1", "1.5", "99999999999"] {
            assert_eq!(after(wrong), None);
        }
    }
}

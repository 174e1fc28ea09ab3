//! Results of checks.

use evonic_workplace::Verdict;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Finding {
    /// `configuration`, `state_dir`, `landlock`.
    pub(super) check: String,
    pub(super) verdict: Verdict,
    pub(super) detail: String,
    /// What to do about it.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &str, detail: impl Into<String>) -> Self {
        let (check, detail) = (check.to_owned(), detail.into());
        Self { check, verdict: Verdict::Ok, detail, advice: None }
    }

    pub(super) fn warning(
        check: &str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { verdict: Verdict::Warning, advice, ..Self::ok(check, detail) }
    }

    pub(super) fn failed(
        check: &str,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { verdict: Verdict::Failed, advice, ..Self::ok(check, detail) }
    }
}

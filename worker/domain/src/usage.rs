//! What a model call took, and what that costs.

use evonic_shared::named;
use serde::{Deserialize, Serialize};

/// Tokens, as the model's endpoint counted them. Zero where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of what was sent, those that a cache held and those that it took included.
    pub input_tokens: u64,
    /// Of these, read from the endpoint's cache.
    #[serde(default)]
    pub cached_tokens: u64,
    /// Of these, written to the endpoint's cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// Of what came back, reasoning included.
    pub output_tokens: u64,
    /// Of these, reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

/// What was learnt of an endpoint from its answers, and is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Tokens of a request and its reply together.
    #[serde(default)]
    pub window: Option<u64>,
    /// The window that its list of models had last.
    #[serde(default)]
    pub listed_window: Option<u64>,
    /// When a refusal told the window, in seconds since 1970; absent when the list did.
    #[serde(default)]
    pub refused_at: Option<i64>,
    /// Fields of requests that it refuses.
    #[serde(default)]
    pub refused_fields: Vec<String>,
}

/// What a model's tokens cost, in micro-units of a currency for a million of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Of input that no cache held.
    pub input: u64,
    /// Of input that the endpoint's cache held.
    pub cached: u64,
    /// Of input that was written to the endpoint's cache.
    pub cache_write: u64,
    /// Of output, reasoning included.
    pub output: u64,
}

impl Price {
    /// What these tokens cost, in pico-units: exact, so that sums are. Saturates at the largest
    /// integer of the database.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> u64 {
        let special = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
        let plain = usage.input_tokens.saturating_sub(special);
        let parts = [
            (plain, self.input),
            (usage.cached_tokens, self.cached),
            (usage.cache_write_tokens, self.cache_write),
            (usage.output_tokens, self.output),
        ];
        let sum: u128 =
            parts.iter().map(|(tokens, price)| u128::from(*tokens) * u128::from(*price)).sum();
        u64::try_from(sum).unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs())
    }
}

impl Usage {
    /// Input and output together.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// What one call of a model took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelCall {
    /// The configured name of the model.
    pub model: String,
    /// Zero where the endpoint does not count.
    pub usage: Usage,
    /// Of these tokens, in pico-units.
    pub cost: u64,
}

/// The name of the model that comes with the program, and takes no tokens.
const RUNBOOK: &str = "runbook";

impl ModelCall {
    /// Whether it took tokens that nobody counted.
    #[must_use]
    pub fn is_uncounted(&self) -> bool {
        self.usage.is_unknown() && self.model != RUNBOOK
    }
}

named! {
    /// By what usage is summed.
    UsageBy {
        Day = "day",
        Agent = "agent",
        Key = "key",
        Session = "session",
        Model = "model",
    }
}

/// A sum of calls that have something in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSum {
    /// What they have in common: a day (`2026-12-01`; its month, `2026-12`, where that is long
    /// ago), an identifier, or a model's name.
    pub of: String,
    /// Its name, where it has one and is there.
    pub name: Option<String>,
    /// Calls of models.
    pub calls: u64,
    /// Of these, calls whose endpoint counted no tokens: the sums have a gap there.
    pub uncounted_calls: u64,
    #[serde(flatten)]
    pub usage: Usage,
    /// In pico-units.
    pub cost: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        for (sum, more) in [
            (&mut self.input_tokens, more.input_tokens),
            (&mut self.cached_tokens, more.cached_tokens),
            (&mut self.cache_write_tokens, more.cache_write_tokens),
            (&mut self.output_tokens, more.output_tokens),
            (&mut self.reasoning_tokens, more.reasoning_tokens),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_costs_what_its_tokens_do() {
        let price = Price { input: 3_000_000, cached: 300_000, cache_write: 0, output: 15_000_000 };
        let usage = Usage {
            input_tokens: 1_000,
            cached_tokens: 400,
            output_tokens: 10,
            ..Usage::default()
        };
        assert_eq!(price.of(&usage), 600 * 3_000_000 + 400 * 300_000 + 10 * 15_000_000);
        let more = Usage { input_tokens: 1, cached_tokens: 9, ..Usage::default() };
        assert_eq!(price.of(&more), 9 * 300_000, "an endpoint that counts oddly");
        let most = Usage { output_tokens: u64::MAX, ..Usage::default() };
        assert_eq!(price.of(&most), i64::MAX.unsigned_abs());
    }
}

//! How endpoints say that a quota or a balance is spent.

use std::time::Duration;

const WORDS: [&str; 10] = [
    "insufficient_quota",
    "insufficient_user_quota",
    "insufficient_balance",
    "insufficient_funds",
    "insufficient_credits",
    "exceeded_current_quota",
    "quota_exceeded",
    "billing",
    "payment_required",
    "arrearage",
];

/// The same, in messages.
const PHRASES: [&str; 8] = [
    "insufficient balance",
    "insufficient credits",
    "insufficient funds",
    "insufficient quota",
    "credit balance is too low",
    "out of credits",
    "usage limits. you will regain access",
    "add a payment method",
];

/// Whether an error says so: its words, and its message in lower case. A quota that the endpoint says
/// when to come back for is a limit of its rate.
pub(super) fn is_said(words: &[String], lower: &str, after: Option<Duration>) -> bool {
    let is = |kind: &str| words.iter().any(|word| word.contains(kind));
    let is_exceeded = lower.contains("exceeded your current quota");
    WORDS.iter().any(|word| is(word))
        || PHRASES.iter().any(|phrase| lower.contains(phrase))
        || (is_exceeded && after.is_none() && !is("resource_exhausted"))
}

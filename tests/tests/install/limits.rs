//! Rate limits: exact, bounded, reported in structured fields; and guesses of keys are slowed.

mod cost;
mod exact;
mod fields;
mod guesses;
mod handles;

use evonic_tests::pair::{Options, Pair};

/// A cheap read that is counted.
const READ: &str = "/api/v1/handles";

/// A pair with these quotas, `""` for one that is not met, as TOML lists without brackets.
fn limited(key: &str, address: &str, failed: &str) -> Pair {
    let list = |quotas: &str| if quotas.is_empty() { "\"1000000/1s\"" } else { quotas }.to_owned();
    Pair::start(&Options::config(&format!(
        "[limits]\nkey = [{}]\naddress = [{}]\nfailed = [{}]\n",
        list(key),
        list(address),
        list(failed)
    )))
}

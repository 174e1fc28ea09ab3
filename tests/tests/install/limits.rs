//! Rate limits: exact, bounded, reported in structured fields; and guesses of keys are slowed.

mod cost;
mod exact;
mod fields;
mod guesses;
mod handles;

use evonic_tests::pair::{Options, Pair};

/// A cheap read that is counted.
const READ: &str = "/api/v1/handles";

/// What a proxy of this machine shows to be believed.
const SECRET: &str = "a-secret-of-the-proxies";

/// Header lines of a client behind it. From a loopback address some limits do not hold.
const CLIENT: &[(&str, &str)] =
    &[("X-Forwarded-For", "198.51.100.7"), ("X-Evonic-Proxy-Secret", SECRET)];

/// A pair with these quotas, `""` for one that is not met, as TOML lists without brackets.
fn limited(key: &str, address: &str, failed: &str) -> Pair {
    let list = |quotas: &str| if quotas.is_empty() { "\"1000000/1s\"" } else { quotas }.to_owned();
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/proxy-secret");
    std::fs::write(file, SECRET).expect("a file of the tests");
    Pair::start(&Options::config(&format!(
        "[http]\ntrusted_proxies = [\"127.0.0.1\"]\nproxy_secret_file = \"{file}\"\n\
         [limits]\nkey = [{}]\naddress = [{}]\nfailed = [{}]\n",
        list(key),
        list(address),
        list(failed)
    )))
}

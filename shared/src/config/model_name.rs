//! The operator's name of a model.

/// The rules of an agent's name, and not the embedded model's. The error says what to do.
pub(super) fn check(name: &str) -> Result<(), &'static str> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name == "runbook" {
        Err("`runbook` is embedded and is not configured: take another name")
    } else if (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-') {
        Ok(())
    } else {
        Err("use 1 to 64 characters of a-z, 0-9 and `-`, the first of them no `-`")
    }
}

//! Quotas: a number of requests within a window of time.

use std::{path::Path, time::Duration};

use toml::{Value, de::DeValue};

use super::setting::{Setting, found, text};

/// Requests of a quota.
const MOST_REQUESTS: u32 = 1_000_000;

/// Quotas of one list.
const MOST_QUOTAS: usize = 4;

/// A number of requests within a window, and as many at once after a window without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota {
    requests: u32,
    seconds: u32,
}

impl Quota {
    /// The longest window, in seconds: a day.
    pub const LONGEST: u32 = 24 * 3600;

    /// Reads `REQUESTS/WINDOW`, such as `100/1m`.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("{text:?} is no quota");
        let (requests, window) = text.split_once('/').ok_or_else(form)?;
        let requests = requests.trim().parse().map_err(|_| form())?;
        if !(1..=MOST_REQUESTS).contains(&requests) {
            return Err(format!("{text:?} is not between 1 and {MOST_REQUESTS} requests"));
        }
        let window = humantime::parse_duration(window.trim())
            .map_err(|error| format!("the window of {text:?}: {error}"))?;
        let seconds = u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
        if window.subsec_nanos() > 0 || !(1..=Self::LONGEST).contains(&seconds) {
            return Err(format!("the window of {text:?} is not whole seconds, from 1s to 1day"));
        }
        Ok(Self { requests, seconds })
    }

    /// Requests within the window.
    pub const fn requests(self) -> u32 {
        self.requests
    }

    /// The window, in seconds.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// The window as people write it: `1s`, `1m`, `1h 30m`.
    pub fn window(self) -> String {
        humantime::format_duration(Duration::from_secs(u64::from(self.seconds))).to_string()
    }
}

impl Setting for Vec<Quota> {
    const NAME: &'static str = "list of quotas";
    const HINT: &'static str =
        "a list of REQUESTS/WINDOW such as [\"100/1s\", \"1000/1m\"], or [] for no limit";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        let DeValue::Array(entries) = value else { return Err(found(value)) };
        let mut quotas: Vec<Quota> = Vec::new();
        for entry in entries {
            let text = text(entry.get_ref())?;
            let quota = Quota::parse(text)?;
            if quotas.iter().any(|other| other.seconds == quota.seconds) {
                return Err(format!("{text:?} is the second one of its window"));
            }
            quotas.push(quota);
        }
        if quotas.len() > MOST_QUOTAS {
            return Err(format!("{} quotas are more than {MOST_QUOTAS}", quotas.len()));
        }
        Ok(quotas)
    }

    fn write(&self) -> Option<Value> {
        let text = |it: &Quota| format!("{}/{}", it.requests, it.window().replace(' ', ""));
        Some(self.iter().map(text).collect::<Vec<_>>().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Quota>, String> {
        Setting::read(DeValue::parse(text).unwrap().get_ref(), Path::new("/"))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let quotas = read(r#"["100/1s", "5000/90m", "1/1day"]"#).unwrap();
        assert_eq!(quotas[1], Quota { requests: 5000, seconds: 5400 });
        assert_eq!(quotas.write().unwrap().to_string(), r#"["100/1s", "5000/1h30m", "1/1day"]"#);
        assert_eq!(read(&quotas.write().unwrap().to_string()), Ok(quotas));
        assert_eq!(read("[]"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_quota_is_refused() {
        for (text, problem) in [
            (r#"["100"]"#, "\"100\" is no quota"),
            (r#"["x/1s"]"#, "\"x/1s\" is no quota"),
            (r#"["-1/1s"]"#, "\"-1/1s\" is no quota"),
            (r#"["0/1s"]"#, "\"0/1s\" is not between 1 and 1000000 requests"),
            (r#"["1/100ms"]"#, "the window of \"1/100ms\" is not whole seconds, from 1s to 1day"),
            (r#"["1/2days"]"#, "the window of \"1/2days\" is not whole seconds, from 1s to 1day"),
            (r#"["1/1m", "2/60s"]"#, "\"2/60s\" is the second one of its window"),
            (r#"["1/1s", "1/2s", "1/3s", "1/4s", "1/5s"]"#, "5 quotas are more than 4"),
            (r#""1/1s""#, "\"1/1s\" is text"),
            ("[1]", "1 is a whole number"),
        ] {
            assert_eq!(read(text), Err(problem.to_owned()), "{text}");
        }
        assert!(read(r#"["1/soon"]"#).unwrap_err().starts_with("the window of \"1/soon\": "));
    }
}

//! Query parameters, each known by name.

use crate::problem::Problem;
use evonic_store::{Cursor, Paging};

/// Entries of a page when the client does not say.
const DEFAULT_LIMIT: u32 = 50;

/// The most entries of a page.
const MAX_LIMIT: u32 = 200;

/// The parameters of a query, all of them known to the route.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Splits and decodes what follows the question mark.
    ///
    /// # Errors
    /// 400 for a parameter that is not known, or given twice.
    pub(super) fn parse(raw: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs = Vec::<(String, String)>::new();
        for (name, value) in form_urlencoded::parse(raw.as_bytes()).into_owned() {
            if !known.contains(&name.as_str()) {
                let detail = format!("parameter '{name}' is not known here");
                return Err(Problem::malformed(&name, detail));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                let detail = format!("parameter '{name}' is given twice");
                return Err(Problem::malformed(&name, detail));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// A parameter's value, if it was given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter parsed as `T`; `form` says what it must be.
    pub(super) fn parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        form: &str,
    ) -> Result<Option<T>, Problem> {
        let refuse = |_| Problem::malformed(name, format!("parameter '{name}' must be {form}"));
        self.get(name).map(|text| text.parse().map_err(refuse)).transpose()
    }

    /// `limit` and `after`, of lists.
    pub(super) fn paging(&self) -> Result<Paging, Problem> {
        let form = "a number from 1 to 200";
        let limit = self.parsed("limit", form)?.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::malformed("limit", format!("parameter 'limit' must be {form}")));
        }
        Ok(Paging { limit, after: self.get("after").map(|after| Cursor(after.to_owned())) })
    }
}

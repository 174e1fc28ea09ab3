//! Query parameters, each known by name.

use crate::problem::Problem;
use evonic_store::{Cursor, Paging};

/// Entries of a page when the client does not say.
const DEFAULT_LIMIT: u32 = 50;

/// The most entries of a page.
const MAX_LIMIT: u32 = 200;

/// Parameters that are taken one by one; what is left at the end is refused by name.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Splits and decodes what follows the question command id.
    pub(super) fn parse(raw: &str) -> Self {
        Self { pairs: form_urlencoded::parse(raw.as_bytes()).into_owned().collect() }
    }

    /// A parameter's value, if it was given.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let Some(index) = self.pairs.iter().position(|(key, _)| key == name) else {
            return Ok(None);
        };
        let (_, value) = self.pairs.swap_remove(index);
        if self.pairs.iter().any(|(key, _)| key == name) {
            return Err(Problem::malformed(name, format!("parameter '{name}' is given twice")));
        }
        Ok(Some(value))
    }

    /// A parameter parsed as `T`; `form` says in words what it must be.
    pub(super) fn parsed<T: std::str::FromStr>(
        &mut self,
        name: &str,
        form: &str,
    ) -> Result<Option<T>, Problem> {
        let refuse = |_| Problem::malformed(name, format!("parameter '{name}' must be {form}"));
        self.take(name)?.map(|text| text.parse().map_err(refuse)).transpose()
    }

    /// `limit` and `after`, of lists.
    pub(super) fn paging(&mut self) -> Result<Paging, Problem> {
        let form = "a number from 1 to 200";
        let limit = self.parsed("limit", form)?.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::malformed("limit", format!("parameter 'limit' must be {form}")));
        }
        Ok(Paging { limit, after: self.take("after")?.map(Cursor) })
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(Problem::malformed(name, format!("parameter '{name}' is not known here")))
            }
        }
    }
}

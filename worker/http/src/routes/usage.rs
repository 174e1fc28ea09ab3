//! `/api/v1/usage`: what models took, summed.

use std::sync::Arc;

use jiff::civil::Date;
use serde::Serialize;

use crate::{
    call::Call,
    problem::{Answer, Problem},
    query::Query,
    state::ApiState,
    visibility::visible_agent,
};
use evonic_domain::{Scope, UsageBy, UsageSum};
use evonic_store::{List, Reader, StoreError, UsageQuery};

/// A page of sums.
#[derive(Serialize)]
struct UsagePage {
    #[serde(flatten)]
    list: List<UsageSum>,
    /// `usage.currency`.
    currency: String,
}

pub(super) async fn sums(state: Arc<ApiState>, call: Call) -> Answer {
    let paging = call.query.paging()?;
    let by = by(&call.query)?;
    let (from, to) = (day(&call.query, "from")?, day(&call.query, "to")?);
    let text = |name| call.query.get(name).map(str::to_owned);
    let (agent, key, session) = (text("agent"), text("key"), text("session"));
    let (caller, currency) = (call.caller, state.app.config.usage.currency.clone());
    let show = state.show(move |reader| {
        let agents = match agent {
            Some(which) => Some(vec![visible_agent(reader, &caller, &which)?.id]),
            None => caller.agents.clone(),
        };
        let key = key.map(|which| identity(reader, which)).transpose()?;
        let query = UsageQuery { by, from, to, agents, caller: key, session };
        let mut list = reader.usage(&query, &paging)?;
        if by == UsageBy::Key && caller.scope < Some(Scope::Admin) {
            list.data.iter_mut().for_each(|sum| sum.name = None);
        }
        Ok(UsagePage { list, currency })
    });
    show.await
}

fn by(query: &Query) -> Result<UsageBy, Problem> {
    let Some(word) = query.get("by") else { return Ok(UsageBy::Day) };
    let found = UsageBy::ALL.into_iter().find(|by| by.name() == word);
    found.ok_or_else(|| {
        let known = UsageBy::ALL.map(UsageBy::name).join(", ");
        Problem::malformed("by", format!("parameter 'by' must be one of: {known}"))
    })
}

/// A day of UTC in a parameter.
fn day(query: &Query, name: &str) -> Result<Option<String>, Problem> {
    let form = "a day of UTC such as 2026-12-01";
    let Some(date) = query.parsed::<Date>(name, form)? else { return Ok(None) };
    if (1..=9999).contains(&date.year()) {
        return Ok(Some(date.to_string()));
    }
    Err(Problem::malformed(name, format!("parameter '{name}' must be {form}")))
}

/// A key's identifier in the place of its name; whoever has no key is named as the audit log does.
pub(super) fn identity(reader: &Reader<'_>, which: String) -> Result<String, StoreError> {
    match reader.key(&which) {
        Ok(key) => Ok(key.id.to_string()),
        Err(StoreError::NotFound { .. }) => Ok(which),
        Err(error) => Err(error),
    }
}

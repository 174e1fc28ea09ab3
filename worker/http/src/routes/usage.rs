//! `/api/v1/usage`: what models took, summed.

use std::sync::Arc;

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

/// A day of UTC in a parameter. It bounds a range, so that it need not be in the calendar.
fn day(query: &Query, name: &str) -> Result<Option<String>, Problem> {
    let Some(text) = query.get(name) else { return Ok(None) };
    let is_day = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            0 => matches!(byte, b'1'..=b'9'),
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
        && ("01".."13").contains(&&text[5..7])
        && ("01".."32").contains(&&text[8..]);
    if is_day {
        return Ok(Some(text.to_owned()));
    }
    let form = "a day of UTC such as 2026-12-01";
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

//! `evonic usage`.

use evonic_domain::{UsageBy, UsageSum};
use evonic_store::Cursor;
use serde::{Deserialize, Serialize};

use super::{
    api::{Api, segment},
    command::UsageOptions,
    error::Result,
    format,
    output::Console,
    table::table,
    text::Text,
};

/// A page of `/api/v1/usage`, or all of them.
#[derive(Debug, Deserialize, Serialize)]
struct Usage {
    data: Vec<UsageSum>,
    #[serde(skip_serializing)]
    next: Option<Cursor>,
    currency: String,
}

/// Runs the command.
pub(super) async fn run(options: &UsageOptions, api: &Api, console: &mut Console<'_>) -> Result {
    let by = UsageBy::from(options.by);
    let mut path = format!("/usage?limit=200&by={by}");
    let filters = [
        ("from", &options.from),
        ("to", &options.to),
        ("agent", &options.agent),
        ("key", &options.by_key),
        ("session", &options.session),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    let mut usage: Usage = api.get(&path).await?;
    while let Some(next) = usage.next.take() {
        let page: Usage = api.get(&format!("{path}&after={}", segment(&next.0))).await?;
        usage.data.extend(page.data);
        usage.next = page.next;
    }
    console.show(&options.output, &usage, || render(by, &usage))
}

fn render(by: UsageBy, usage: &Usage) -> Text {
    if usage.data.is_empty() {
        return Text::of_line("No call of a model is counted.");
    }
    // Sessions of the same title are not told apart by it.
    let by_session = by == UsageBy::Session;
    let row = |sum: &UsageSum| {
        let name = sum.name.clone().filter(|_| !by_session);
        [
            name.unwrap_or_else(|| sum.of.clone()),
            sum.calls.to_string(),
            sum.usage.input_tokens.to_string(),
            sum.usage.cached_tokens.to_string(),
            sum.usage.cache_write_tokens.to_string(),
            sum.usage.output_tokens.to_string(),
            sum.usage.reasoning_tokens.to_string(),
            format::cost(sum.cost),
            sum.name.clone().filter(|_| by_session).unwrap_or_default(),
        ]
    };
    let mut rows: Vec<_> = usage.data.iter().map(row).collect();
    let mut total = UsageSum { of: "all".to_owned(), ..UsageSum::default() };
    for sum in &usage.data {
        total.calls = total.calls.saturating_add(sum.calls);
        total.uncounted_calls = total.uncounted_calls.saturating_add(sum.uncounted_calls);
        total.usage += sum.usage;
        total.cost = total.cost.saturating_add(sum.cost);
    }
    if rows.len() > 1 {
        rows.push(row(&total));
    }
    let head = [
        by.name(),
        "calls",
        "input",
        "cached",
        "written",
        "output",
        "reasoning",
        usage.currency.as_str(),
        if by_session { "title" } else { "" },
    ];
    let mut text = table(head, &rows);
    if total.uncounted_calls > 0 {
        let calls = format::count(total.uncounted_calls, "call");
        text.line(format!(
            "Of {calls} the endpoint counted no tokens: they are missing in the sums."
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_rendered() {
        let sum = |of: &str, name: Option<&str>, uncounted_calls, cost| UsageSum {
            of: of.to_owned(),
            name: name.map(str::to_owned),
            calls: 12,
            uncounted_calls,
            usage: evonic_domain::Usage {
                input_tokens: 12_345,
                cached_tokens: 10_000,
                cache_write_tokens: 5,
                output_tokens: 678,
                reasoning_tokens: 90,
            },
            cost,
        };
        let mut usage = Usage {
            data: vec![
                sum("agt_0190c2a1b3c47d5e8f60718293a4b5c6", Some("ops"), 0, 12_345_678_900_000),
                sum("agt_0190c2a1b3c47d5e8f60718293a4b5c7", None, 1, 1_500_000),
            ],
            next: None,
            currency: "EUR".to_owned(),
        };
        insta::assert_snapshot!(render(UsageBy::Agent, &usage).plain());
        usage.data[0].of = "ses_0190c2a1b3c47d5e8f60718293a4b5c8".to_owned();
        let by_session = render(UsageBy::Session, &usage).plain();
        let line = by_session.lines().nth(1).expect("a row");
        assert!(line.starts_with("ses_0190c2a1b3c47d5e8f60718293a4b5c8  12 "), "{by_session}");
        assert!(line.ends_with("  ops"), "{by_session}");
        usage.data.clear();
        assert_eq!(render(UsageBy::Day, &usage).plain(), "No call of a model is counted.\n");
    }
}

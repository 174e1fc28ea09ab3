//! `evonic budget`.

use std::collections::HashMap;

use evonic_domain::{
    Agent, AgentName, Budget, BudgetChange, BudgetLimit, BudgetSpent, BudgetSubject, BudgetView,
    Key, NewBudget, decimal,
};
use jiff::tz::TimeZone;

use super::{
    api::{Api, segment},
    command::{BudgetCommand, Limit, NewLimit, Of},
    error::{ConsoleError, Result},
    format::local_time,
    input,
    output::Console,
    table::{label, table},
    text::Text,
};

/// Runs `evonic budget`.
pub(super) async fn run(command: BudgetCommand, api: &Api, console: &mut Console<'_>) -> Result {
    match command {
        BudgetCommand::Add { name, of, period, limit, on_reached, output } => {
            let (subject, of) = subject(of);
            let Limit { cost, tokens } = limit;
            let Some(limit) = wanted(cost.as_deref(), tokens)? else {
                return Err(ConsoleError::Usage("say --cost or --tokens".to_owned()));
            };
            let new = NewBudget {
                name: input::name(&name)?,
                subject,
                of,
                period: period.into(),
                limit,
                on_reached: on_reached.map(Into::into),
            };
            let made: BudgetView = api.post_idempotent("/budgets", &new).await?;
            console.show(&output, &made, || {
                Text::of_line(format!("Made {}.", made.budget.name.as_str()))
            })
        }
        BudgetCommand::List(output) => {
            let budgets: Vec<BudgetView> = api.list("/budgets").await?;
            let names = Names::read(api, &budgets).await?;
            console.show(&output, &budgets, || budgets_table(&budgets, &names))
        }
        BudgetCommand::Show { which, output } => {
            let budget: BudgetView = api.get(&path(&which)).await?;
            let names = Names::read(api, std::slice::from_ref(&budget)).await?;
            console.show(&output, &budget, || budget_page(&budget, &names, &TimeZone::system()))
        }
        BudgetCommand::Set { which, name, limit, on_reached } => {
            let NewLimit { cost, tokens } = limit;
            let change = BudgetChange {
                name: name.as_deref().map(input::name).transpose()?,
                limit: wanted(cost.as_deref(), tokens)?,
                on_reached: on_reached.map(Into::into),
            };
            if change == BudgetChange::default() {
                let message = "say what to change: --name, --cost, --tokens or --on-reached";
                return Err(ConsoleError::Usage(message.to_owned()));
            }
            let changed: BudgetView = api.patch(&path(&which), &change).await?;
            console.line(format!("Changed {}.", changed.budget.name))
        }
        BudgetCommand::Rm { which } => {
            api.delete(&path(&which)).await?;
            console.line(format!("Removed {which}."))
        }
    }
}

fn path(which: &str) -> String {
    format!("/budgets/{}", segment(which))
}

fn subject(of: Of) -> (BudgetSubject, Option<String>) {
    let Of { agent, for_key, session, each } = of;
    let one = [
        (BudgetSubject::Agent, agent),
        (BudgetSubject::Key, for_key),
        (BudgetSubject::Session, session),
    ];
    let one = one.into_iter().find(|(_, of)| of.is_some());
    one.unwrap_or_else(|| (each.map_or(BudgetSubject::All, Into::into), None))
}

fn wanted(cost: Option<&str>, tokens: Option<u64>) -> Result<Option<BudgetLimit>> {
    match (cost, tokens) {
        (Some(cost), _) => micro(cost).map(|micro| Some(BudgetLimit::Cost(micro))),
        (None, tokens) => Ok(tokens.map(BudgetLimit::Tokens)),
    }
}

/// Micro-units of an amount that a person wrote: `12.50`.
fn micro(amount: &str) -> Result<u64> {
    let (whole, rest) = amount.split_once('.').unwrap_or((amount, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = (!whole.is_empty() && digits(whole) && digits(rest) && rest.len() <= 6)
        .then(|| format!("{whole}{rest:0<6}").parse::<u64>().ok())
        .flatten();
    number.filter(|&micro| micro > 0).ok_or_else(|| {
        let message = format!(
            "--cost {amount:?}: an amount is more than 0 and has at most 6 decimals, such as 12.50"
        );
        ConsoleError::Usage(message)
    })
}

/// Names of agents and keys, by their identifiers.
struct Names(HashMap<String, AgentName>);

impl Names {
    /// Reads those of whom these budgets are for.
    async fn read(api: &Api, budgets: &[BudgetView]) -> Result<Self> {
        let is_for = |subject| budgets.iter().any(|view| view.budget.subject == subject);
        let mut names = HashMap::new();
        if is_for(BudgetSubject::Agent) {
            let agents: Vec<Agent> = api.list("/agents").await?;
            names.extend(agents.into_iter().map(|agent| (agent.id.to_string(), agent.name)));
        }
        // Who is shown budgets of keys may see keys.
        if is_for(BudgetSubject::Key) {
            let keys: Vec<Key> = api.list("/keys").await?;
            names.extend(keys.into_iter().map(|key| (key.id.to_string(), key.name)));
        }
        Ok(Self(names))
    }

    /// A user of the socket, a session and what is gone have none.
    fn of<'n>(&'n self, id: &'n str) -> &'n str {
        self.0.get(id).map_or(id, AgentName::as_str)
    }
}

/// Whom it is for, in words.
fn whom(budget: &Budget, names: &Names) -> String {
    match (&budget.of, budget.subject) {
        (Some(of), subject) => format!("{subject} {}", names.of(of)),
        (None, BudgetSubject::All) => "all".to_owned(),
        (None, subject) => format!("each {subject}"),
    }
}

fn limit(limit: BudgetLimit) -> String {
    match limit {
        BudgetLimit::Cost(cost) => decimal(cost),
        BudgetLimit::Tokens(tokens) => format!("{tokens} tokens"),
    }
}

fn share(budget: &Budget, spent: &BudgetSpent) -> String {
    let amount = match budget.limit {
        BudgetLimit::Cost(_) => decimal(spent.spent),
        BudgetLimit::Tokens(_) => spent.spent.to_string(),
    };
    format!("{amount} ({} %)", spent.percent)
}

fn budgets_table(budgets: &[BudgetView], names: &Names) -> Text {
    if budgets.is_empty() {
        return Text::of_line("There is no budget.");
    }
    let row = |BudgetView { budget, state }: &BudgetView| {
        [
            budget.name.to_string(),
            budget.period.to_string(),
            limit(budget.limit),
            state.spent.first().map(|spent| share(budget, spent)).unwrap_or_default(),
            budget.on_reached.to_string(),
            whom(budget, names),
        ]
    };
    let rows: Vec<_> = budgets.iter().map(row).collect();
    table(["budget", "period", "limit", "most spent", "then", "for"], &rows)
}

fn budget_page(BudgetView { budget, state }: &BudgetView, names: &Names, zone: &TimeZone) -> Text {
    let mut page = Text::default();
    let now = state.period.as_deref().map(|now| format!(" ({now})")).unwrap_or_default();
    let lines = [
        ("name", budget.name.to_string()),
        ("id", budget.id.to_string()),
        ("for", whom(budget, names)),
        ("period", format!("{}{now}", budget.period)),
        ("until", state.ends_at.as_deref().map_or_else(String::new, |at| local_time(at, zone))),
        ("limit", limit(budget.limit)),
        ("when reached", budget.on_reached.to_string()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        page.push(label(name, value));
    }
    for spent in &state.spent {
        let of = spent.of.as_deref().map(|of| format!("  {}", names.of(of))).unwrap_or_default();
        page.push(label("spent", &format!("{}{of}", share(budget, spent))));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(json: serde_json::Value) -> BudgetView {
        serde_json::from_value(json).expect("a budget")
    }

    #[test]
    fn budgets_are_rendered() {
        let month = view(serde_json::json!({
            "id": "bdg_0190c2a1b3c47d5e8f60718293a4b5c6", "name": "ops-month", "subject": "agent",
            "of": "agt_0190c2a1b3c47d5e8f60718293a4b5c6", "period": "month",
            "limit": {"cost": 20_000_000}, "on_reached": "wait", "created_at": "", "updated_at": "",
            "state": {"period": "2026-12", "ends_at": "2027-01-01T00:00:00.000Z", "spent": [
                {"of": "agt_0190c2a1b3c47d5e8f60718293a4b5c6", "spent": 16_123_456, "percent": 80}]},
        }));
        let each = view(serde_json::json!({
            "id": "bdg_0190c2a1b3c47d5e8f60718293a4b5c7", "name": "turns", "subject": "session",
            "of": null, "period": "turn", "limit": {"tokens": 100_000}, "on_reached": "end",
            "created_at": "", "updated_at": "",
            "state": {"period": null, "ends_at": null, "spent": []},
        }));
        let agent = "agt_0190c2a1b3c47d5e8f60718293a4b5c6".to_owned();
        let names = Names(HashMap::from([(agent, "ops".parse().expect("a name"))]));
        let text = format!(
            "{}\n{}\n{}",
            budgets_table(&[month.clone(), each.clone()], &names).plain(),
            budget_page(&month, &names, &TimeZone::UTC).plain(),
            budget_page(&each, &names, &TimeZone::UTC).plain()
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn amounts_are_exact() {
        for (text, amount) in [("12.50", 12_500_000), ("0.000001", 1), ("7", 7_000_000)] {
            assert_eq!(micro(text).expect(text), amount);
        }
        for text in ["", ".", "0", "0.000000", "-1", "1.0000001", "1e3", "99999999999999", "1,5"] {
            assert!(micro(text).is_err(), "{text}");
        }
    }
}

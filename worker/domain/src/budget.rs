//! Budgets: how much may be spent, for whom, in which time.

use evonic_shared::named;
use serde::{Deserialize, Serialize};

use super::{AgentName, BudgetId, SettingsError};

named! {
    /// Whose calls a budget counts.
    BudgetSubject {
        /// Everybody's.
        All = "all",
        /// Those of an agent's turns.
        Agent = "agent",
        /// Those of the turns that a key, or a user of the Unix socket, asked for.
        Key = "key",
        /// Those of a session's turns.
        Session = "session",
    }
}

named! {
    /// The time that a budget is for. Days and months are of UTC.
    BudgetPeriod {
        Turn = "turn",
        Day = "day",
        Month = "month",
        /// For ever.
        Total = "total",
    }
}

impl BudgetPeriod {
    /// Whether another one follows, with a budget of its own.
    #[must_use]
    pub const fn recurs(self) -> bool {
        matches!(self, Self::Day | Self::Month)
    }
}

named! {
    /// What becomes of a turn whose next model call a budget does not allow.
    OnReached {
        /// It waits for the next period, and holds nothing meanwhile.
        Wait = "wait",
        /// It fails with `budget_reached`.
        End = "end",
    }
}

/// How much may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetLimit {
    /// In micro-units of the currency of the prices.
    Cost(u64),
    /// Of input and output together.
    Tokens(u64),
}

/// Pico-units of a micro-unit.
const PICO: u64 = 1_000_000;

/// The highest limit of a cost: what can be counted, in micro-units.
const MOST_COST: u64 = i64::MAX.unsigned_abs() / PICO;

/// The highest limit of tokens: what every reader of JSON takes for an integer.
const MOST_TOKENS: u64 = (1 << 53) - 1;

impl BudgetLimit {
    /// `cost` or `tokens`.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cost(_) => "cost",
            Self::Tokens(_) => "tokens",
        }
    }

    /// The number alone, in its unit.
    #[must_use]
    pub const fn amount(self) -> u64 {
        match self {
            Self::Cost(amount) | Self::Tokens(amount) => amount,
        }
    }

    /// What of these counts against it, in its unit: of a cost in pico-units the whole micro-units.
    #[must_use]
    pub const fn spent(self, tokens: u64, cost: u64) -> u64 {
        match self {
            Self::Cost(_) => cost / PICO,
            Self::Tokens(_) => tokens,
        }
    }

    /// How much of it that is, in whole hundredths.
    #[must_use]
    pub fn percent(self, spent: u64) -> u64 {
        let percent = u128::from(spent) * 100 / u128::from(self.amount().max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    /// As people read it: `cost 12.5`, `tokens 1000`.
    #[must_use]
    pub fn describe(self, spent: u64) -> String {
        match self {
            Self::Cost(limit) => format!("cost {} of {}", decimal(spent), decimal(limit)),
            Self::Tokens(limit) => format!("{spent} of {limit} tokens"),
        }
    }

    fn validate(self) -> Result<(), SettingsError> {
        let (field, most) = match self {
            Self::Cost(_) => ("limit.cost", MOST_COST),
            Self::Tokens(_) => ("limit.tokens", MOST_TOKENS),
        };
        if (1..=most).contains(&self.amount()) {
            return Ok(());
        }
        Err(unusable(field, format!("it is 1 to {most}")))
    }
}

/// Micro-units as a decimal number, exact: `12.5`.
#[must_use]
pub fn decimal(micro: u64) -> String {
    let (whole, rest) = (micro / PICO, micro % PICO);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:06}").trim_end_matches('0').to_owned()
}

/// A budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub id: BudgetId,
    /// Unique among budgets.
    pub name: AgentName,
    pub subject: BudgetSubject,
    /// The only one that it is for: an agent's or session's identifier, or a caller as the audit
    /// log names them. Null is everybody; of another subject than `all` each has its own.
    pub of: Option<String>,
    pub period: BudgetPeriod,
    pub limit: BudgetLimit,
    pub on_reached: OnReached,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub updated_at: String,
}

impl Budget {
    /// What it is, for a sentence: `budget ops (agent agt_…, month)`.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { name, subject, of, period, .. } = self;
        let each = if *subject == BudgetSubject::All { "" } else { "each " };
        let of = of.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
        let each = if of.is_empty() { each } else { "" };
        format!("budget {name} ({each}{subject}{of}, {period})")
    }
}

/// Body of `POST /api/v1/budgets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBudget {
    pub name: AgentName,
    pub subject: BudgetSubject,
    /// See [`Budget::of`]; names are replaced by identifiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    pub period: BudgetPeriod,
    pub limit: BudgetLimit,
    /// `wait` where a period follows, else `end`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reached: Option<OnReached>,
}

impl NewBudget {
    /// What a turn does when it is reached.
    #[must_use]
    pub fn on_reached(&self) -> OnReached {
        let usual = if self.period.recurs() { OnReached::Wait } else { OnReached::End };
        self.on_reached.unwrap_or(usual)
    }

    /// Whether it can be kept.
    ///
    /// # Errors
    /// [`SettingsError`] that names the field.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.limit.validate()?;
        if self.subject == BudgetSubject::All && self.of.is_some() {
            return Err(unusable("of", "of subject 'all' there is none; leave it out"));
        }
        require_end(self.period, self.on_reached())
    }
}

/// Body of `PATCH /api/v1/budgets/{id}`: what is absent stays. Whom and which time it is for stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<BudgetLimit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_reached: Option<OnReached>,
}

impl BudgetChange {
    /// Whether a budget of this period can be changed so.
    ///
    /// # Errors
    /// [`SettingsError`] that names the field.
    pub fn validate(&self, period: BudgetPeriod) -> Result<(), SettingsError> {
        self.limit.map_or(Ok(()), BudgetLimit::validate)?;
        self.on_reached.map_or(Ok(()), |on_reached| require_end(period, on_reached))
    }
}

fn require_end(period: BudgetPeriod, on_reached: OnReached) -> Result<(), SettingsError> {
    if period.recurs() || on_reached == OnReached::End {
        return Ok(());
    }
    let problem = format!("period '{period}' has no next one to wait for; 'end' is all it can be");
    Err(unusable("on_reached", problem))
}

fn unusable(field: &str, problem: impl Into<String>) -> SettingsError {
    SettingsError { field: field.to_owned(), problem: problem.into(), malformed: false }
}

/// How far a budget is spent in its present period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    /// The day or month: `2026-12-01`, `2026-12`; null of a turn's and a total.
    pub period: Option<String>,
    /// When the next one begins; null where none follows. RFC 3339, UTC, milliseconds.
    pub ends_at: Option<String>,
    /// Who spent how much, the most first: a few of each.
    pub spent: Vec<BudgetSpent>,
}

/// What one of those spent who have this budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSpent {
    /// As [`Budget::of`]; null where it is everybody's together.
    pub of: Option<String>,
    /// In the unit of the limit.
    pub spent: u64,
    pub percent: u64,
}

/// A budget as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetView {
    #[serde(flatten)]
    pub budget: Budget,
    pub state: BudgetState,
}

/// A budget's mark that a turn's call has reached: the event `budget.reached`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetReached {
    pub budget: BudgetId,
    pub name: AgentName,
    pub subject: BudgetSubject,
    /// Whose share it is; null where it is everybody's together.
    pub of: Option<String>,
    pub period: BudgetPeriod,
    /// 50, 80 or 100.
    pub percent: u64,
    /// `cost`, in micro-units, or `tokens`.
    pub unit: String,
    pub spent: u64,
    pub limit: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(json: serde_json::Value) -> Result<NewBudget, String> {
        let new: NewBudget = serde_json::from_value(json).map_err(|error| error.to_string())?;
        new.validate().map_err(|error| error.field).map(|()| new)
    }

    #[test]
    fn what_cannot_be_a_budget_is_refused_by_its_field() {
        let with = |field: &str, value: serde_json::Value| {
            let mut json = serde_json::json!({
                "name": "b", "subject": "agent", "period": "month", "limit": {"cost": 5},
            });
            json[field] = value;
            new(json)
        };
        assert_eq!(with("name", "b".into()).unwrap().on_reached(), OnReached::Wait);
        assert_eq!(with("period", "turn".into()).unwrap().on_reached(), OnReached::End);
        assert_eq!(with("limit", serde_json::json!({"cost": 0})).unwrap_err(), "limit.cost");
        let many = serde_json::json!({"tokens": u64::MAX});
        assert_eq!(with("limit", many).unwrap_err(), "limit.tokens");
        for period in ["turn", "total"] {
            let json = serde_json::json!({
                "name": "b", "subject": "all", "period": period, "limit": {"tokens": 5},
                "on_reached": "wait",
            });
            assert_eq!(new(json).unwrap_err(), "on_reached", "{period}");
        }
        let json = serde_json::json!({
            "name": "b", "subject": "all", "of": "x", "period": "day", "limit": {"tokens": 5},
        });
        assert_eq!(new(json).unwrap_err(), "of");
        assert!(with("limit", serde_json::json!({"cost": 1, "tokens": 1})).is_err());
    }

    #[test]
    fn amounts_are_shown_exactly() {
        for (micro, text) in [(0, "0"), (1, "0.000001"), (12_500_000, "12.5"), (7_000_000, "7")] {
            assert_eq!(decimal(micro), text);
        }
        let limit = BudgetLimit::Cost(2_000_000);
        assert_eq!(limit.percent(limit.spent(9, 1_999_999_999_999)), 99);
        assert_eq!(limit.percent(limit.spent(9, 2_000_000_000_000)), 100);
        assert_eq!(BudgetLimit::Tokens(1).percent(u64::MAX), u64::MAX);
    }
}

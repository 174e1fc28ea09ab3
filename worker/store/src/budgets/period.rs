//! Periods of budgets: days and months of UTC, by the wall's clock. A clock that steps back counts
//! for the period that it shows: its sum is made anew from the usage where it is gone.

use evonic_domain::{Budget, BudgetPeriod, BudgetSubject};
use jiff::{ToSpan, civil::Date};

/// A period that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// `2026-12-01`, `2026-12`; empty of a turn and a total.
    pub(super) key: String,
    /// When the next one begins: RFC 3339, UTC, milliseconds.
    pub(super) ends_at: Option<String>,
    /// Its days, as the usage has them.
    pub(super) days: (i64, i64),
}

impl Period {
    /// The one in which this time is: RFC 3339, UTC.
    pub(super) fn at(kind: BudgetPeriod, time: &str) -> Self {
        let day = time.get(..10).unwrap_or_default();
        let date: Date = day.parse().unwrap_or_default();
        let number = crate::usage::day_number(day);
        let begin = |date: Date| format!("{date}T00:00:00.000Z");
        match kind {
            BudgetPeriod::Turn | BudgetPeriod::Total => {
                Self { key: String::new(), ends_at: None, days: (1, i64::MAX) }
            }
            BudgetPeriod::Day => Self {
                key: day.to_owned(),
                ends_at: date.tomorrow().ok().map(begin),
                days: (number, number),
            },
            BudgetPeriod::Month => Self {
                key: day.get(..7).unwrap_or_default().to_owned(),
                ends_at: date.first_of_month().checked_add(1.month()).ok().map(begin),
                days: (number - number % 100, number - number % 100 + 99),
            },
        }
    }

    /// For people; none of what has no name.
    pub(super) fn name(&self) -> Option<&str> {
        (!self.key.is_empty()).then_some(self.key.as_str())
    }
}

/// Whether all it is for share one sum.
pub(super) fn is_shared(budget: &Budget) -> bool {
    budget.subject == BudgetSubject::All || budget.of.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_when_the_next_one_begins() {
        let at = |kind, time| {
            let period = Period::at(kind, time);
            (period.key, period.ends_at.unwrap_or_default(), period.days)
        };
        let (day, month) = (BudgetPeriod::Day, BudgetPeriod::Month);
        for (kind, time, key, end, days) in [
            (day, "2026-12-31T23:59:59.999Z", "2026-12-31", "2027-01-01", (20_261_231, 20_261_231)),
            (day, "2028-02-28T00:00:00.000Z", "2028-02-28", "2028-02-29", (20_280_228, 20_280_228)),
            (month, "2026-12-31T23:59:59.999Z", "2026-12", "2027-01-01", (20_261_200, 20_261_299)),
            (month, "2028-01-31T12:00:00.000Z", "2028-01", "2028-02-01", (20_280_100, 20_280_199)),
        ] {
            let end = format!("{end}T00:00:00.000Z");
            assert_eq!(at(kind, time), (key.to_owned(), end, days));
        }
        assert_eq!(Period::at(BudgetPeriod::Total, "2026-12-31T00:00:00.000Z").ends_at, None);
    }
}

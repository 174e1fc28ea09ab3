//! Whether a turn's next call is allowed, and what a call counts against.

use rusqlite::params;

use super::period::Period;
use crate::{
    Reader, Store, StoreError, WaitOutcome, Writer, column,
    record::Record,
    usage::{ALL, Payer},
};
use evonic_domain::{
    Budget, BudgetPeriod, BudgetReached, BudgetSubject, EventKind, Lease, ModelCall, OnReached,
    TurnEnd, TurnError, TurnErrorCode, TurnId, WaitReason, Waiting,
};

/// What is told of a budget, in hundredths of it.
const MARKS: [u64; 3] = [50, 80, 100];

/// What became of a turn that asked whether it may call a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BudgetCheck {
    /// It may.
    Allowed,
    /// It was left until then: it is queued, and this worker's no more.
    Waits(Waiting),
    /// It was ended with this error.
    Ended(TurnError),
    /// It would have had to wait, was cancelled meanwhile, and has ended.
    Cancelled,
}

/// What was spent of a budget by one who has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BudgetSum {
    pub(super) tokens: u64,
    pub(super) cost: u64,
    /// The highest mark that was told of it.
    told: u64,
}

/// Why a call is not allowed.
pub(super) enum Refused {
    Wait(Waiting),
    End(TurnError),
}

impl Store {
    /// Whether there may be a budget. Where there is none, [`Writer::check_budgets`] would allow
    /// every call, and need not be asked.
    #[must_use]
    pub fn may_have_budgets(&self) -> bool {
        !self.inner.budget_presence.is_none()
    }
}

impl Reader<'_> {
    fn has_budgets(&self) -> Result<bool, StoreError> {
        self.exists("read budgets", "SELECT 1 FROM budgets", [])
    }

    /// The budgets that a turn counts against.
    fn budgets_of(&self, payer: &Payer) -> Result<Vec<Budget>, StoreError> {
        self.all(
            "read budgets",
            "SELECT * FROM budgets WHERE of IS NULL
                 OR of = CASE subject WHEN 'agent' THEN ?1 WHEN 'key' THEN ?2 ELSE ?3 END",
            [payer.agent.as_str(), &payer.caller, payer.session.as_str()],
            Budget::from_row,
        )
    }

    /// What was spent of a budget within a period. Where nothing was counted against it yet, as
    /// the usage has it.
    pub(super) fn budget_sum(
        &self,
        budget: &Budget,
        of: &str,
        period: &Period,
    ) -> Result<BudgetSum, StoreError> {
        let counted = self.first(
            "read budget",
            "SELECT tokens, cost, told FROM budget_sums
             WHERE budget_id = ?1 AND of = ?2 AND period = ?3",
            [budget.id.as_str(), of, &period.key],
            |row| {
                Ok(BudgetSum {
                    tokens: column::natural(row, "tokens")?,
                    cost: column::natural(row, "cost")?,
                    told: column::natural(row, "told")?,
                })
            },
        )?;
        counted.map_or_else(|| self.budget_sum_of_usage(budget, of, period), Ok)
    }

    fn budget_sum_of_usage(
        &self,
        budget: &Budget,
        of: &str,
        period: &Period,
    ) -> Result<BudgetSum, StoreError> {
        let condition = match budget.subject {
            BudgetSubject::All => "session_id = '' AND ?1 = ''",
            BudgetSubject::Agent => "session_id = '' AND agent_id = ?1",
            BudgetSubject::Key => "session_id = '' AND caller = ?1",
            BudgetSubject::Session => "session_id = ?1",
        };
        let sum = self.usage_within(condition, of, period.days)?;
        Ok(BudgetSum { tokens: sum.usage.tokens(), cost: sum.cost, told: 0 })
    }

    /// Why a turn's next call is not allowed. One budget that ends it outweighs all that let it
    /// wait, and of those the one that lasts longest the others.
    pub(super) fn refused(&self, turn: &TurnId) -> Result<Option<Refused>, StoreError> {
        let (payer, now) = (self.payer(turn)?, column::now());
        let mut wait: Option<Waiting> = None;
        for budget in self.budgets_of(&payer)? {
            let period = Period::at(budget.period, &now);
            let sum = match budget.period {
                BudgetPeriod::Turn => BudgetSum { tokens: payer.tokens, cost: payer.cost, told: 0 },
                _ => self.budget_sum(&budget, share(&budget, &payer), &period)?,
            };
            let spent = budget.limit.spent(sum.tokens, sum.cost);
            if spent < budget.limit.amount() {
                continue;
            }
            let message =
                format!("{} is reached: {}", budget.describe(), budget.limit.describe(spent));
            match (budget.on_reached, period.ends_at) {
                (OnReached::Wait, Some(until)) => {
                    if wait.as_ref().is_none_or(|waiting| waiting.until < until) {
                        wait = Some(Waiting { reason: WaitReason::Budget, until, message });
                    }
                }
                _ => {
                    let error = TurnError::new(TurnErrorCode::BudgetReached, message);
                    return Ok(Some(Refused::End(error)));
                }
            }
        }
        Ok(wait.map(Refused::Wait))
    }
}

/// Whose share of a budget a turn's calls are.
fn share<'a>(budget: &Budget, payer: &'a Payer) -> &'a str {
    match budget.subject {
        BudgetSubject::All => ALL,
        BudgetSubject::Agent => &payer.agent,
        BudgetSubject::Key => &payer.caller,
        BudgetSubject::Session => payer.session.as_str(),
    }
}

impl Writer<'_> {
    /// Asks whether a turn may call a model, by every budget that it counts against: nothing that
    /// was committed is missed, so each of those who ask at once gets one call at the most past a
    /// limit. A turn that may not waits or ends as the budget says, in the same transaction. Where
    /// it is allowed nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Fenced`].
    pub fn check_budgets(&mut self, lease: &Lease) -> Result<BudgetCheck, StoreError> {
        self.check_lease(lease)?;
        let some = self.has_budgets()?;
        self.budget_presence.learn(some);
        let refused = if some { self.refused(&lease.turn_id)? } else { None };
        Ok(match refused {
            None => BudgetCheck::Allowed,
            Some(Refused::Wait(waiting)) => match self.wait_turn(lease, &waiting)? {
                WaitOutcome::Waits => BudgetCheck::Waits(waiting),
                WaitOutcome::Cancelled => BudgetCheck::Cancelled,
            },
            Some(Refused::End(error)) => {
                self.end_turn(lease, TurnEnd::Failed(error.clone()))?;
                BudgetCheck::Ended(error)
            }
        })
    }

    /// Adds a call to every budget that its turn counts against; the usage has it already.
    pub(crate) fn count_against_budgets(
        &mut self,
        before: &Payer,
        call: &ModelCall,
        now: &str,
    ) -> Result<(), StoreError> {
        let mut reached = Vec::new();
        for budget in self.budgets_of(before)? {
            let sum = match budget.period {
                BudgetPeriod::Turn => turn_sum(&budget, before, call),
                _ => self.add_to_budget(&budget, share(&budget, before), call, now)?,
            };
            let spent = budget.limit.spent(sum.tokens, sum.cost);
            let percent = budget.limit.percent(spent);
            let of = Some(share(&budget, before)).filter(|of| !of.is_empty());
            let marks = MARKS.into_iter().filter(|&mark| sum.told < mark && mark <= percent);
            reached.extend(marks.map(|mark| {
                EventKind::BudgetReached(BudgetReached {
                    budget: budget.id.clone(),
                    name: budget.name.clone(),
                    subject: budget.subject,
                    of: of.map(str::to_owned),
                    period: budget.period,
                    percent: mark,
                    unit: budget.limit.unit().to_owned(),
                    spent,
                    limit: budget.limit.amount(),
                })
            }));
        }
        self.add_events(&before.session, &before.turn, &reached)
    }

    /// Adds a call to one's share of a budget. What is returned was told before it.
    fn add_to_budget(
        &mut self,
        budget: &Budget,
        of: &str,
        call: &ModelCall,
        now: &str,
    ) -> Result<BudgetSum, StoreError> {
        let period = Period::at(budget.period, now);
        let key = [budget.id.as_str(), of, &period.key];
        let added = self.execute(
            "count against budget",
            "UPDATE budget_sums SET tokens = MIN(9223372036854775807, tokens + ?4),
                 cost = MIN(9223372036854775807, cost + ?5)
             WHERE budget_id = ?1 AND of = ?2 AND period = ?3",
            params![
                key[0],
                key[1],
                key[2],
                column::integer(call.usage.tokens()),
                column::integer(call.cost)
            ],
        )?;
        let sum = self.budget_sum(budget, of, &period)?;
        if added == 0 {
            self.execute(
                "count against budget",
                "DELETE FROM budget_sums WHERE budget_id = ?1 AND of = ?2 AND period < ?3",
                key,
            )?;
            self.execute(
                "count against budget",
                "INSERT INTO budget_sums (budget_id, of, period, tokens, cost, told)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0)",
                params![
                    key[0],
                    key[1],
                    key[2],
                    column::integer(sum.tokens),
                    column::integer(sum.cost)
                ],
            )?;
        }
        let told = mark(budget, &sum);
        if told > sum.told {
            self.execute(
                "tell of budget",
                "UPDATE budget_sums SET told = ?4
                 WHERE budget_id = ?1 AND of = ?2 AND period = ?3",
                params![key[0], key[1], key[2], column::integer(told)],
            )?;
        }
        Ok(sum)
    }
}

/// The same of a turn's own budget, which is summed in the turn.
fn turn_sum(budget: &Budget, before: &Payer, call: &ModelCall) -> BudgetSum {
    let old = BudgetSum { tokens: before.tokens, cost: before.cost, told: 0 };
    BudgetSum {
        tokens: old.tokens.saturating_add(call.usage.tokens()),
        cost: old.cost.saturating_add(call.cost),
        told: mark(budget, &old),
    }
}

/// The highest mark that is reached; 0 below the first.
fn mark(budget: &Budget, sum: &BudgetSum) -> u64 {
    let percent = budget.limit.percent(budget.limit.spent(sum.tokens, sum.cost));
    MARKS.into_iter().rfind(|mark| *mark <= percent).unwrap_or(0)
}

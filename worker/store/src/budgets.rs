//! Budgets: what they are, what of them is spent, and whether a turn's next call is allowed.

mod check;
mod period;
mod presence;
mod recheck;

use rusqlite::{Row, params};

pub use self::check::BudgetCheck;
use self::period::Period;
pub(super) use self::presence::BudgetPresence;
use crate::{
    AuditedWriter, Conflict, List, Paging, Reader, StoreError,
    audited_writer::differences,
    column,
    page::Entry,
    record::{Columns, Record},
};
use evonic_domain::{
    Action, Budget, BudgetChange, BudgetId, BudgetLimit, BudgetPeriod, BudgetSpent, BudgetState,
    BudgetView, NewBudget,
};

/// The most budgets: each call looks through them.
const MOST: u32 = 1000;

/// The most of those who share a budget that its state names.
const NAMED: u32 = 20;

impl Record for Budget {
    const NAME: &'static str = "budget";
    const TABLE: &'static str = "budgets";

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let amount = column::natural(row, "amount")?;
        let limit = match row.get_ref("unit")?.as_str()? {
            "cost" => BudgetLimit::Cost(amount),
            _ => BudgetLimit::Tokens(amount),
        };
        Ok(Self {
            id: column::parsed(row, "id")?,
            name: column::parsed(row, "name")?,
            subject: column::word(row, "subject")?,
            of: row.get("of")?,
            period: column::word(row, "period")?,
            limit,
            on_reached: column::word(row, "on_reached")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }

    fn columns(&self) -> Columns {
        let text = |text: &str| text.to_owned().into();
        [
            ("id", text(self.id.as_str())),
            ("name", text(self.name.as_str())),
            ("subject", text(self.subject.name())),
            ("of", self.of.clone().into()),
            ("period", text(self.period.name())),
            ("unit", text(self.limit.unit())),
            ("amount", column::integer(self.limit.amount()).into()),
            ("on_reached", text(self.on_reached.name())),
            ("created_at", text(&self.created_at)),
            ("updated_at", text(&self.updated_at)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

impl Entry for Budget {
    fn id(&self) -> String {
        self.id.to_string()
    }
}

/// Which budgets are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetList {
    Every,
    /// Not those of keys.
    WithoutKeys,
}

impl Reader<'_> {
    /// A budget by its identifier or name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Sql`].
    pub fn budget(&self, which: &str) -> Result<Budget, StoreError> {
        self.find("read budget", "id = ?1 OR name = ?1", which)
    }

    /// Budgets and what of them is spent, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn budgets(
        &self,
        which: BudgetList,
        paging: &Paging,
    ) -> Result<List<BudgetView>, StoreError> {
        let filter = if which == BudgetList::Every { "" } else { "AND subject <> 'key'" };
        let sql = format!("SELECT * FROM budgets WHERE id > ?1 {filter} ORDER BY id LIMIT ?2");
        let parameters = params![paging.after_id(), paging.rows()];
        let page = self.page("list budgets", &sql, parameters, Budget::from_row, paging)?;
        let data = page.data.into_iter().map(|budget| self.budget_view(budget));
        Ok(List { data: data.collect::<Result<_, _>>()?, next: page.next })
    }

    /// A budget, and what of it is spent in its present period. One that each has for itself shows
    /// those who were counted since it was made.
    ///
    /// # Errors
    /// [`StoreError::Sql`].
    pub fn budget_view(&self, budget: Budget) -> Result<BudgetView, StoreError> {
        let period = Period::at(budget.period, &column::now());
        let (name, ends_at) = (period.name().map(str::to_owned), period.ends_at.clone());
        let spent = if budget.period == BudgetPeriod::Turn {
            Vec::new()
        } else if period::is_shared(&budget) {
            let sum =
                self.budget_sum(&budget, budget.of.as_deref().unwrap_or_default(), &period)?;
            vec![spent(&budget, budget.of.clone(), sum.tokens, sum.cost)]
        } else {
            let sql = format!(
                "SELECT of, tokens, cost FROM budget_sums WHERE budget_id = ?1 AND period = ?2
                 ORDER BY {} DESC LIMIT {NAMED}",
                budget.limit.unit()
            );
            self.all("read budget", &sql, [budget.id.as_str(), &period.key], |row| {
                let (tokens, cost) =
                    (column::natural(row, "tokens")?, column::natural(row, "cost")?);
                Ok(spent(&budget, row.get("of")?, tokens, cost))
            })?
        };
        Ok(BudgetView { budget, state: BudgetState { period: name, ends_at, spent } })
    }
}

fn spent(budget: &Budget, of: Option<String>, tokens: u64, cost: u64) -> BudgetSpent {
    let spent = budget.limit.spent(tokens, cost);
    BudgetSpent { of, spent, percent: budget.limit.percent(spent) }
}

impl AuditedWriter<'_, '_> {
    /// Adds a budget that was found valid, and whose `of` is an identifier.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] `name_taken` or `too_many_budgets`.
    pub fn create_budget(&mut self, new: NewBudget) -> Result<Budget, StoreError> {
        self.require_free("a budget", new.name.as_str(), Reader::budget)?;
        let sql = "SELECT COUNT(*) >= ?1 AS full FROM budgets";
        if self.one("count budgets", sql, [MOST], |row| row.get("full"))? {
            let message = format!("there are {MOST} budgets, and there can be no more");
            return Err(StoreError::conflict(Conflict::TooManyBudgets, message));
        }
        let now = column::now();
        let budget = Budget {
            id: BudgetId::new(),
            on_reached: new.on_reached(),
            name: new.name,
            subject: new.subject,
            of: new.of,
            period: new.period,
            limit: new.limit,
            created_at: now.clone(),
            updated_at: now,
        };
        self.insert("create budget", &budget, Vec::new())?;
        self.budget_presence.forget();
        let name = Some(budget.name.as_str());
        self.record(Action::BudgetCreate, budget.id.as_str(), name, &[])?;
        self.budgets_changed()?;
        Ok(budget)
    }

    /// Changes a budget. Turns that wait for it go on at once where it allows them now.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] `name_taken`.
    pub fn change_budget(
        &mut self,
        id: &BudgetId,
        change: BudgetChange,
    ) -> Result<Budget, StoreError> {
        let before = self.budget(id.as_str())?;
        let mut budget = before.clone();
        if let Some(name) = change.name.filter(|name| *name != budget.name) {
            self.require_free("a budget", name.as_str(), Reader::budget)?;
            budget.name = name;
        }
        budget.limit = change.limit.unwrap_or(budget.limit);
        budget.on_reached = change.on_reached.unwrap_or(budget.on_reached);
        budget.updated_at = column::now();
        self.update("change budget", &budget)?;
        if budget.limit != before.limit {
            self.tell_again(&budget)?;
        }
        let (name, fields) = (Some(before.name.as_str()), differences(&before, &budget));
        self.record(Action::BudgetUpdate, id.as_str(), name, &fields)?;
        if (budget.limit, budget.on_reached) != (before.limit, before.on_reached) {
            self.budgets_changed()?;
        }
        Ok(budget)
    }

    /// Deletes a budget. Turns that wait for it go on at once. What was spent stays in the usage.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn delete_budget(&mut self, id: &BudgetId) -> Result<(), StoreError> {
        let budget = self.budget(id.as_str())?;
        for table in ["budgets WHERE id", "budget_sums WHERE budget_id"] {
            self.execute("delete budget", &format!("DELETE FROM {table} = ?1"), [id.as_str()])?;
        }
        self.budget_presence.forget();
        self.record(Action::BudgetDelete, id.as_str(), Some(budget.name.as_str()), &[])?;
        self.budgets_changed()
    }

    /// Of a limit that was raised, marks above what is spent are told again.
    fn tell_again(&mut self, budget: &Budget) -> Result<(), StoreError> {
        let spent = match budget.limit {
            BudgetLimit::Cost(_) => "cost / 1000000",
            BudgetLimit::Tokens(_) => "tokens",
        };
        let sql = format!(
            "UPDATE budget_sums SET told = MIN(told, CASE
                 WHEN {spent} >= ?2 THEN 100
                 WHEN {spent} >= ?2 * 0.8 THEN 80
                 WHEN {spent} >= ?2 * 0.5 THEN 50
                 ELSE 0 END)
             WHERE budget_id = ?1"
        );
        let parameters = params![budget.id.as_str(), column::integer(budget.limit.amount())];
        self.execute("change budget", &sql, parameters).map(drop)
    }
}

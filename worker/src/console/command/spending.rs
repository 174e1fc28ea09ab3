//! Options of `usage`, and subcommands of `budget`.

use clap::{Args, Subcommand, ValueEnum};
use evonic_domain::{BudgetPeriod, BudgetSubject, UsageBy};

use super::OutputOptions;

#[derive(Clone, Debug, Args)]
pub(in crate::console) struct UsageOptions {
    /// What is summed up
    #[arg(long, short, value_name = "WHAT", default_value = "day")]
    pub(in crate::console) by: By,
    /// From this day of UTC on, such as 2026-12-01
    #[arg(long, value_name = "DAY")]
    pub(in crate::console) from: Option<String>,
    /// Up to this day of UTC, and with it
    #[arg(long, value_name = "DAY")]
    pub(in crate::console) to: Option<String>,
    /// Only calls for this agent
    #[arg(long, short, value_name = "NAME")]
    pub(in crate::console) agent: Option<String>,
    /// Only calls that this key asked for, or a user of the Unix socket: uid:0
    #[arg(long, short = 'k', value_name = "NAME")]
    pub(in crate::console) by_key: Option<String>,
    /// Only calls of this session
    #[arg(long, short, value_name = "ID")]
    pub(in crate::console) session: Option<String>,
    #[command(flatten)]
    pub(in crate::console) output: OutputOptions,
}

/// What usage is summed up by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::console) enum By {
    Day,
    Agent,
    Key,
    Session,
    Model,
}

impl From<By> for UsageBy {
    fn from(by: By) -> Self {
        // In the same order.
        Self::ALL[by as usize]
    }
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::console) enum BudgetCommand {
    /// Make a budget: how much may be spent, for whom, in which time
    Add {
        /// Its name: a-z, 0-9 and `-`
        name: String,
        #[command(flatten)]
        of: Of,
        /// The time that it is for; days and months are of UTC
        #[arg(long, short)]
        period: Period,
        #[command(flatten)]
        limit: Limit,
        /// Whether turns past it wait for the next day or month, or end; `wait` where there is one
        #[arg(long, short, value_name = "WHAT")]
        on_reached: Option<OnReached>,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// List budgets, and how far each is spent
    List(OutputOptions),
    /// Show a budget, and who spent how much of it
    Show {
        /// Its name or id
        #[arg(value_name = "BUDGET")]
        which: String,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Change a budget; turns that wait for it go on at once where it allows them
    Set {
        /// Its name or id
        #[arg(value_name = "BUDGET")]
        which: String,
        /// Its new name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        limit: NewLimit,
        /// Whether turns past it wait for the next day or month, or end
        #[arg(long, short, value_name = "WHAT")]
        on_reached: Option<OnReached>,
    },
    /// Remove a budget; turns that wait for it go on at once
    Rm {
        /// Its name or id
        #[arg(value_name = "BUDGET")]
        which: String,
    },
}

/// Whom a budget is for; everybody together where nothing is said.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub(in crate::console) struct Of {
    /// Only calls for this agent
    #[arg(long, short, value_name = "NAME")]
    pub(in crate::console) agent: Option<String>,
    /// Only calls that this key asked for, or a user of the Unix socket: uid:0
    #[arg(long, short = 'k', value_name = "NAME")]
    pub(in crate::console) for_key: Option<String>,
    /// Only calls of this session
    #[arg(long, short, value_name = "ID")]
    pub(in crate::console) session: Option<String>,
    /// Each agent, key or session has one of its own
    #[arg(long, short, value_name = "WHAT")]
    pub(in crate::console) each: Option<Each>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::console) enum Each {
    Agent,
    Key,
    Session,
}

impl From<Each> for BudgetSubject {
    fn from(each: Each) -> Self {
        match each {
            Each::Agent => Self::Agent,
            Each::Key => Self::Key,
            Each::Session => Self::Session,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::console) enum Period {
    /// Each turn
    Turn,
    /// Each day of UTC
    Day,
    /// Each month of UTC
    Month,
    /// For ever
    Total,
}

impl From<Period> for BudgetPeriod {
    fn from(period: Period) -> Self {
        // In the same order.
        Self::ALL[period as usize]
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::console) enum OnReached {
    Wait,
    End,
}

impl From<OnReached> for evonic_domain::OnReached {
    fn from(what: OnReached) -> Self {
        // In the same order.
        Self::ALL[what as usize]
    }
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(in crate::console) struct Limit {
    /// The most that may be spent, in the currency of the prices, such as 12.50
    #[arg(long, short, value_name = "AMOUNT")]
    pub(in crate::console) cost: Option<String>,
    /// The most tokens, of input and output together
    #[arg(long, short, value_name = "COUNT")]
    pub(in crate::console) tokens: Option<u64>,
}

#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub(in crate::console) struct NewLimit {
    /// The most that may be spent, in the currency of the prices, such as 12.50
    #[arg(long = "cost", short = 'c', id = "new_cost", value_name = "AMOUNT")]
    pub(in crate::console) cost: Option<String>,
    /// The most tokens, of input and output together
    #[arg(long = "tokens", short = 't', id = "new_tokens", value_name = "COUNT")]
    pub(in crate::console) tokens: Option<u64>,
}

//! `/api/v1/budgets`. Budgets of keys are there for those who may see keys.

use std::sync::Arc;

use crate::{
    answer,
    call::Call,
    caller::Caller,
    problem::{Answer, Problem},
    state::{ApiState, Refusal},
};
use evonic_domain::{Budget, BudgetChange, BudgetSubject, NewBudget, Scope};
use evonic_store::{BudgetList, Reader, StoreError};

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let paging = call.query.paging()?;
    let which =
        if may_see_keys(&call.caller) { BudgetList::Every } else { BudgetList::WithoutKeys };
    state.show(move |reader| reader.budgets(which, &paging)).await
}

pub(super) async fn create(state: Arc<ApiState>, call: Call, mut new: NewBudget) -> Answer {
    new.validate()?;
    let create = state.create(call, "/api/v1/budgets", move |writer| {
        settle(writer, &mut new)?;
        let budget = writer.create_budget(new)?;
        Ok((budget.id.to_string(), writer.budget_view(budget)?))
    });
    let created = create.await?;
    state.app.agents.wake();
    Ok(created)
}

pub(super) async fn read(state: Arc<ApiState>, call: Call) -> Answer {
    let show = state.show(move |reader| {
        let budget = visible_budget(reader, &call.caller, &call.id)?;
        reader.budget_view(budget)
    });
    show.await
}

pub(super) async fn change(state: Arc<ApiState>, call: Call, change: BudgetChange) -> Answer {
    let write = state.change(call.caller.origin(), move |writer| {
        let budget = writer.budget(&call.id)?;
        change.validate(budget.period).map_err(Problem::from)?;
        let budget = writer.change_budget(&budget.id, change)?;
        Ok(writer.budget_view(budget)?)
    });
    let view = write.await?;
    state.app.agents.wake();
    answer::ok(&view)
}

pub(super) async fn delete(state: Arc<ApiState>, call: Call) -> Answer {
    let write = state.change(call.caller.origin(), move |writer| {
        let budget = writer.budget(&call.id)?;
        Ok(writer.delete_budget(&budget.id)?)
    });
    write.await?;
    state.app.agents.wake();
    answer::no_content()
}

fn may_see_keys(caller: &Caller) -> bool {
    caller.scope >= Some(Scope::Admin)
}

fn visible_budget(reader: &Reader<'_>, caller: &Caller, which: &str) -> Result<Budget, StoreError> {
    let budget = reader.budget(which)?;
    if budget.subject == BudgetSubject::Key && !may_see_keys(caller) {
        return Err(StoreError::not_found("budget", which));
    }
    Ok(budget)
}

/// Replaces the name of the one that it is for by its identifier.
fn settle(reader: &Reader<'_>, new: &mut NewBudget) -> Result<(), Refusal> {
    let Some(which) = new.of.take() else { return Ok(()) };
    let found = match new.subject {
        BudgetSubject::All => Ok(which.clone()),
        BudgetSubject::Agent => reader.agent(&which).map(|agent| agent.id.to_string()),
        BudgetSubject::Session => match which.parse() {
            Ok(id) => reader.session(&id).map(|session| session.id.to_string()),
            Err(_) => Err(StoreError::not_found("session", &which)),
        },
        BudgetSubject::Key if is_user(&which) => Ok(which.clone()),
        BudgetSubject::Key => reader.key(&which).map(|key| key.id.to_string()),
    };
    match found {
        Ok(id) => {
            new.of = Some(id);
            Ok(())
        }
        Err(StoreError::NotFound { what, .. }) => {
            let detail = format!("there is no {what} '{which}'");
            Err(Problem::unusable("of", detail).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether it is a user of the Unix socket: `uid:0`.
fn is_user(which: &str) -> bool {
    which.strip_prefix("uid:").is_some_and(|uid| uid.parse::<u32>().is_ok())
}

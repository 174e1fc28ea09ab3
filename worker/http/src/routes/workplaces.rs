//! `/api/v1/workplaces`, and what is done to them.

use std::sync::Arc;

use serde_json::json;

use crate::{
    answer,
    call::Call,
    event_stream::stream_progress,
    problem::{Answer, Problem},
    state::ApiState,
};
use evonic_domain::{
    Action, DockerSettings, NewWorkplace, NewWorkplaceBody, Settings, Workplace, WorkplaceChange,
};
use evonic_workplace::{CheckStep, Verdict};

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let paging = call.query.paging()?;
    state.show(move |reader| reader.workplaces(&paging)).await
}

pub(super) async fn create(state: Arc<ApiState>, call: Call, body: NewWorkplaceBody) -> Answer {
    let new = NewWorkplace::try_from(body)?;
    new.settings.check()?;
    let create = state.create(call, "/api/v1/workplaces", move |writer| {
        let workplace = writer.create_workplace(new)?;
        Ok((workplace.id.to_string(), workplace))
    });
    create.await
}

pub(super) async fn read(state: Arc<ApiState>, call: Call) -> Answer {
    state.show(move |reader| reader.workplace(&call.id)).await
}

async fn find(which: String, state: &ApiState) -> Result<Workplace, Problem> {
    Ok(state.app.store.read(move |reader| reader.workplace(&which)).await?)
}

pub(super) async fn change(state: Arc<ApiState>, call: Call, change: WorkplaceChange) -> Answer {
    // The settings are read and changed in one transaction.
    let write = state.change(call.caller.origin(), move |writer| {
        let workplace = writer.workplace(&call.id)?;
        let settings = change.settings.map(|change| {
            let settings = workplace.settings.changed(change)?;
            settings.check().map(|()| settings)
        });
        let settings = settings.transpose().map_err(Problem::from)?;
        Ok(writer.change_workplace(&workplace.id, change.name, settings)?)
    });
    answer::ok(&write.await?)
}

pub(super) async fn delete(state: Arc<ApiState>, call: Call) -> Answer {
    let delete = state.change(call.caller.origin(), move |writer| {
        let id = writer.workplace(&call.id)?.id;
        Ok(writer.delete_workplace(&id)?)
    });
    delete.await?;
    answer::no_content()
}

/// Streams each step as it is done; `done` says whether none failed.
pub(super) async fn check(state: Arc<ApiState>, call: Call) -> Answer {
    let settings = find(call.id, &state).await?.settings;
    let workplaces = state.app.workplaces.clone();
    stream_progress(&state, &call.caller, "step", |steps| async move {
        let (sender, mut found) = tokio::sync::mpsc::channel::<CheckStep>(1);
        let forward = async {
            let mut ok = true;
            while let Some(step) = found.recv().await {
                ok &= step.verdict != Verdict::Failed;
                if steps.send(step).await.is_err() {
                    break;
                }
            }
            ok
        };
        let ((), ok) = tokio::join!(workplaces.check(&settings, sender), forward);
        json!({ "ok": ok })
    })
}

/// Builds the default image on the engine of `?workplace=`, or on the configured one. Streams each
/// line of the engine; `done` says whether it worked, or why not.
pub(super) async fn build_sandbox(state: Arc<ApiState>, call: Call) -> Answer {
    const NAME: &str = "workplace";
    let (settings, target, named) = match call.query.get(NAME) {
        None => (DockerSettings::default(), "default".to_owned(), None),
        Some(which) => match find(which.to_owned(), &state).await? {
            Workplace { settings: Settings::Docker(settings), id, name, .. } => {
                (settings, id.into(), Some(name.into()))
            }
            Workplace { name, settings, .. } => {
                let kind = settings.kind().name();
                let detail = format!("workplace {name} is of kind {kind}; docker is needed");
                return Err(Problem::unusable(NAME, detail));
            }
        },
    };
    state.record(call.caller.origin(), Action::SandboxBuild, target, named).await?;
    let workplaces = state.app.workplaces.clone();
    stream_progress(&state, &call.caller, "line", |lines| async move {
        answer::outcome(workplaces.engines().build_sandbox(&settings, lines).await)
    })
}

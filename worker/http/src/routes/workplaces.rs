//! `/api/v1/workplaces`, and what is done to them.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::LOCATION};
use serde_json::json;
use warp::{Filter, reply::Response};

use super::{Site, with};
use crate::{
    call::{self, Call, Verb, call, respond},
    event_stream,
    front::Routes,
    problem::{Answer, Problem},
};
use evonic_domain::{
    Action, DockerSettings, NewWorkplace, NewWorkplaceBody, Settings, Workplace, WorkplaceChange,
};
use evonic_workplace::{CheckStep, Verdict};

/// The collection, its entries, their checks, and the image of sandboxes.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let root = || warp::path!("api" / "v1" / "workplaces" / ..);
    let all = root().and(warp::path::end()).and(call()).and(with(site)).then(all);
    let one = root().and(warp::path!(String)).and(call()).and(with(site)).then(one);
    let check = root().and(warp::path!(String / "check")).and(call()).and(with(site)).then(check);
    let build = warp::path!("api" / "v1" / "sandbox" / "build");
    let build = build.and(call()).and(with(site)).then(build_sandbox);
    all.or(one).unify().or(check).unify().or(build).unify().boxed()
}

async fn all(call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => list(&call, &site).await,
        Verb::Post => create(call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, POST")),
    };
    respond("/api/v1/workplaces", answer)
}

async fn one(which: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => read(which, &call, &site).await,
        Verb::Patch => change(which, call, &site).await,
        Verb::Delete => delete(which, &call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, PATCH, DELETE")),
    };
    respond("/api/v1/workplaces/{id}", answer)
}

async fn check(which: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Post => try_steps(which, &call, &site).await,
        _ => Err(Problem::not_allowed("POST")),
    };
    respond("/api/v1/workplaces/{id}/check", answer)
}

async fn build_sandbox(call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Post => build(&call, &site).await,
        _ => Err(Problem::not_allowed("POST")),
    };
    respond("/api/v1/sandbox/build", answer)
}

async fn list(call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let paging = query.paging()?;
    query.finish()?;
    let workplaces = site.app.store.read(move |reader| reader.workplaces(&paging)).await?;
    call::json(StatusCode::OK, &workplaces)
}

async fn create(call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let origin = call.caller.origin();
    let body: NewWorkplaceBody = call.json(&site.app.config.http).await?;
    let new = NewWorkplace::try_from(body)?;
    new.settings.check()?;
    let change = site.app.store.change(origin, move |changer| changer.create_workplace(new));
    let workplace = change.await?;
    let location = format!("/api/v1/workplaces/{}", workplace.id);
    let mut response = call::json(StatusCode::CREATED, &workplace)?;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn read(which: String, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    call::json(StatusCode::OK, &find(which, site).await?)
}

async fn find(which: String, site: &Site) -> Result<Workplace, Problem> {
    Ok(site.app.store.read(move |reader| reader.workplace(&which)).await?)
}

async fn change(which: String, call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let origin = call.caller.origin();
    let change: WorkplaceChange = call.json(&site.app.config.http).await?;
    // What is laid over the settings, and what they are, must not part.
    let write = site.app.store.change(origin, move |changer| {
        let workplace = changer.workplace(&which)?;
        let settings = change.settings.map(|change| {
            let settings = workplace.settings.changed(change)?;
            settings.check().map(|()| settings)
        });
        match settings.transpose() {
            Ok(settings) => changer.change_workplace(&workplace.id, change.name, settings).map(Ok),
            Err(fault) => Ok(Err(fault)),
        }
    });
    call::json(StatusCode::OK, &write.await??)
}

async fn delete(which: String, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let write = site.app.store.change(call.caller.origin(), move |changer| {
        let id = changer.workplace(&which)?.id;
        changer.delete_workplace(&id)
    });
    write.await?;
    call::no_content()
}

/// Tells each step as it is done; `done` says whether none failed.
async fn try_steps(which: String, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let settings = find(which, site).await?.settings;
    let workplaces = site.app.workplaces.clone();
    Ok(event_stream::tell(site, "step", |steps| async move {
        let (sender, mut found) = tokio::sync::mpsc::channel::<CheckStep>(1);
        let hand_on = async {
            let mut ok = true;
            while let Some(step) = found.recv().await {
                ok &= step.verdict != Verdict::Failed;
                if steps.send(step).await.is_err() {
                    break;
                }
            }
            ok
        };
        let ((), ok) = tokio::join!(workplaces.check(&settings, sender), hand_on);
        json!({ "ok": ok })
    }))
}

/// Builds the default image on the engine of `?workplace=`, or on the configured one. Tells each
/// line of the engine; `done` says whether it worked, or why not.
async fn build(call: &Call, site: &Site) -> Answer {
    const NAME: &str = "workplace";
    let mut query = call.query();
    let which = query.take(NAME)?;
    query.finish()?;
    let (settings, target, named) = match which {
        None => (DockerSettings::default(), "default".to_owned(), None),
        Some(which) => match find(which, site).await? {
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
    site.record(call.caller.origin(), Action::SandboxBuild, target, named).await?;
    let workplaces = site.app.workplaces.clone();
    Ok(event_stream::tell(site, "line", |said| async move {
        match workplaces.engines().build_sandbox(&settings, said).await {
            Ok(()) => json!({ "ok": true }),
            Err(error) => {
                json!({ "ok": false, "error": evonic_shared::error_chain::ErrorChain(&error).to_string() })
            }
        }
    }))
}

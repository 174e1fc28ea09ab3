//! Bringing a container up: found, made anew, started, within the cap.

use std::sync::atomic::Ordering;

use bollard::{
    body_full,
    models::{ContainerInspectResponse, VolumeCreateRequest},
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, StartContainerOptions,
        UploadToContainerOptionsBuilder,
    },
};
use bytes::Bytes;

use super::{
    container::{self, Container},
    container_manager::ContainerManager,
    engine::Engine,
    error::{self, Failed},
    spec::{self, HIDDEN, Tracking, User, WORKSPACE},
    tar_entry::{self, Meta},
};
use evonic_backend::{Stage, WorkplaceError};
use evonic_domain::DockerSettings;

/// How often it is looked at again when something else changes it meanwhile: another worker makes
/// it, or somebody removes it.
const ROUNDS: u32 = 4;

/// Returns the engine's identifier of the container, which runs.
///
/// # Errors
/// [`WorkplaceError`].
pub(super) async fn bring_up(
    manager: &ContainerManager,
    this: &Container,
) -> Result<String, WorkplaceError> {
    let user = this.user()?;
    let mut expected = match this.identity.tracking {
        Tracking::Untracked => None,
        Tracking::Tracked => {
            let (identity, engine) = (this.identity.clone(), this.engine.address.to_string());
            let want = manager.write(move |writer| {
                let (workplace, session) = (&identity.workplace, &identity.session);
                writer.want_container(workplace, session, &engine, &identity.name)
            });
            want.await?.container
        }
    };
    for _ in 0..ROUNDS {
        let name = &this.identity.name;
        let asked = this.engine.docker.inspect_container(name, None);
        let found = match this.engine.ask(Stage::InspectContainer, asked).await {
            Ok(found) => Some(found),
            Err(failed) if failed.is_missing() => None,
            Err(failed) => return Err(failed.into()),
        };
        let Some(found) = found else {
            make(manager, this, user, expected.take().is_some()).await?;
            continue;
        };
        if let Some(id) = start(manager, this, found).await? {
            return Ok(id);
        }
    }
    Err(container::unstable(&this.engine))
}

/// Makes the container, unless somebody else just did.
async fn make(
    manager: &ContainerManager,
    this: &Container,
    user: User,
    vanished: bool,
) -> Result<(), WorkplaceError> {
    let (engine, name, settings) = (&this.engine, &this.identity.name, this.settings());
    let asked = engine.docker.inspect_volume(name);
    let workspace_was_there = match engine.ask(Stage::InspectVolume, asked).await {
        Ok(_) => true,
        Err(failed) if failed.is_missing() => false,
        Err(failed) => return Err(failed.into()),
    };
    let wanted = VolumeCreateRequest {
        name: Some(name.clone()),
        labels: Some(this.identity.labels()),
        ..VolumeCreateRequest::default()
    };
    engine.ask(Stage::MakeVolume, engine.docker.create_volume(wanted)).await?;
    give(this, user, &settings).await?;
    let body = spec::container(&this.identity, &settings, user);
    let Some(id) = create(this, name, body).await? else { return Ok(()) };
    let noted = (name.clone(), id);
    manager.write(move |writer| writer.container_made(&noted.0, &noted.1)).await?;
    if vanished {
        let workspace =
            if workspace_was_there { "as it was" } else { "empty: its files are gone too" };
        this.add_news(format!(
            "The container of this session was removed by somebody and made anew. What ran in it \
             has ended, /tmp is empty, and the workspace is {workspace}."
        ));
    }
    Ok(())
}

/// Makes a container under a name; nothing when the name is taken.
async fn create(
    this: &Container,
    name: &str,
    body: bollard::models::ContainerCreateBody,
) -> Result<Option<String>, WorkplaceError> {
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let asked = this.engine.docker.create_container(Some(options), body);
    match this.engine.ask(Stage::MakeContainer, asked).await {
        Ok(made) => Ok(Some(made.id)),
        Err(failed) if failed.is_conflict() => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

/// Gives the workspace's folder to its user, through a container that is never started: the real
/// one is read-only and has no right to do it.
async fn give(
    this: &Container,
    user: User,
    settings: &DockerSettings,
) -> Result<(), WorkplaceError> {
    let helper = format!("{}-owner", this.identity.name);
    container::remove(&this.engine, &helper).await?;
    let body = spec::giver(&this.identity, settings);
    let Some(id) = create(this, &helper, body).await? else {
        // Another worker is doing the same.
        return Ok(());
    };
    let folder = WORKSPACE.trim_start_matches('/');
    let mut tar = Vec::new();
    for (name, mode) in [(folder.to_owned(), 0o755), (format!("{folder}/{HIDDEN}"), 0o700)] {
        tar.extend(tar_entry::folder(&name, Meta { mode, user })?);
    }
    // Git and searches pass it over.
    let ignored = b"*\n";
    let (name, meta) = (format!("{folder}/{HIDDEN}/.gitignore"), Meta { mode: 0o644, user });
    tar.extend(tar_entry::file(&name, ignored.len() as u64, meta)?);
    tar.extend(ignored);
    tar.extend(tar_entry::padding(ignored.len() as u64));
    tar.extend(tar_entry::END);
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    let tar = body_full(Bytes::from(tar));
    let asked = this.engine.docker.upload_to_container(&id, Some(options), tar);
    let given = this.engine.ask(Stage::GiveWorkspace, asked).await;
    container::remove(&this.engine, &id).await?;
    Ok(given?)
}

/// Starts a container that was found; nothing when it has to be looked at again.
async fn start(
    manager: &ContainerManager,
    this: &Container,
    found: ContainerInspectResponse,
) -> Result<Option<String>, WorkplaceError> {
    let id = found.id.unwrap_or_default();
    let state = found.state.unwrap_or_default();
    if state.running == Some(true) && state.paused != Some(true) {
        return Ok(Some(id));
    }
    let labels = found.config.and_then(|config| config.labels);
    if state.paused != Some(true) && !spec::fits(labels.as_ref(), &this.settings()) {
        // Its settings were changed. Nothing is lost: the workspace is elsewhere.
        container::remove(&this.engine, &id).await?;
        return Ok(None);
    }
    if state.oom_killed == Some(true) {
        this.add_news(
            "The container of this session ran out of memory and was started anew.".into(),
        );
    }
    let _one = this.engine.starting.lock().await;
    make_room(manager, &this.engine).await?;
    let asked = if state.paused == Some(true) {
        this.engine.ask(Stage::UnpauseContainer, this.engine.docker.unpause_container(&id)).await
    } else {
        let asked = this.engine.docker.start_container(&id, None::<StartContainerOptions>);
        this.engine.ask(Stage::StartContainer, asked).await
    };
    match asked {
        Ok(()) => {
            this.memory_kills.store(0, Ordering::Relaxed);
            Ok(Some(id))
        }
        Err(failed) if failed.is_missing() && is_gone(this, &id).await? => Ok(None),
        Err(failed) if failed.is_conflict() => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

/// Whether it is the container that is missing, and not its network.
async fn is_gone(this: &Container, id: &str) -> Result<bool, Failed> {
    match this
        .engine
        .ask(Stage::InspectContainer, this.engine.docker.inspect_container(id, None))
        .await
    {
        Ok(_) => Ok(false),
        Err(failed) if failed.is_missing() => Ok(true),
        Err(failed) => Err(failed),
    }
}

/// Stops the least recently used idle container when there are as many as there may be.
async fn make_room(manager: &ContainerManager, engine: &Engine) -> Result<(), WorkplaceError> {
    let mut filters = spec::own(&manager.parts.instance);
    filters.insert("status".to_owned(), vec!["running".to_owned()]);
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    let running =
        engine.ask(Stage::ListContainers, engine.docker.list_containers(Some(options))).await?;
    let most = manager.config().containers as usize;
    let Some(mut surplus) = (running.len() + 1).checked_sub(most).filter(|&surplus| surplus > 0)
    else {
        return Ok(());
    };
    let names: Vec<String> = running
        .into_iter()
        .filter_map(|one| one.names?.into_iter().next())
        .map(|name| name.trim_start_matches('/').to_owned())
        .collect();
    // The table's order is as old as the last reconciliation: what this worker knows
    // better comes last.
    let mut rows = manager.read(|reader| reader.containers()).await?;
    let known = |name: &str| manager.containers().get(name).cloned();
    rows.sort_by_cached_key(|row| known(&row.name).map(|one| one.used()));
    for row in rows.iter().filter(|row| names.contains(&row.name)) {
        let stopped = match known(&row.name) {
            Some(one) => one.stop_if_idle(&row.name).await?,
            None if container::is_idle(engine, &row.name).await? => {
                container::stop(engine, &row.name).await?;
                true
            }
            None => false,
        };
        surplus -= usize::from(stopped);
        if surplus == 0 {
            return Ok(());
        }
    }
    let reason = format!(
        "all {most} containers that may run at once are busy; wait until one is done, or raise \
         docker.containers"
    );
    Err(error::unreachable(&engine.address, Stage::StartContainer, reason))
}

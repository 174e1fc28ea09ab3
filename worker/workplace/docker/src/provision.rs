//! Bringing a container up: found, made anew, started, within the cap.

use std::sync::atomic::Ordering;

use bollard::{
    body_full,
    models::VolumeCreateRequest,
    query_parameters::{
        CreateContainerOptionsBuilder, StartContainerOptions, UploadToContainerOptionsBuilder,
    },
};
use bytes::Bytes;

use super::{
    answer::Inspected,
    archive::archive,
    container::{self, Container},
    container_manager::ContainerManager,
    engine::Engine,
    reconcile,
    spec::{self, HIDDEN, Tracking, User, WORKSPACE},
};
use evonic_backend::{Result, Stage, WorkplaceError};
use evonic_domain::DockerSettings;

/// How often it is looked at again when something else changes it meanwhile: another worker makes
/// it, or it is removed.
const ROUNDS: u32 = 4;

/// Returns the engine's identifier of the container, which runs.
///
/// # Errors
/// [`evonic_backend::WorkplaceError`].
pub(super) async fn bring_up(manager: &ContainerManager, this: &Container) -> Result<String> {
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
        let Some(found) = this.engine.container(name).await? else {
            make(manager, this, user, expected.take().is_some()).await?;
            continue;
        };
        // What goes from here on, goes by our hand.
        expected = None;
        if let Some(id) = start(manager, this, found).await? {
            return Ok(id);
        }
    }
    Err(container::unstable(&this.engine))
}

/// Makes the container, unless it was made meanwhile.
async fn make(
    manager: &ContainerManager,
    this: &Container,
    user: User,
    vanished: bool,
) -> Result<()> {
    let (engine, name, settings) = (&this.engine, &this.identity.name, this.settings());
    let asked = engine.docker.inspect_volume(name);
    let workspace_was_there = engine.find(Stage::InspectVolume, asked).await?.is_some();
    let wanted = VolumeCreateRequest {
        name: Some(name.clone()),
        labels: Some(this.identity.labels()),
        ..VolumeCreateRequest::default()
    };
    engine.ask(Stage::MakeVolume, engine.docker.create_volume(wanted)).await?;
    give(this, user, &settings).await?;
    let body = spec::container(&this.identity, &settings, user, engine.product());
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
) -> Result<Option<String>> {
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
async fn give(this: &Container, user: User, settings: &DockerSettings) -> Result<()> {
    let helper = format!("{}-owner", this.identity.name);
    container::remove(&this.engine, &helper).await?;
    let body = spec::giver(&this.identity, settings);
    let Some(id) = create(this, &helper, body).await? else {
        // Another worker is doing the same.
        return Ok(());
    };
    let folder = WORKSPACE.trim_start_matches('/');
    let hidden = format!("{folder}/{HIDDEN}");
    // Git and searches pass it over.
    let (name, ignored) = (format!("{hidden}/.gitignore"), Bytes::from_static(b"*\n"));
    let folders = [(folder.to_owned(), 0o755), (hidden, 0o700)];
    let archive = archive(user, folders, (&name, 0o644), ignored)
        .map_err(|error| WorkplaceError::path("write", name.as_str(), error))?;
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    let archive = body_full(archive.concat().into());
    let asked = this.engine.docker.upload_to_container(&id, Some(options), archive);
    let given = this.engine.ask(Stage::GiveWorkspace, asked).await;
    container::remove(&this.engine, &id).await?;
    Ok(given?)
}

/// Starts a container that was found; nothing when it has to be looked at again.
async fn start(
    manager: &ContainerManager,
    this: &Container,
    found: Inspected,
) -> Result<Option<String>> {
    let Inspected { id, state, config } = found;
    if state.running && !state.paused {
        return Ok(Some(id));
    }
    let labels = config.and_then(|config| config.labels);
    if !state.paused && !spec::fits(labels.as_ref(), &this.settings()) {
        // Its settings were changed. Nothing is lost: the workspace is elsewhere.
        container::remove(&this.engine, &id).await?;
        return Ok(None);
    }
    if state.oom_killed {
        this.add_news(format!(
            "The container of this session ran out of memory ({} MiB with everything in it), was \
             stopped by that and started anew. What ran in it has ended.",
            this.settings().memory_bytes >> 20
        ));
    }
    let _one = this.engine.starting.lock().await;
    make_room(manager, &this.engine).await?;
    let asked = if state.paused {
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
        // Or its network is missing.
        Err(failed) if failed.is_missing() && this.engine.container(&id).await?.is_none() => {
            Ok(None)
        }
        Err(failed) if failed.is_conflict() => Ok(None),
        Err(failed) => Err(failed.into()),
    }
}

/// Stops the least recently used idle container when there are as many as there may be.
async fn make_room(manager: &ContainerManager, engine: &Engine) -> Result<()> {
    let running = reconcile::running(engine, &manager.parts.instance).await?;
    let most = manager.config().containers as usize;
    let Some(mut surplus) = (running.len() + 1).checked_sub(most).filter(|&surplus| surplus > 0)
    else {
        return Ok(());
    };
    // The table's order is as old as the last reconciliation: what this worker knows
    // better comes last.
    let mut rows = manager.read(|reader| reader.containers()).await?;
    let known = |name: &str| manager.containers().get(name).cloned();
    rows.sort_by_cached_key(|row| known(&row.name).map(|one| one.used()));
    for row in rows.iter().filter(|row| running.contains(&row.name)) {
        let stopped = container::stop_if_idle(engine, known(&row.name), &row.name).await?;
        surplus -= usize::from(stopped);
        if surplus == 0 {
            return Ok(());
        }
    }
    let reason = format!(
        "all {most} containers that may run at once are busy; wait until one is done, or raise \
         docker.containers"
    );
    Err(engine.unreachable(Stage::StartContainer, reason))
}

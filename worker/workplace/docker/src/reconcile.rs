//! The reconciliation of engines with the container table, both ways, and the end of idle
//! containers.
//!
//! Two workers may do this at once while one follows the other. That is safe without a lock: rows
//! are written before their containers are made and removed after they are gone, an engine is
//! always listed *before* the table is read, and removing what is gone is no error. So what has
//! no row when it was listed is nobody's, whoever looks. What is used elsewhere is seen in the
//! container itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    address::Address,
    answer::{Listed, Volumes},
    container,
    container_manager::ContainerManager,
    engine::{Engine, encoded},
    error::Failed,
    spec::{self, SHORT_LIVED},
};
use evonic_backend::{Result, Stage};
use evonic_domain::Settings;
use evonic_shared::error_chain::ErrorChain;
use evonic_store::{ContainerRow, Paging};

/// Containers that live for a moment only are left over when they are this old.
const LEFT_OVER: Duration = Duration::from_secs(600);

/// The shortest time between two rounds.
const SHORTEST: Duration = Duration::from_millis(500);

/// Reconciles at once, then periodically until the worker ends; also when a session was deleted.
pub(super) async fn run(manager: Arc<ContainerManager>) {
    let settings = manager.config();
    let interval = settings.reconcile_interval.min(settings.idle_stop / 2).max(SHORTEST);
    loop {
        reconcile(&manager).await;
        tokio::select! {
            () = manager.ending.cancelled() => return,
            () = manager.wake.notified() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// One round over every engine that has, or may have, something of this instance.
pub(super) async fn reconcile(manager: &Arc<ContainerManager>) {
    if let Err(error) = record_use(manager).await {
        tracing::warn!(reason = ErrorChain(&error).to_string(), "use of containers not noted");
    }
    let engines = match engines(manager).await {
        Ok(engines) => engines,
        Err(error) => {
            tracing::warn!(reason = ErrorChain(&error).to_string(), "containers not compared");
            return;
        }
    };
    for engine in engines {
        let reconciled = manager.ending.run_until_cancelled(compare(manager, &engine)).await;
        if let Some(Err(failed)) = reconciled {
            // An engine that stays away is logged once.
            if engine.state().failures <= 1 {
                let (engine, reason) =
                    (engine.address.to_string(), ErrorChain(&failed.error).to_string());
                tracing::warn!(engine, reason, "containers not compared");
            }
        }
    }
    // What is unused and has no news needs no memory.
    manager.containers().retain(|_, one| Arc::strong_count(one) > 1 || one.is_worth_keeping());
}

/// Writes what was used since the last round to the table.
async fn record_use(manager: &ContainerManager) -> Result<()> {
    let used: Vec<String> = {
        let containers = manager.containers();
        let used = containers.iter().filter(|(_, one)| one.was_used());
        used.map(|(name, _)| name.clone()).collect()
    };
    if used.is_empty() {
        return Ok(());
    }
    manager.write(move |writer| writer.containers_used(&used)).await
}

async fn engines(manager: &ContainerManager) -> Result<Vec<Arc<Engine>>> {
    let (rows, workplaces) = manager
        .read(|reader| {
            let mut all = Vec::new();
            let mut paging = Paging { limit: 100, after: None };
            loop {
                let page = reader.workplaces(&paging)?;
                all.extend(page.data);
                match page.next {
                    Some(next) => paging.after = Some(next),
                    None => return Ok((reader.containers()?, all)),
                }
            }
        })
        .await?;
    for workplace in workplaces {
        if let Settings::Docker(settings) = &workplace.settings
            && let Err(error) = manager.engine(settings)
        {
            let (workplace, reason) = (workplace.name.to_string(), ErrorChain(&error).to_string());
            tracing::warn!(workplace, reason, "engine of a workplace cannot be used");
        }
    }
    let known: HashSet<String> =
        manager.engines().iter().map(|engine| engine.address.to_string()).collect();
    let unknown = rows.into_iter().map(|row| row.engine).filter(|engine| !known.contains(engine));
    for engine in unknown.collect::<HashSet<_>>() {
        // Of a workplace that was changed or deleted.
        let address = Address::parse(&engine, manager.config().cert_path.clone());
        if let Err(reason) = address.and_then(|address| {
            manager.engine_at(address).map(drop).map_err(|error| ErrorChain(&error).to_string())
        }) {
            tracing::warn!(engine, reason, "engine of containers cannot be used");
        }
    }
    Ok(manager.engines())
}

async fn compare(manager: &Arc<ContainerManager>, engine: &Engine) -> Result<(), Failed> {
    let instance = &manager.parts.instance;
    let containers = list(engine, instance).await?;
    let volumes = volumes(engine, instance).await?;
    // After the engine: see above.
    let rows = manager.read(|reader| reader.containers()).await?;
    let rows: HashMap<&str, &ContainerRow> =
        rows.iter().map(|row| (row.name.as_str(), row)).collect();

    for (name, one) in &containers {
        if !rows.contains_key(name.as_str()) {
            tracing::info!(container = name, "container without a session removed");
            container::remove(engine, &one.id).await?;
        }
    }
    for name in volumes.iter().filter(|name| !rows.contains_key(name.as_str())) {
        container::remove_volume(engine, name).await?;
    }
    let here = engine.address.to_string();
    for row in rows.values().filter(|row| row.orphan && row.engine == here) {
        container::remove(engine, &row.name).await?;
        container::remove_volume(engine, &row.name).await?;
        manager.containers().remove(&row.name);
        let name = row.name.clone();
        manager.write(move |writer| writer.container_gone(&name)).await?;
    }
    let listed: HashSet<&str> = containers.iter().map(|(name, _)| name.as_str()).collect();
    for row in rows.values().filter(|row| row.engine == here && !row.orphan) {
        if !listed.contains(row.name.as_str()) {
            note_vanished(manager, engine, row).await?;
        }
    }
    for (name, one) in containers {
        let running = one.state == "running";
        match rows.get(name.as_str()) {
            Some(row) if running && !row.orphan => stop_if_idle(manager, engine, row).await?,
            _ => {}
        }
    }
    clear_short_lived(engine, instance).await
}

/// Notes that a container of the table is gone, unless it was made since it was listed.
async fn note_vanished(
    manager: &ContainerManager,
    engine: &Engine,
    row: &ContainerRow,
) -> Result<(), Failed> {
    let Some(id) = row.container.clone().filter(|id| !id.is_empty()) else { return Ok(()) };
    if engine.container(&id).await?.is_some() {
        return Ok(());
    }
    let name = row.name.clone();
    Ok(manager.write(move |writer| writer.container_vanished(&name, &id)).await?)
}

/// Containers of an instance by name.
async fn list(engine: &Engine, instance: &str) -> Result<Vec<(String, Listed)>, Failed> {
    let path = format!("/containers/json?all=true&filters={}", filters(instance));
    let found: Vec<Listed> = engine.ask(Stage::ListContainers, engine.get(path)).await?;
    let named = found.into_iter().filter_map(|one| {
        let name = one.name.as_ref()?.trim_start_matches('/').to_owned();
        Some((name, one))
    });
    Ok(named.collect())
}

async fn volumes(engine: &Engine, instance: &str) -> Result<Vec<String>, Failed> {
    let path = format!("/volumes?filters={}", filters(instance));
    let found: Volumes = engine.ask(Stage::ListVolumes, engine.get(path)).await?;
    Ok(found.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
}

/// What is an instance's own, for a query.
fn filters(instance: &str) -> String {
    encoded(&serde_json::to_string(&spec::own(instance)).expect("its keys are strings"))
}

async fn stop_if_idle(
    manager: &ContainerManager,
    engine: &Engine,
    row: &ContainerRow,
) -> Result<(), Failed> {
    let limit = manager.config().idle_stop;
    let known = manager.containers().get(&row.name).cloned();
    let stopped = match known {
        Some(ref one) if one.is_leased() || Instant::now() - one.used() < limit => false,
        // Its last use was by another worker, which may still live: it writes the table. By the wall's
        // clock, which may have stepped since; not by this worker's, until it has run for as long.
        None if age(&row.used_at) < limit || manager.uptime() < limit => false,
        known => container::stop_if_idle(engine, known, &row.name).await?,
    };
    if stopped {
        tracing::debug!(container = row.name, "idle container stopped");
    }
    Ok(())
}

/// Stops every container of an instance.
pub(super) async fn stop_all(engine: &Engine, instance: &str) -> Result<(), Failed> {
    let running = running(engine, instance).await?;
    let stops = running.iter().map(|name| container::stop(engine, name));
    join_all(stops).await.into_iter().collect()
}

/// The names of an instance's containers that run.
pub(super) async fn running(engine: &Engine, instance: &str) -> Result<Vec<String>, Failed> {
    let is_running = |one: &Listed| one.state == "running";
    let listed = list(engine, instance).await?.into_iter();
    Ok(listed.filter(|(_, one)| is_running(one)).map(|(name, _)| name).collect())
}

/// Since then; nothing when it is to come.
fn age(moment: &str) -> Duration {
    let then = moment.parse::<jiff::Timestamp>().unwrap_or_default();
    jiff::Timestamp::now().duration_since(then).try_into().unwrap_or_default()
}

/// Removes what a worker that was killed in the middle left of checks and of giving workspaces.
async fn clear_short_lived(engine: &Engine, instance: &str) -> Result<(), Failed> {
    let instance = format!("{instance}{SHORT_LIVED}");
    let now = jiff::Timestamp::now().as_second();
    let mut any = false;
    for (_, one) in list(engine, &instance).await? {
        any = true;
        let age = now.saturating_sub(one.created);
        if u64::try_from(age).is_ok_and(|age| age > LEFT_OVER.as_secs()) {
            container::remove(engine, &one.id).await?;
        }
    }
    if !any {
        for name in volumes(engine, &instance).await? {
            // One that is in use stays.
            match container::remove_volume(engine, &name).await {
                Err(failed) if !failed.is_conflict() => return Err(failed),
                _ => {}
            }
        }
    }
    Ok(())
}

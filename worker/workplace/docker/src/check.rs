//! The check of an engine, step by step.

use std::{sync::Arc, time::Instant};

use tokio::sync::mpsc;

use super::{
    backend::Docker,
    container::{self, Container},
    container_manager::ContainerManager,
    engine::Engine,
    spec::Identity,
};
use evonic_backend::{
    CheckStep, Stage, Verdict, WorkplaceError,
    check::{self, Steps},
};
use evonic_domain::{DockerSettings, SessionId, WorkplaceId};
use evonic_shared::error_chain::ErrorChain;

/// Tries `connect`, `version`, `engine`, `image`, `create`, `home`, `write`, `run`, `space` with a
/// container of its own, which is removed.
pub(super) async fn check(
    manager: &Arc<ContainerManager>,
    settings: &DockerSettings,
    sender: mpsc::Sender<CheckStep>,
) {
    let steps = Steps::new(sender);
    let advice = "start the engine, and let this user use its socket";
    let connect = async {
        let engine = manager.engine(settings)?;
        engine.greet().await?;
        let address = engine.address.to_string();
        Ok((engine, address))
    };
    let Some(engine) = steps.step("connect", Some(advice), connect).await else { return };
    let version = async {
        let version = engine.ask(Stage::Version, engine.docker.version()).await?;
        let product = version.version.unwrap_or_default();
        Ok(((), format!("Docker {product}, API {}", engine.version())))
    };
    if steps.step("version", None, version).await.is_none() {
        return;
    }
    if !describe_engine(&engine, &steps).await {
        return;
    }
    let advice = "`evonic sandbox build` makes the default image; load or pull another one";
    let image = async {
        let found = engine.ask(Stage::Image, engine.docker.inspect_image(&settings.image)).await?;
        Ok(((), format!("{} {}", settings.image, found.id.unwrap_or_default())))
    };
    if steps.step("image", Some(advice), image).await.is_none() {
        return;
    }
    let identity =
        Identity::of_check(&manager.parts.instance, &WorkplaceId::new(), &SessionId::new());
    let name = identity.name.clone();
    let container = Container::new(identity, Arc::clone(&engine), settings.clone());
    let place = Docker::new(Arc::clone(manager), Arc::new(container));
    if create(&place, &steps).await.is_some() {
        check::files_and_commands(&place, &steps).await;
    }
    drop(place);
    let cleared = async {
        container::remove(&engine, &name).await?;
        container::remove_volume(&engine, &name).await
    };
    if let Err(failed) = cleared.await {
        let detail = ErrorChain(&failed.error).to_string();
        steps.report("clear", Verdict::Warning, detail, None, Instant::now()).await;
    }
}

async fn create(place: &Docker, steps: &Steps) -> Option<()> {
    let advice = "see what the engine says; limits are settings of the workplace";
    let created = async {
        let lease = place.lease().await?;
        Ok::<_, WorkplaceError>(((), lease.id.get(..12).unwrap_or(&lease.id).to_owned()))
    };
    steps.step("create", Some(advice), created).await
}

/// What an operator should know of the engine itself.
async fn describe_engine(engine: &Engine, steps: &Steps) -> bool {
    let began = Instant::now();
    let info = match engine.ask(Stage::EngineInfo, engine.docker.info()).await {
        Ok(info) => info,
        Err(failed) => {
            let failed = async { Err::<((), String), _>(WorkplaceError::from(failed)) };
            return steps.step("engine", None, failed).await.is_some();
        }
    };
    let options = info.security_options.unwrap_or_default();
    let rootless = options.iter().any(|option| option.contains("rootless"));
    let live = info.live_restore_enabled == Some(true);
    let limits = info.memory_limit != Some(false) && info.pids_limit != Some(false);
    let detail = format!(
        "{}, live-restore {}, limits of memory and processes {}",
        if rootless { "rootless" } else { "runs as root" },
        if live { "on" } else { "off" },
        if limits { "on" } else { "not all there" },
    );
    let advice = if !limits {
        Some("this engine does not limit memory or processes; let it use control groups")
    } else if !live {
        Some(
            "set \"live-restore\": true in the engine's daemon.json: without it a restart of the \
              engine ends every command",
        )
    } else {
        None
    };
    let verdict = if advice.is_some() { Verdict::Warning } else { Verdict::Ok };
    steps.report("engine", verdict, detail, advice.map(str::to_owned), began).await;
    true
}

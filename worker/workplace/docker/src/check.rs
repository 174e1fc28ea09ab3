//! The check of an engine, step by step.

use std::{sync::Arc, time::Instant};

use super::{
    answer::Version,
    backend::Docker,
    container::{self, Container},
    container_manager::ContainerManager,
    engine::Engine,
    spec::Identity,
};
use evonic_backend::{
    Result, Stage, Verdict,
    check::{self, Finding, Steps},
};
use evonic_domain::{DockerSettings, SessionId, WorkplaceId};
use evonic_shared::error_chain::ErrorChain;

/// Tries `connect`, `version`, `engine`, `image`, `create`, `home`, `write`, `run`, `space` with a
/// container of its own, which is removed. Ends when a step failed.
pub(super) async fn check(
    manager: &Arc<ContainerManager>,
    settings: &DockerSettings,
    steps: &Steps,
) -> Option<()> {
    let advice = "start the engine, and let this user use its socket";
    let connect = async {
        let engine = manager.engine(settings)?;
        engine.greet().await?;
        let address = engine.address.to_string();
        Ok((engine, address))
    };
    let engine = steps.step("connect", Some(advice), connect).await?;
    let version = async {
        let asked = engine.get::<Version>("/version".to_owned());
        let version = engine.ask(Stage::Version, asked).await?;
        let product = version.version.unwrap_or_default();
        Ok(((), format!("Docker {product}, API {}", engine.version())))
    };
    steps.step("version", None, version).await?;
    steps.step("engine", None, describe_engine(&engine)).await?;
    let advice = "`evonic sandbox build` makes the default image; load or pull another one";
    let image = async {
        let found = engine.ask(Stage::Image, engine.docker.inspect_image(&settings.image)).await?;
        Ok(((), format!("{} {}", settings.image, found.id.unwrap_or_default())))
    };
    steps.step("image", Some(advice), image).await?;
    let identity =
        Identity::of_check(&manager.parts.instance, &WorkplaceId::new(), &SessionId::new());
    let name = identity.name.clone();
    let container = Container::new(identity, Arc::clone(&engine), settings.clone());
    let backend = Docker::new(Arc::clone(manager), Arc::new(container));
    let advice = "see what the engine says; limits are settings of the workplace";
    let created = async {
        let lease = backend.lease().await?;
        Ok(((), lease.id.get(..12).unwrap_or(&lease.id).to_owned()))
    };
    if steps.step("create", Some(advice), created).await.is_some() {
        check::files_and_commands(&backend, steps).await;
    }
    drop(backend);
    let cleared = async {
        container::remove(&engine, &name).await?;
        container::remove_volume(&engine, &name).await
    };
    if let Err(failed) = cleared.await {
        let detail = ErrorChain(&failed.error).to_string();
        steps.report("clear", Verdict::Warning, detail, None, Instant::now()).await;
    }
    Some(())
}

/// What an operator should know of the engine itself.
async fn describe_engine(engine: &Engine) -> Result<((), Finding)> {
    let info = engine.ask(Stage::EngineInfo, engine.docker.info()).await?;
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
    Ok(((), Finding::new(detail, advice)))
}

//! The default image, made by the engine from the Dockerfile that ships with the product.

use std::time::Duration;

use bollard::{body_full, models::BuildInfo, query_parameters::BuildImageOptionsBuilder};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{archive::archive, engine::Engine, spec::User};
use evonic_backend::{Result, Stage, WorkplaceError};

const DOCKERFILE: &str = include_str!("sandbox/Dockerfile");

/// The longest that a step of the build may be silent.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Builds the image under this name, and sends the output of the build, line by line.
///
/// # Errors
/// [`evonic_backend::WorkplaceError`], with the engine's message when a step of the build fails.
pub(super) async fn build(
    engine: &Engine,
    image: &str,
    output: &mpsc::Sender<String>,
) -> Result<()> {
    engine.greet().await?;
    let (root, content) = (User { uid: 0, gid: 0 }, Bytes::from_static(DOCKERFILE.as_bytes()));
    let context = archive(root, [], ("Dockerfile", 0o644), content)
        .map_err(|error| WorkplaceError::path("write", "Dockerfile", error))?;
    let options = BuildImageOptionsBuilder::default().t(image).rm(true).forcerm(true).build();
    let context = body_full(context.concat().into());
    let mut progress = engine.docker.build_image(options, None, Some(context));
    while let Some(step) = engine.piece(Stage::BuildImage, &mut progress, SILENCE).await? {
        let BuildInfo { stream, status, error_detail, .. } = step;
        if let Some(message) = error_detail.and_then(|detail| detail.message) {
            return Err(WorkplaceError::refused(
                &engine.address,
                Stage::BuildImage,
                message.trim(),
            ));
        }
        for line in stream.or(status).iter().flat_map(|text| text.lines()) {
            if !line.trim().is_empty() {
                // The build continues without a listener.
                let _ = output.send(line.to_owned()).await;
            }
        }
    }
    Ok(())
}

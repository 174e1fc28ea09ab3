//! Why a container that was started does not run.

use super::{
    answer::{Inspected, Version},
    container::{self, Container},
    spec::NO_SLEEP,
};
use evonic_backend::{Stage, WorkplaceError};

/// Characters of the engine's words that are handed on.
const WORDS: usize = 400;

/// The error for a container that was started, and is not running when it is used. What the image
/// lacks is permanent.
pub(super) async fn stopped(container: &Container, id: &str) -> WorkplaceError {
    let (engine, image) = (&container.engine, container.settings().image);
    let Ok(Some(Inspected { state, .. })) = engine.container(id).await else {
        return container::unstable(engine);
    };
    if state.running {
        return container::unstable(engine);
    }
    let refused =
        |said: String| WorkplaceError::refused(&engine.address, Stage::StartContainer, said);
    if let Some((of_image, of_engine)) = architectures(container, &image).await
        && of_image != of_engine
    {
        return refused(foreign(&image, &of_image, &of_engine));
    }
    if state.exit_code == NO_SLEEP {
        return refused(format!(
            "the image {image} has no program sleep that works; add coreutils or busybox to it, \
             or name another image"
        ));
    }
    let error: String = state.error.chars().take(WORDS).collect();
    let code = state.exit_code;
    let separator = if error.is_empty() { "" } else { ": " };
    refused(format!(
        "the container stopped as soon as it was started, with exit status {code}{separator}{error}; \
         try its image {image} by hand: `docker run --rm -it --entrypoint /bin/sh {image}`"
    ))
}

/// What there is to do about an image for another processor.
fn foreign(image: &str, of_image: &str, of_engine: &str) -> String {
    format!(
        "the image {image} is made for {of_image}, and the engine's machine is {of_engine}: name an \
         image for {of_engine}, or let that machine emulate {of_image} (package qemu-user-static)"
    )
}

/// The processors of the image and of the engine's machine.
async fn architectures(container: &Container, image: &str) -> Option<(String, String)> {
    let engine = &container.engine;
    let found = engine.ask(Stage::Image, engine.docker.inspect_image(image)).await.ok()?;
    let version = engine.get::<Version>("/version".to_owned());
    let version = engine.ask(Stage::Version, version).await.ok()?;
    let known = |name: Option<String>| name.filter(|name| !name.is_empty());
    Some((plain(&known(found.architecture)?), plain(&known(version.arch)?)))
}

/// The one name of a processor that has several.
fn plain(name: &str) -> String {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .chars()
    .take(40)
    .collect()
}

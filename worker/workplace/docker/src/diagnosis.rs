//! Why a container that was started does not run.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::sleep;

use super::{
    answer::{Inspected, Version},
    container,
    reading::Reading,
    shell::Sandbox,
    spec::NO_SLEEP,
};
use evonic_backend::{Stage, WorkplaceError};

/// How often it is looked whether a container stops, and the pause between two looks.
const LOOKS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// Characters of the engine's words that are handed on.
const WORDS: usize = 400;

/// The error for a container that was started, and is not running when it is used. What the image
/// lacks is permanent.
pub(super) async fn stopped(sandbox: &Sandbox, id: &str) -> WorkplaceError {
    let container = &sandbox.container;
    let (engine, image) = (&container.engine, container.settings().image);
    let Ok(Some(Inspected { state, .. })) = engine.container(id).await else {
        return container::unstable(engine);
    };
    if state.running {
        return container::unstable(engine);
    }
    let refused =
        |said: String| WorkplaceError::refused(&engine.address, Stage::StartContainer, said);
    if let Some(error) = foreign(sandbox).await {
        return error;
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

/// Why a script ended without a word, if its container explains it: one that cannot run may do so for
/// a moment, in which an exec is taken.
pub(super) async fn unstarted(sandbox: &Sandbox) -> Option<WorkplaceError> {
    let engine = &sandbox.container.engine;
    let name = sandbox.container.identity.name.clone();
    for _ in 0..LOOKS {
        match engine.container(&name).await {
            Ok(Some(Inspected { state, .. })) if state.running => sleep(PAUSE).await,
            Ok(Some(Inspected { id, .. })) => {
                sandbox.container.lost(&id).await;
                return Some(stopped(sandbox, &id).await);
            }
            Ok(None) | Err(_) => return None,
        }
    }
    foreign(sandbox).await
}

/// The error for an image that is made for another processor than the engine's machine has, if it is.
async fn foreign(sandbox: &Sandbox) -> Option<WorkplaceError> {
    let container = &sandbox.container;
    let (engine, image) = (&container.engine, container.settings().image);
    let (of_image, of_engine) = architectures(sandbox, &image).await?;
    (of_image != of_engine).then(|| {
        let said = format!(
            "the image {image} is made for {of_image}, and the engine's machine is {of_engine}: \
             name an image for {of_engine}, or let that machine emulate {of_image} (package \
             qemu-user-static)"
        );
        WorkplaceError::refused(&engine.address, Stage::StartContainer, said)
    })
}

/// The processors of the image and of the engine's machine. The image's is read from its shell, for
/// what an image says of itself may be wrong; only where that tells nothing it is believed.
async fn architectures(sandbox: &Sandbox, image: &str) -> Option<(String, String)> {
    let engine = &sandbox.container.engine;
    let version = engine.get::<Version>("/version".to_owned());
    let version = engine.ask(Stage::Version, version).await.ok()?;
    let of_engine = version.arch.filter(|name| !name.is_empty())?;
    let of_image = match of_shell(sandbox).await {
        Some(machine) => machine.to_owned(),
        None => {
            let found = engine.ask(Stage::Image, engine.docker.inspect_image(image)).await.ok()?;
            found.architecture.filter(|name| !name.is_empty())?
        }
    };
    Some((plain(&of_image), plain(&of_engine)))
}

/// The processor that `/bin/sh` is made for, by the header of its file.
async fn of_shell(sandbox: &Sandbox) -> Option<&'static str> {
    let at = Reading::begin(sandbox, SHELL).await.ok()?;
    let mut file = at.download(SHELL, 0).await.ok()?;
    let header = tokio::time::timeout(sandbox.container.engine.timeout, file.bytes.next());
    machine(&header.await.ok()??.ok()?)
}

const SHELL: &str = "/bin/sh";

/// The machine in an ELF header (`elf(5)`), as engines name it.
fn machine(header: &[u8]) -> Option<&'static str> {
    let is_little = *header.strip_prefix(b"\x7fELF")?.get(1)? == 1;
    let bytes = [*header.get(18)?, *header.get(19)?];
    let number = if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
    Some(match number {
        3 => "386",
        20 | 21 => "ppc64le",
        22 => "s390x",
        40 => "arm",
        62 => "amd64",
        183 => "arm64",
        243 => "riscv64",
        258 => "loong64",
        _ => return None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_is_made_for() {
        let mut header = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0";
        assert_eq!(machine(&header), Some("arm64"));
        header[5] = 2;
        header[18..].copy_from_slice(&[0, 22]);
        assert_eq!(machine(&header), Some("s390x"));
        assert_eq!(machine(&header[..19]), None);
        assert_eq!(machine(b"#!/bin/busybox sh\n"), None);
        assert_eq!(plain("x86_64"), plain("amd64"));
    }
}

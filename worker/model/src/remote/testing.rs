//! The terms of a request, for the tests of what is written.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use evonic_domain::ModelFacts;
use evonic_shared::config::{Config, Environment, Model, ModelKind};

use super::Sending;

/// The endpoint to which what is carried goes back.
pub(crate) const ENDPOINT: &str = "here";

/// What a file says that names the kind, the address and the model only.
pub(crate) fn settings(kind: ModelKind) -> Model {
    let text = format!(
        "[models.m]\nkind = \"{}\"\nbase_url = \"http://h/v1\"\nmodel = \"m\"\n",
        kind.name()
    );
    let environment = Environment::new([], 0, "/".into());
    let resolved = Config::resolve(Some((Path::new("test.toml"), &text)), &environment);
    resolved.expect("it is sound").config.models["m"].clone()
}

/// Writes under the terms of this kind.
pub(crate) fn sending<T>(kind: ModelKind, write: impl FnOnce(&Sending<'_>) -> T) -> T {
    sending_with(&settings(kind), &ModelFacts::default(), write)
}

/// Writes under these settings, and what is known of the endpoint.
pub(crate) fn sending_with<T>(
    settings: &Model,
    facts: &ModelFacts,
    write: impl FnOnce(&Sending<'_>) -> T,
) -> T {
    write(&Sending {
        settings,
        endpoint: ENDPOINT,
        facts,
        eyes: true,
        window: settings.context_tokens,
        has_blobs: true,
        withheld: &HashSet::new(),
        texts: &HashMap::new(),
    })
}

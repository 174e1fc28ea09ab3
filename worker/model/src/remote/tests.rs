//! Tests against a scripted endpoint over real sockets, and what holds for any stream.

mod answers;
mod attachments;
mod bounds;
mod cases;
mod chunking;
mod descriptors;
mod faults;
mod memory;
mod page;
mod patience;
mod secrets;
mod secure;
mod server;
mod window;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_shared::{
    config::{self, KeySource},
    kind::Kind,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::Remote;
use crate::{Delta, ModelError, Reply, Request, facts::Facts, request::Sink};
use evonic_domain::{Effect, Ending, Item, ToolSpec};
use evonic_handles::{Budget, Page, Usage};
use evonic_net::TlsError;
use server::Server;

fn budget(model: u32) -> Budget {
    let sizes = config::Budget {
        http: 1,
        sqlite: 1,
        model,
        file: 1,
        child: 1,
        ssh: 1,
        docker: 1,
        outbound: 1,
    };
    Budget::new(&sizes, Page::private().unwrap(), 100_000)
}

fn used(budget: &Budget) -> Usage {
    budget.usage()[Kind::Model.slot()]
}

/// What a file says that names the address and the model only, without retries.
fn settings(base_url: &str) -> config::Model {
    let text = format!("[models.m]\nbase_url = \"{base_url}\"\nmodel = \"gpt-test\"\n");
    let environment = config::Environment::new([], 0, PathBuf::from("/"));
    let resolved = config::Config::resolve(Some((Path::new("test.toml"), &text)), &environment);
    let model = resolved.expect("it is sound").config.models["m"].clone();
    let (retry_pause, max_retry_pause) = (Duration::from_millis(2), Duration::from_secs(2));
    config::Model { retries: 0, patience: Duration::ZERO, retry_pause, max_retry_pause, ..model }
}

/// As [`Remote::new`], without facts and without secure connections.
fn remote(settings: &config::Model, budget: &Budget) -> Remote {
    let tls = || Err(TlsError::NoAuthority(None));
    Remote::new("gpt", settings, budget, Facts::new(), tls).unwrap()
}

/// A model of this server that pauses for a moment between attempts.
fn model(server: &Server, change: impl FnOnce(&mut config::Model)) -> Remote {
    model_within(server, &budget(4), change)
}

fn model_within(
    server: &Server,
    budget: &Budget,
    change: impl FnOnce(&mut config::Model),
) -> Remote {
    let mut settings = settings(&server.base_url());
    change(&mut settings);
    remote(&settings, budget)
}

/// A file with a key in it, and the place that a configuration would name.
fn key_file(key: &str) -> (tempfile::TempDir, KeySource) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("key");
    std::fs::write(&path, key).unwrap();
    (folder, KeySource::File(path))
}

fn request(items: Vec<Item>) -> Request {
    let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {"command": {"type": "string"}}});
    let bash = ToolSpec {
        name: "bash".to_owned(),
        description: "Runs a command.".to_owned(),
        schema,
        effect: Effect::Change,
        ending: Ending::Own,
    };
    Request {
        instructions: "Be brief.".to_owned(),
        items: items.into(),
        tools: vec![bash],
        ..Request::default()
    }
}

fn hello() -> Request {
    request(vec![Item::user("Hello".to_owned())])
}

/// Asks for a reply; what came while it was made comes with it.
async fn ask(model: &Remote, request: &Request) -> (Result<Reply, ModelError>, Vec<Delta>) {
    let (sender, mut receiver) = mpsc::channel(8);
    let asked = async {
        let sender = sender;
        model.reply(request, &mut Sink::new(&sender)).await
    };
    let listened = async {
        let mut deltas = Vec::new();
        while let Some(delta) = receiver.recv().await {
            deltas.push(delta);
        }
        deltas
    };
    tokio::join!(asked, listened)
}

/// The text that pieces come to, with what was retracted taken away.
fn joined(deltas: &[Delta]) -> String {
    deltas.iter().fold(String::new(), |text, delta| match delta {
        Delta::Text(piece) => text + piece,
        Delta::Reasoning(_) | Delta::Spent(_) => text,
        Delta::Retract { .. } => String::new(),
    })
}

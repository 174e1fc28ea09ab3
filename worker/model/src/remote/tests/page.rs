//! What `docs/models.md` shows works.

use std::path::{Path, PathBuf};

use evonic_shared::config::{Config, Environment, ModelKind};

use super::{Facts, Remote, budget};
use evonic_net::{Authorities, client};

const PAGE: &str = include_str!("../../../../../docs/models.md");

#[test]
fn every_example_of_the_page_is_a_model_that_can_be_set_up() {
    let example = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let example = example.expect("the page has an example");
    let environment = Environment::new([], 0, PathBuf::from("/"));
    let resolved = Config::resolve(Some((Path::new("models.md"), example)), &environment);
    let models = resolved.unwrap_or_else(|errors| panic!("{errors}")).config.models;
    assert_eq!(models.len(), example.matches("[models.").count());
    assert!(models.values().any(|model| model.kind == ModelKind::Anthropic));
    let budget = budget(1);
    for (name, settings) in &models {
        let keyless = evonic_shared::config::Model { key: None, ..settings.clone() };
        let trust = || client(Authorities::system()?, None);
        let made = Remote::new(name, &keyless, &budget, Facts::new(), trust);
        assert!(made.is_ok(), "{name}: {made:?}");
    }
    let address = |name: &str| {
        let trust = || client(Authorities::system()?, None);
        let keyless = evonic_shared::config::Model { key: None, ..models[name].clone() };
        let made = Remote::new(name, &keyless, &budget, Facts::new(), trust).unwrap();
        made.endpoint.path.to_string()
    };
    let azure = "/openai/deployments/DEPLOYMENT/chat/completions?api-version=2024-10-21";
    assert_eq!(address("azure"), azure);
    assert_eq!(address("claude"), "/v1/messages");
    assert_eq!(address("gemini"), "/v1beta/openai/chat/completions");
}

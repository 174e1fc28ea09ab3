//! Secrets that the configuration and a workplace name.

use std::path::Path;

use evonic_tests::escape::Folders;
use serde_json::json;

/// Configuration of models whose keys lie in `more`, which commands see, and in the workplace.
pub fn of_models(folders: &Folders, more: &Path) -> String {
    let key = |name: &str, path: &Path| {
        format!(
            "[models.{name}]\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"x\"\nkey_file = {path:?}\n"
        )
    };
    let own = folders.root.join("deep/below/model.key");
    [key("one", &more.join("model.key")), key("two", &own), key("three", &more.join("tls.key"))]
        .concat()
}

/// Settings of a workplace on another machine whose password lies in `more`.
pub fn of_host(more: &Path) -> String {
    let settings = json!({
        "host": "127.0.0.1",
        "user": "x",
        "authenticate": ["password"],
        "password": {"file": more.join("password")},
    });
    settings.to_string()
}

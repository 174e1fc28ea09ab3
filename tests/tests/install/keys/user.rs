//! The service's user shows what only that user can read.

use std::{fs, os::unix::fs::PermissionsExt};

use super::service::{Service, text};

#[test]
fn the_service_s_user_is_an_operator_by_what_it_alone_can_read() {
    let service = Service::start();
    let works = |arguments: &[&str]| {
        let output = service.evonic(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    };
    let refused = |arguments: &[&str]| {
        let output = service.evonic(arguments);
        assert_eq!(output.status.code(), Some(77), "{arguments:?}: {}", text(&output));
        text(&output)
    };
    works(&["key", "list"]);
    works(&["restart"]);
    works(&["restart", "--reload"]);

    let key = service.path("state/admin.key");
    let set = |mode| fs::set_permissions(&key, PermissionsExt::from_mode(mode)).expect("ours");
    set(0o644);
    let message = refused(&["key", "list"]);
    assert!(message.contains("has mode 0644") && message.contains("chmod 0600"), "{message}");
    set(0o600);
    let secret = fs::read_to_string(&key).expect("a key");
    fs::remove_file(&key).expect("ours");
    let message = refused(&["key", "list"]);
    assert!(message.contains("admin.key cannot be read"), "{message}");
    works(&["--key", secret.trim(), "key", "list"]);

    let token = service.path("run/command.token");
    fs::remove_file(&token).expect("ours");
    let message = refused(&["restart"]);
    assert!(message.contains("command.token"), "{message}");
}

//! What OpenSSH's configuration says, and evonic does not do.

use std::fs;

use evonic_parts::Sshd;
use evonic_tests::{
    pair::Options,
    testbed::{Testbed, ssh_settings},
    troubleshooting::assert_documented,
};
use serde_json::json;

use super::check;

#[test]
fn what_is_not_followed_is_refused_by_file_and_line_and_none_reads_no_file() {
    let server = Sshd::start();
    let account = server.account("/bin/sh", "home");
    let testbed = Testbed::local(&Options::default());
    let cases = [
        (
            "command",
            "Host *\n\tProxyCommand nc other 22\n",
            Some("ProxyCommand is not supported … ProxyJump"),
        ),
        ("match", "# a\nMatch user root\n", Some("Match is not supported … --ssh-config none")),
        ("typo", "Host *\n\tProxyComand nc other 22\n", Some("is no keyword of ssh_config")),
        ("late", "ProxyCommand none\nProxyCommand nc other 22\n", None),
        ("other", "Host elsewhere\n\tProxyCommand nc other 22\n", None),
    ];
    for (name, text, documented) in cases {
        let file = server.folder().join(name);
        fs::write(&file, text).expect("a file");
        let mut settings = ssh_settings(&server, &account);
        settings["config_file"] = json!(file);
        testbed.workplace(name, "ssh", &settings);
        let (well, said) = check(&testbed, name);
        assert_eq!(well, documented.is_none(), "{name}: {said}");
        if let Some(row) = documented {
            assert_documented(row, &said);
            assert!(said.contains(&format!("{}:2", file.display())), "{said}");
        }
    }
    let mut settings = ssh_settings(&server, &account);
    settings["config_file"] = json!("none");
    testbed.workplace("none", "ssh", &settings);
    let (well, said) = check(&testbed, "none");
    assert!(well, "{said}");
}

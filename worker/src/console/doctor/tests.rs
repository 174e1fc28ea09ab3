//! Findings, of a missing service.

use evonic_shared::config::Config;

use super::{Finding, Verdict, checks, render, service};

#[test]
fn findings_are_rendered_with_what_to_do() {
    let findings = [
        Finding::ok("configuration", "evonic.toml"),
        Finding::warning("landlock", "it is missing", "do without"),
        Finding::failed("worker", "it is away", "look for it"),
    ];
    insta::assert_snapshot!(render(&findings).plain(), @r"
    ok       configuration  evonic.toml
    warning  landlock       it is missing
                            do without
    failed   worker         it is away
                            look for it
    ");
}

#[test]
fn a_missing_service_is_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config::defaults(folder.path().join("state"), folder.path().join("run"));
    assert_eq!(service::supervisor(&config).verdict, Verdict::Failed);
    for finding in checks::folders(&config) {
        assert_ne!(finding.verdict, Verdict::Failed, "{finding:?}");
    }
    let protections = checks::protections(&config);
    let names: Vec<_> = protections.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(names, ["proc", "sandbox", "rlimits"]);
    assert!(checks::programs().iter().any(|finding| finding.check == "setsid"));
    let mut small = config;
    small.fd.ceiling = u32::MAX - 1;
    assert_eq!(checks::limit(&small).verdict, Verdict::Failed);
}

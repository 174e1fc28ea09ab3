//! Findings, of a missing service.

use evonic_shared::{config::Config, store_report::StorageReport};

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

#[test]
fn storage_that_is_short_large_or_mostly_free_is_warned_of() {
    let storage = |change: fn(&mut StorageReport)| {
        let mut storage = StorageReport {
            database_bytes: 64 << 20,
            disk_free_bytes: Some(1 << 30),
            min_free_bytes: 64 << 20,
            shrinks: true,
            ..StorageReport::default()
        };
        change(&mut storage);
        let findings = service::storage_findings(&storage);
        findings.into_iter().map(|finding| (finding.verdict, finding.detail)).collect::<Vec<_>>()
    };
    let check = |change, verdict, words: &str| {
        let findings = storage(change);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].0 == verdict && findings[0].1.contains(words), "{findings:?}");
    };
    check(|_| {}, Verdict::Ok, "the database has");
    check(|s| s.disk_free_bytes = Some(100 << 20), Verdict::Warning, "retention.min_free is");
    check(|s| s.log_bytes = 200 << 20, Verdict::Warning, "the database's log has");
    check(|s| s.free_bytes = 40 << 20, Verdict::Warning, "are free");
    let low = |s: &mut StorageReport| (s.disk_free_bytes, s.is_low) = (Some(1 << 20), true);
    check(low, Verdict::Failed, "new messages and sessions are refused");
}

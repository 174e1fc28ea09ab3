use std::time::Duration;

use evonic_parts::Sshd;

use super::*;
use crate::connect::tests::{Fixture, target};
use evonic_backend::CheckStep;

async fn reached(fixture: &Fixture, target: &Target) -> (bool, Vec<CheckStep>) {
    let (sender, mut steps) = mpsc::channel(64);
    let well = {
        let steps = Steps::new(sender);
        reach(target, &PoolState::new(fixture.settings.clone(), fixture.budget.clone()), &steps)
            .await
    };
    let mut all = Vec::new();
    while let Some(step) = steps.recv().await {
        all.push(step);
    }
    assert_eq!(fixture.used(), (0, 0));
    (well, all)
}

#[tokio::test]
async fn each_step_is_told_and_the_one_that_fails_says_what_to_do() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let mut fixture = Fixture::new();
    let good = target(&sshd, &account);
    let (well, steps) = reached(&fixture, &good).await;
    let names: Vec<_> = steps.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(names, ["resolve", "connect", "host key", "authenticate"], "{steps:?}");
    assert!(well && steps[2].detail.contains("SHA256:"), "{steps:?}");
    assert!(steps[3].detail.contains(&account.name), "{steps:?}");

    fixture.settings.connect_timeout = Duration::from_secs(10);
    let failing = |change: &dyn Fn(&mut Target)| {
        let mut target = good.clone();
        change(&mut target);
        target
    };
    let (name, file) = (good.name.clone(), sshd.known_hosts());
    let keys = std::fs::read_to_string(&file).unwrap();
    let other = sshd.folder().join("changed");
    std::fs::write(&other, keys.lines().next().unwrap().replace(&name, "elsewhere")).unwrap();
    let stranger = sshd.account("/bin/sh", "other").key;
    let cases: [(Target, &str, String); 3] = [
        (failing(&|t| t.port = 1), "connect", "nc -vz 127.0.0.1 1".to_owned()),
        (
            failing(&|t| t.known_hosts = vec![other.clone()]),
            "host key",
            format!("ssh-keyscan -p {} 127.0.0.1 >> {}", sshd.port(), other.display()),
        ),
        (
            failing(&|t| t.identity_files = vec![stranger.clone()]),
            "authenticate",
            format!("ssh-copy-id -i {}.pub", stranger.display()),
        ),
    ];
    for (target, step, command) in cases {
        let (well, steps) = reached(&fixture, &target).await;
        let last = steps.last().unwrap();
        assert!(!well && last.verdict == Verdict::Failed && last.step == step, "{steps:?}");
        assert!(last.advice.as_ref().is_some_and(|text| text.contains(&command)), "{last:?}");
    }
}

//! Workplaces: made, read, listed, changed, deleted.

use super::*;
use evonic_domain::{DockerSettings, NewWorkplace, Settings, SshSettings, Workplace};

fn ssh(host: &str) -> Settings {
    Settings::Ssh(SshSettings { host: host.to_owned(), ..SshSettings::default() })
}

fn new_workplace(name: &str, settings: Settings) -> NewWorkplace {
    NewWorkplace { name: name.parse().unwrap(), settings }
}

fn made(harness: &Harness, name: &str) -> Workplace {
    let new = new_workplace(name, ssh("there"));
    harness.write(move |writer| writer.create_workplace(new))
}

#[test]
fn local_is_there_from_the_start_and_stays() {
    let harness = Harness::new();
    let local = harness.read(|reader| reader.workplace("local"));
    assert_eq!(local.settings, Settings::Local(evonic_domain::LocalSettings::default()));
    let all = harness.read(|reader| reader.workplaces(&WHOLE)).data;
    assert_eq!(all, std::slice::from_ref(&local));
    let id = local.id.clone();
    let name = "here".parse().ok();
    let renamed = harness.try_write(move |writer| writer.change_workplace(&id, name, None));
    assert_conflict(renamed, "built_in");
    let id = local.id.clone();
    assert_conflict(harness.try_write(move |writer| writer.delete_workplace(&id)), "built_in");
    let id = local.id.clone();
    let settings = Settings::Local(evonic_domain::LocalSettings {
        root: Some("/srv".into()),
        session_folders: true,
        ..evonic_domain::LocalSettings::default()
    });
    let wanted = settings.clone();
    let changed = harness.write(move |writer| writer.change_workplace(&id, None, Some(settings)));
    assert_eq!((changed.name.as_str(), changed.settings), ("local", wanted));
}

#[test]
fn a_workplace_is_made_read_changed_and_deleted() {
    let harness = Harness::new();
    let workplace = made(&harness, "box");
    for which in ["box", workplace.id.as_str()] {
        let which = which.to_owned();
        assert_eq!(harness.read(move |reader| reader.workplace(&which)), workplace);
    }
    let twice = new_workplace("box", Settings::Docker(DockerSettings::default()));
    assert_conflict(harness.try_write(|writer| writer.create_workplace(twice)), "name_taken");

    let change = |name: Option<&str>, settings: Option<Settings>| {
        let (id, name) = (workplace.id.clone(), name.map(|name| name.parse().unwrap()));
        harness.try_write(move |writer| writer.change_workplace(&id, name, settings))
    };
    assert!(change(Some("box"), None).is_ok(), "its own name is not taken");
    assert_conflict(change(Some("local"), None), "name_taken");
    assert_conflict(change(None, Some(Settings::Docker(DockerSettings::default()))), "kind_fixed");
    let changed = change(Some("far"), Some(ssh("elsewhere"))).unwrap();
    assert_eq!((changed.name.as_str(), &changed.settings), ("far", &ssh("elsewhere")));
    assert_eq!(harness.read(|reader| reader.workplace("far")), changed);
    assert_missing(harness.try_read(|reader| reader.workplace("box")), "workplace");

    let id = workplace.id.clone();
    harness.write(move |writer| writer.delete_workplace(&id));
    assert_missing(change(None, None), "workplace");
    let id = workplace.id.clone();
    assert_missing(harness.try_write(move |writer| writer.delete_workplace(&id)), "workplace");
}

#[test]
fn workplaces_are_listed_by_pages() {
    let harness = Harness::new();
    for number in 0..5 {
        made(&harness, &format!("box-{number}"));
    }
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let paging = Paging { limit: 2, after };
        let page = harness.read(move |reader| reader.workplaces(&paging));
        names.extend(page.data.into_iter().map(|workplace| workplace.name.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["local", "box-0", "box-1", "box-2", "box-3", "box-4"]);
}

#[test]
fn a_workplace_that_an_agent_names_is_not_deleted() {
    let harness = Harness::new();
    let (own, other, free) =
        (made(&harness, "own"), made(&harness, "other"), made(&harness, "free"));
    let agent = NewAgent {
        workplace: own.id.to_string(),
        other_workplaces: vec!["local".to_owned(), other.id.to_string()],
        ..new_agent("clerk")
    };
    let agent = harness.write(move |writer| writer.create_agent(agent));
    for used in [&own, &other] {
        let id = used.id.clone();
        let deleted = harness.try_write(move |writer| writer.delete_workplace(&id));
        assert_conflict(deleted, "workplace_in_use");
    }
    harness.write(move |writer| writer.delete_workplace(&free.id));
    harness.write(move |writer| writer.delete_agent(&agent.id));
    harness.write(move |writer| writer.delete_workplace(&own.id));
    harness.write(move |writer| writer.delete_workplace(&other.id));
}

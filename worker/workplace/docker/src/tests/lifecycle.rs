//! Which containers there are, and when they stop and go.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use evonic_parts::Engine;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::world::{World, engine, run, spec, text, until};
use crate::{Engines, reconcile};
use evonic_backend::{Backend, Class, End, Ended, Rewrite, Unknown, Verdict, WorkplaceError};

fn state(engine: &Engine, name: &str) -> String {
    let filter = format!("name=^/{name}$");
    let format = ["ps", "-a", "--filter", filter.as_str(), "--format", "{{.State}}"];
    engine.docker(&format).trim().to_owned()
}

async fn becomes(engine: &Engine, name: &str, wanted: &str) {
    until("a container's state", || async {
        let now = state(engine, name);
        if now == wanted { Ok(()) } else { Err(format!("{now:?} instead of {wanted:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_vanished_is_made_anew_and_the_agent_has_news() {
    let engine = engine();
    let world = World::new(&engine).await;
    let place = world.place().await;
    place.write("kept", Bytes::from_static(b"kept"), Rewrite::Whole).await.unwrap();
    assert_eq!(place.news(), None);
    engine.docker(&["rm", "-f", place.name()]);
    assert_eq!(text(&place, "kept").await.unwrap(), "kept");
    let news = place.news().unwrap();
    assert!(news.contains("made anew") && news.contains("as it was"), "{news}");
    assert_eq!(place.news(), None);

    engine.docker(&["rm", "-f", place.name()]);
    engine.docker(&["volume", "rm", place.name()]);
    let (finished, said) = run(&place, spec("ls")).await.unwrap();
    assert_eq!((finished.ended, said.as_str()), (Ended::Exited(0), ""));
    assert!(place.news().unwrap().contains("empty"));

    engine.docker(&["stop", "-t", "0", place.name()]);
    run(&place, spec("true")).await.unwrap();
    assert_eq!(place.news(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_in_a_container_that_was_stopped_cannot_be_known() {
    let engine = engine();
    let world = World::new(&engine).await;
    let place = world.place().await;
    let (sender, mut output) = mpsc::channel::<Bytes>(16);
    let cancel = CancellationToken::new();
    let (finished, ()) = tokio::join!(
        place.commands().run(spec("echo begun; sleep 1000"), sender, &cancel),
        async {
            output.recv().await.unwrap();
            engine.docker(&["stop", "-t", "0", place.name()]);
        }
    );
    assert_eq!(finished.unwrap().ended, Ended::Unknown(Unknown::Restarted));
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_containers_stop_and_busy_ones_do_not() {
    let engine = engine();
    let world =
        World::with(&engine, |config| config.docker.idle_stop = Duration::from_secs(1)).await;
    let (idle, busy) = (world.place().await, world.place().await);
    idle.write("kept", Bytes::from_static(b"kept"), Rewrite::Whole).await.unwrap();
    let (sender, mut output) = mpsc::channel::<Bytes>(16);
    let cancel = CancellationToken::new();
    // Nobody follows it, and nobody holds its container.
    tokio::select! {
        ended = busy.commands().run(spec("echo begun; sleep 1000"), sender, &cancel) => panic!("{ended:?}"),
        _ = output.recv() => {}
    }
    becomes(&engine, idle.name(), "exited").await;
    assert_eq!(state(&engine, busy.name()), "running");
    assert_eq!(text(&idle, "kept").await.unwrap(), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_cap_the_least_recently_used_idle_one_gives_way() {
    let engine = engine();
    let world = World::with(&engine, |config| config.docker.containers = 2).await;
    let (first, second, third) = (world.place().await, world.place().await, world.place().await);
    for place in [&first, &second, &first] {
        place.stat("").await.unwrap();
    }
    third.stat("").await.unwrap();
    let states = [&first, &second, &third].map(|place| state(&engine, place.name()));
    assert_eq!(states, ["running", "exited", "running"]);

    let _busy = [first.lease().await.unwrap(), third.lease().await.unwrap()];
    let refused = second.stat("").await.unwrap_err();
    assert_eq!(refused.class(), Class::Transient);
    let WorkplaceError::Unreachable { source, .. } = &refused else { panic!("{refused:?}") };
    assert!(source.0.contains("docker.containers"), "{source}");
}

#[tokio::test(flavor = "multi_thread")]
async fn engine_and_table_are_reconciled_and_others_are_left_alone() {
    let engine = engine();
    let world = World::new(&engine).await;
    let other = World::new(&engine).await;
    let (kept, theirs) = (world.place().await, other.place().await);
    let session = world.session().await;
    let gone = world.open(&session);
    for place in [&kept, &theirs, &gone] {
        place.stat("").await.unwrap();
    }
    let label = format!("evonic.instance={}", world.parts.instance);
    let stray = format!("stray-{}", &world.parts.instance[..8]);
    let made = ["create", "--name", &stray, "--label", &label, "evonic-test:latest"];
    engine.docker(&made);
    engine.docker(&["volume", "create", "--label", &label, &stray]);

    // The successor finds the same.
    let successor = Engines::start(&world.parts);
    let deleted = session.clone();
    let origin = evonic_domain::Origin::inside();
    let delete = world.store.change(origin, move |changer| changer.delete_session(&deleted));
    delete.await.unwrap();
    world.engines.session_deleted(&session);
    becomes(&engine, &stray, "").await;
    becomes(&engine, gone.name(), "").await;
    until("volumes are gone", || async {
        let volumes = engine.docker(&["volume", "ls", "-q"]);
        let left = volumes.lines().any(|name| name == stray || name == gone.name());
        if left { Err(volumes) } else { Ok(()) }
    })
    .await;
    until("the rows are gone", || async {
        let rows = world.store.read(|reader| reader.containers()).await.unwrap();
        if rows.len() == 1 { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;
    assert_eq!(state(&engine, kept.name()), "running");

    world.engines.close(End::Recycled, Duration::from_secs(20)).await;
    assert_eq!(state(&engine, kept.name()), "running");
    let timeout = Duration::from_secs(20);
    let place = successor.open(&world.workplace, &world.settings, &kept.session()).unwrap();
    place.stat("").await.unwrap();
    assert_eq!(place.news(), None);
    successor.close(End::Stopped, timeout).await;
    assert_eq!(state(&engine, kept.name()), "exited");
    assert_eq!(state(&engine, theirs.name()), "running");
    assert_eq!(world.used().permits, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_holds_containers_once_engines_and_backends_are_dropped() {
    let engine = engine();
    let world = World::new(&engine).await;
    let place = world.place().await;
    place.stat("").await.unwrap();
    let manager = Arc::downgrade(world.engines.manager());
    let container = Arc::downgrade(&place.sandbox().container);
    drop((place, world.engines));
    until("everything is dropped", || async {
        let counts = (manager.strong_count(), container.strong_count());
        if counts == (0, 0) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_reported_and_recovers() {
    let mut engine = Engine::start();
    engine.make_image();
    let world = World::new(&engine).await;
    let session = world.session().await;
    let mut settings = world.settings.clone();
    settings.image = "no-such-image:latest".to_owned();
    let place = world.engines.open(&world.workplace, &settings, &session).unwrap();
    let refused = place.stat("").await.unwrap_err();
    assert_eq!(refused.class(), Class::Permanent);
    let told = evonic_shared::error_chain::ErrorChain(&refused).to_string();
    assert!(told.contains("evonic sandbox build"), "{told}");

    settings.image = world.settings.image.clone();
    settings.network = "no-such-network".to_owned();
    let place = world.engines.open(&world.workplace, &settings, &session).unwrap();
    let told =
        evonic_shared::error_chain::ErrorChain(&place.stat("").await.unwrap_err()).to_string();
    assert!(told.contains("docker network create"), "{told}");

    let place = world.open(&session);
    place.stat("").await.unwrap();
    engine.stop();
    let away = place.stat("").await.unwrap_err();
    assert_eq!(away.class(), Class::Transient, "{away:?}");
    reconcile::reconcile(world.engines.manager()).await;
    let state = &world.engines.states()[0];
    assert!(state.failures > 0 && state.last_error.is_some(), "{state:?}");
    engine.restart();
    place.stat("").await.unwrap();
    assert_eq!(world.engines.states()[0].failures, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tries_every_step_and_leaves_nothing() {
    let engine = engine();
    let world = World::new(&engine).await;
    let (sender, mut steps) = mpsc::channel(64);
    world.engines.check(&world.settings, sender).await;
    let mut names = Vec::new();
    while let Some(step) = steps.recv().await {
        assert_ne!(step.verdict, Verdict::Failed, "{step:?}");
        names.push(step.step);
    }
    assert_eq!(
        names,
        ["connect", "version", "engine", "image", "create", "home", "write", "run", "space"]
    );
    let label = format!("label=evonic.instance={}-short-lived", world.parts.instance);
    for list in [["ps", "-aq"], ["volume", "ls"]] {
        let quiet = if list[0] == "volume" { "-q" } else { "-a" };
        let left = engine.docker(&[list[0], list[1], quiet, "--filter", &label]);
        assert_eq!(left.trim(), "");
    }

    let (sender, mut steps) = mpsc::channel(64);
    let mut settings = world.settings.clone();
    settings.engine = Some("unix:///nowhere/docker.sock".to_owned());
    world.engines.check(&settings, sender).await;
    let step = steps.recv().await.unwrap();
    assert_eq!((step.step.as_str(), step.verdict), ("connect", Verdict::Failed));
    assert!(step.detail.contains("is Docker installed"), "{step:?}");
    assert_eq!(steps.recv().await, None);
    let _shared: Arc<Engine> = engine;
}

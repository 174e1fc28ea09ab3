use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use proptest::prelude::*;

use super::{
    root::SECTIONS,
    table::{ANY_NAME, Fallback, Key, join},
    *,
};

fn environment(variables: &[(&str, &str)], uid: u32) -> Environment {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Environment::new(variables, uid, PathBuf::from("/srv"))
}

fn resolve(text: &str) -> Result<Resolved, ConfigErrors> {
    Config::resolve(Some((Path::new("evonic.toml"), text)), &environment(&[], 0))
}

/// The errors of a text, one a line.
fn errors(text: &str) -> String {
    resolve(text).expect_err("the text is wrong").to_string()
}

/// Every key, with a name in the place of [`ANY_NAME`].
fn keys() -> impl Iterator<Item = (String, &'static Key)> {
    SECTIONS.iter().flat_map(|section| {
        let path = section.path.replace(ANY_NAME, "gpt");
        section.keys.iter().map(move |key| (join(&path, key.name), key))
    })
}

/// A value of a key that is not its default, as TOML.
fn other_value(path: &str, key: &Key) -> String {
    let value = match (path, key.within) {
        ("listen", _) => "\"[::1]:9000\"",
        ("models.gpt.base_url", _) => "\"http://127.0.0.1:1234/v1\"",
        ("models.gpt.headers", _) => "[\"x-title: evonic\"]",
        ("models.gpt.query", _) => "[\"api-version=2024-10-21\"]",
        ("models.gpt.key_header", _) => "\"api-key\"",
        ("models.gpt.fallback", _) => "[\"runbook\"]",
        ("models.gpt.summary_model", _) => "\"runbook\"",
        ("models.gpt.kind", _) => "\"anthropic\"",
        ("models.gpt.max_tokens_field", _) => "\"max_completion_tokens\"",
        ("fd.threshold", _) => "1000",
        ("fd.ceiling", _) => "2000",
        ("fd.limit", _) => "20000",
        ("supervisor.heartbeat_interval", _) => "\"1s\"",
        ("supervisor.heartbeat_timeout", _) => "\"3s\"",
        ("http.linger", _) => "\"2s\"",
        ("http.reserved_unix" | "http.reserved_keys", _) => "3",
        ("supervisor.backoff_cap", _) => "\"5m\"",
        ("supervisor.backoff_base", _) => "\"30ms\"",
        ("fd.max_interval", _) => "\"700ms\"",
        (_, Some((least, _))) if !matches!(key.fallback, Fallback::Is(value) if value == least) => {
            least
        }
        (_, Some((_, most))) => most,
        ("log", _) => "\"evonic=debug,info\"",
        ("outbound.allow", _) => "[\"example\"]",
        ("http.trusted_proxies", _) => "[\"10.0.0.0/8\", \"::1\"]",
        _ if key.type_name.contains("x-forwarded-for") => "\"forwarded\"",
        _ if key.type_name.contains("journal") => "\"json\"",
        _ if key.type_name == "list of quotas" => "[\"7/1m\"]",
        _ if key.type_name == "list of paths" => "[\"/else/where\"]",
        _ if key.type_name.starts_with("list") => "[\"EXAMPLE\"]",
        _ if key.type_name.contains("true") => "false",
        _ if key.type_name.contains("report") => "\"fail\"",
        ("workplace.sandbox", _) => "\"landlock\"",
        ("workplace.network", _) => "\"none\"",
        ("workplace.user", _) => "\"evonic-other\"",
        ("docker.engine", _) => "\"unix:///else/docker.sock\"",
        _ => "\"/else/where\"",
    };
    value.to_owned()
}

#[test]
fn a_broken_file_reports_all_its_errors_at_once() {
    insta::assert_snapshot!(errors(include_str!("tests/broken.toml")));
}

#[test]
fn broken_syntax_does_not_hide_other_errors() {
    insta::assert_snapshot!(errors(
        "[fd]\nthreshold = = 3\nceilling = 5000\n\n[store\nbatch = 0\n"
    ));
}

#[test]
fn nothing_resolves_to_defaults() {
    let resolved = Config::resolve(None, &environment(&[], 0)).expect("defaults are sound");
    let lines: Vec<String> = resolved
        .entries
        .iter()
        .map(|entry| {
            let value = written(entry).unwrap_or_else(|| "none".to_owned());
            format!("{} = {value} # {}", entry.key, entry.origin)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    let config = Config::defaults("/var/lib/evonic".into(), "/run/evonic".into());
    assert_eq!(resolved.config, config);
}

/// A value as the TOML of a file.
fn written(entry: &Entry) -> Option<String> {
    entry.value.as_ref().map(ToString::to_string)
}

#[test]
fn every_documented_default_resolves_to_itself() {
    let resolved = Config::resolve(None, &environment(&[], 0)).expect("defaults are sound");
    for (path, key) in keys().filter(|(path, _)| !path.starts_with("models.")) {
        let Fallback::Is(default) = key.fallback else { continue };
        let entry = resolved.entries.iter().find(|entry| entry.key == path).expect("every key");
        assert_eq!(written(entry).as_deref(), Some(default), "{path}");
        assert_eq!(entry.origin, Origin::Default, "{path}");
    }
}

#[test]
fn every_key_can_be_set() {
    for (path, key) in keys() {
        let mut lines = vec![format!("{path} = {}", other_value(&path, key))];
        for (required, other) in
            keys().filter(|(_, key)| matches!(key.fallback, Fallback::Required))
        {
            if path.starts_with("models.") && required != path {
                lines.push(format!("{required} = {}", other_value(&required, other)));
            }
        }
        if let Some(half) = path.strip_prefix("http.tls.") {
            let other = if half == "key" { "certificate" } else { "key" };
            lines.push(format!("http.tls.{other} = \"/some/where\""));
        }
        if path == "agents.max_running" {
            lines.push("agents.workers = 1".to_owned());
        }
        let text = lines.join("\n");
        let resolved = resolve(&text).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
        let entry = resolved.entries.iter().find(|entry| entry.key == path).expect("every key");
        assert_eq!(
            (written(entry), entry.origin.to_string()),
            (Some(other_value(&path, key)), "evonic.toml:1".to_owned()),
            "{path}"
        );
    }
}

#[test]
fn bounds_hold_at_both_ends() {
    for (path, key) in keys() {
        let Some((least, most)) = key.within else { continue };
        for bound in [least, most] {
            let other = Config::resolve(
                Some((Path::new("f"), &format!("{path} = {bound}"))),
                &environment(&[], 0),
            );
            let told = other.err().map(|errors| errors.to_string()).unwrap_or_default();
            assert!(!told.contains("is not between"), "{path} = {bound}: {told}");
        }
    }
    assert_eq!(
        errors("http.sse_heartbeat = \"16s\""),
        "evonic.toml:1: http.sse_heartbeat: \"16s\" is not between \"10ms\" and \"15s\"; write text \
         such as \"10s\", \"250ms\" or \"1m 30s\", from \"10ms\" to \"15s\""
    );
}

#[test]
fn variables_override_the_file_and_say_so() {
    let variables = environment(
        &[("EVONIC_LISTEN", "127.0.0.1:0"), ("EVONIC_STATE_DIR", "state"), ("EVONIC_LOG", "")],
        1000,
    );
    let text = "listen = \"127.0.0.1:1\"\nlog = \"debug\"\nruntime_dir = \"run\"\n";
    let file = Path::new("etc/evonic.toml");
    let resolved = Config::resolve(Some((file, text)), &variables).expect("it is sound");
    let told = |key| {
        let entry = resolved.entries.iter().find(|entry| entry.key == key).expect("every key");
        format!("{} {}", written(entry).as_deref().unwrap_or("none"), entry.origin)
    };
    assert_eq!(told("listen"), "\"127.0.0.1:0\" $EVONIC_LISTEN");
    assert_eq!(told("state_dir"), "\"/srv/state\" $EVONIC_STATE_DIR");
    assert_eq!(told("runtime_dir"), "\"/srv/etc/run\" etc/evonic.toml:3");
    assert_eq!(told("log"), "\"debug\" etc/evonic.toml:2");
    assert_eq!(told("workplace.root"), "\"/srv/state/workplace\" default");
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let mut variables = environment(&[("EVONIC_LISTEN", "0.0.0.0:80")], 0);
    variables.variables.insert("EVONIC_LOG".to_owned(), OsString::from_vec(vec![0xff]));
    let errors = Config::resolve(None, &variables).expect_err("they are wrong").to_string();
    assert!(errors.contains("$EVONIC_LISTEN: listen: 0.0.0.0:80 can be reached"), "{errors}");
    assert!(errors.contains("$EVONIC_LOG: log: it is no UTF-8"), "{errors}");
}

#[test]
fn folders_follow_the_user_and_systemd() {
    for (variables, uid, state, runtime) in [
        (&[][..], 0, "/var/lib/evonic", "/run/evonic"),
        (
            &[("HOME", "/home/a")][..],
            1,
            "/home/a/.local/state/evonic",
            "/home/a/.local/state/evonic/run",
        ),
        (
            &[("HOME", "/home/a"), ("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/r")],
            1,
            "/s/evonic",
            "/r/evonic",
        ),
        (&[("STATE_DIRECTORY", "/a:/b"), ("RUNTIME_DIRECTORY", "/c")], 1, "/a", "/c"),
        (&[("XDG_STATE_HOME", "relative")], 1, "/var/lib/evonic", "/var/lib/evonic/run"),
    ] {
        let config = Config::resolve(None, &environment(variables, uid)).expect("sound").config;
        assert_eq!(config.state_dir, Path::new(state), "{variables:?}");
        assert_eq!(config.runtime_dir, Path::new(runtime), "{variables:?}");
    }
}

#[test]
fn limits_follow_the_budget() {
    let fd = |text| resolve(text).expect("sound").config.fd;
    let default = fd("");
    assert_eq!((default.threshold, default.ceiling, default.limit), (495, 1980, 16_384));
    let large = fd("budget.http = 10000");
    assert_eq!((large.threshold, large.ceiling, large.limit), (12_835, 51_340, 102_680));
    let told = errors("[budget]\nhttp = 400\n[fd]\nthreshold = 400\n");
    assert!(told.starts_with("evonic.toml:4: fd.threshold: the threshold of 400"), "{told}");
    assert!(told.ends_with("raise fd.threshold to at least 669, or lower [budget]"), "{told}");
}

#[test]
fn every_worker_can_have_a_turn() {
    let running = |text| resolve(text).expect("sound").config.agents.max_running;
    assert_eq!([running(""), running("agents.workers = 100")], [64, 100]);
    let told = errors("[agents]\nworkers = 9\nmax_running = 8\n");
    assert!(told.starts_with("evonic.toml:3: agents.max_running: of 9 workers only 8"), "{told}");
    assert!(told.ends_with("raise agents.max_running to at least 9"), "{told}");
}

#[test]
fn reserved_workers_leave_some_to_those_who_have_one() {
    let reserved = |text| resolve(text).expect("sound").config.agents.reserved_workers;
    assert_eq!([reserved(""), reserved("agents.workers = 1")], [1, 0]);
    let told = errors("[agents]\nworkers = 4\nreserved_workers = 4\n");
    assert!(told.starts_with("evonic.toml:3: agents.reserved_workers: 4 of 4 workers"), "{told}");
    assert!(told.ends_with("lower agents.reserved_workers to at most 3"), "{told}");
}

/// Times that contain others are no shorter than they.
#[test]
fn time_limits_follow_what_they_contain() {
    let hours = |text| resolve(text).expect("sound").config.agents.turn_timeout.as_secs() / 3600;
    assert_eq!([hours(""), hours("tools.timeout = \"12h\"")], [24, 48]);
    let minutes = |more: &str| {
        let text = format!("[models.m]\nbase_url = \"http://h/v1\"\nmodel = \"m\"\n{more}");
        resolve(&text).expect("sound").config.models["m"].call_timeout.as_secs() / 60
    };
    assert_eq!([minutes(""), minutes("read_timeout = \"45m\"")], [30, 45]);
    assert_eq!(minutes("timeout = \"7m\""), 7, "the old name");
}

#[test]
fn reserved_connections_follow_the_budget_and_leave_room_for_others() {
    let http = |text| resolve(text).expect("sound").config.http;
    let small = http("budget.http = 8");
    assert_eq!((small.reserved_unix, small.reserved_keys), (1, 2));
    let bounds = (small.max_connections_per_address, small.max_connections_per_key);
    assert_eq!((bounds, small.max_streams_per_key), ((4, 4), 3));
    let told = errors("[http]\nreserved_unix = 50\nreserved_keys = 47\n");
    assert!(told.contains("97 of 128 connections are reserved"), "{told}");
    assert!(told.ends_with("reserve at most 96, or raise budget.http"), "{told}");
    http("[http]\nreserved_unix = 50\nreserved_keys = 46\n");
}

#[test]
fn a_hard_limit_must_leave_room_above_the_ceiling() {
    let config = Config::defaults("/s".into(), "/r".into());
    assert_eq!(config.fits_limit(u64::MAX), Ok(16_384));
    assert_eq!(config.fits_limit(2000), Ok(2000));
    assert_eq!(config.fits_limit(1981), Ok(1981));
    insta::assert_snapshot!(config.fits_limit(1024).expect_err("1024 is below the ceiling"));
}

#[test]
fn the_file_is_looked_for_in_order() {
    let there = |files: &'static [&'static str]| {
        move |path: &Path| {
            let known = files.iter().any(|file| Path::new(file) == path);
            if known {
                Ok("log = \"debug\"".to_owned())
            } else {
                Err(std::io::ErrorKind::NotFound.into())
            }
        }
    };
    let plain = environment(&[], 0);
    let named = environment(&[("EVONIC_CONFIG", "named.toml")], 0);
    let explicit = Some(Path::new("explicit.toml"));
    for (environment, explicit, files, expected) in [
        (&plain, None, &[][..], Some(None)),
        (&plain, None, &["/etc/evonic/evonic.toml"], Some(Some("/etc/evonic/evonic.toml"))),
        (&plain, None, &["evonic.toml", "./evonic.toml"], Some(None)),
        (&named, None, &["evonic.toml", "named.toml"], Some(Some("named.toml"))),
        (&named, None, &["evonic.toml"], None),
        (&named, explicit, &["explicit.toml", "named.toml"], Some(Some("explicit.toml"))),
        (&plain, explicit, &["evonic.toml"], None),
    ] {
        let found = load(explicit, environment, there(files)).ok().map(|resolved| resolved.file);
        assert_eq!(found, expected.map(|file| file.map(PathBuf::from)), "{files:?}");
    }
    let refused = |_: &Path| Err(std::io::ErrorKind::PermissionDenied.into());
    let error = load(None, &plain, refused).expect_err("a file that is there must be readable");
    assert_eq!(error.to_string(), "the configuration /etc/evonic/evonic.toml cannot be read");
}

#[test]
fn the_page_of_the_documentation_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == markdown(), "docs/configuration.md is old: evonic config --markdown > {path}");
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = resolve(&text);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = resolve(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_value_panics_and_errors_have_advice(
        index in 0..64_usize,
        value in "[-0-9]{1,24}|\"[^\"\\\\\n]{0,20}\"|true|\\[\\]|\\{\\}|1979-05-27|nan|-inf|0x[0-9a-f]{1,20}",
    ) {
        let all: Vec<_> = keys().collect();
        let (path, _) = &all[index % all.len()];
        if let Err(ConfigErrors(errors)) = resolve(&format!("{path} = {value}")) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|error| !error.advice.is_empty()));
        }
    }
}

#[test]
fn a_model_is_refused_for_what_cannot_work() {
    let model = |name: &str, more: &str| {
        format!("[models.{name}]\nbase_url = \"http://h/v1\"\nmodel = \"m\"\n{more}\n")
    };
    for (more, expected) in [
        ("headers = [\"x-title\"]", "\"x-title\" is no header"),
        ("headers = [\"Authorization: Bearer x\"]", "`Authorization` would show a key"),
        ("headers = [\"Host: x\"]", "`Host` is set by the request itself"),
        ("query = [\"a b\"]", "\"a b\" is no parameter"),
        ("key_header = \"a b\"", "\"a b\" is no name of a header"),
        ("leave_out = [\"messages\"]", "no request is without `messages`"),
        ("fallback = [\"nowhere\"]", "no model \"nowhere\" is configured"),
        ("summary_model = \"nowhere\"", "no model \"nowhere\" is configured"),
        ("kind = \"anthropic\"\ntemperature = 1.0", "Messages refuses `temperature`"),
        ("kind = \"anthropic\"\nmax_tokens_field = \"max_tokens\"", "`max_tokens` only"),
        ("max_tokens = 4096\ncontext_tokens = 4096", "m.max_tokens"),
        ("kind = \"anthropic\"\nreasoning_effort = \"8192\"", "m.reasoning_effort"),
        ("kind = \"anthropic\"\nreasoning_effort = \"500\"", "m.reasoning_effort"),
        (
            "kind = \"anthropic\"\nreasoning_effort = \"2000\"\nmax_tokens = 2000",
            "a budget of 2000 tokens is not from 1024 to below the 2000 of `max_tokens`",
        ),
        ("timeout = \"1m\"\ncall_timeout = \"2m\"", "the old name of `call_timeout`"),
    ] {
        let errors = errors(&model("m", more));
        assert!(errors.contains(expected), "{errors}");
    }
    let text = model("a", "fallback = [\"b\"]")
        + &model("b", "fallback = [\"c\"]")
        + &model("c", "fallback = [\"a\"]");
    assert!(errors(&text).contains("`c` falls back on `a`"), "{}", errors(&text));
    let text = model("a", "fallback = [\"b\", \"c\"]")
        + &model("b", "fallback = [\"c\"]")
        + &model("c", "");
    assert!(resolve(&text).is_ok(), "a way on, and no loop");
}

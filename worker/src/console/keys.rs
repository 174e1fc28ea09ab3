//! `evonic key`.

use evonic_domain::{Agent, IssuedKey, Key, NewKey};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    agents,
    api::{Api, segment},
    command::KeyCommand,
    error::Result,
    format::{ago, local_time},
    input,
    output::Console,
    table::table,
    text::Text,
};

/// Runs `evonic key`.
pub(super) async fn run(command: KeyCommand, api: &Api, console: &mut Console<'_>) -> Result {
    match command {
        KeyCommand::Add { name, scope, expires, agent, output } => {
            let new = NewKey {
                name: input::name(&name)?,
                scope: scope.into(),
                expires_in_seconds: expires.map(|time| time.as_secs()),
                agents: (!agent.is_empty()).then_some(agent),
            };
            let made: IssuedKey = api.post("/keys", &new).await?;
            if output.json {
                return console.json(&made);
            }
            // Alone on the output, so that a script may take it as it is.
            console.line(&made.secret)?;
            console.say(format!("Made {}. It is not shown again.", made.key.name));
            Ok(())
        }
        KeyCommand::List(output) => {
            let keys: Vec<Key> = api.list("/keys").await?;
            if output.json {
                return console.json(&keys);
            }
            let agents: Vec<Agent> = api.list("/agents").await?;
            let now = Timestamp::now();
            console.print(&keys_table(&keys, &agents, now, &TimeZone::system()))
        }
        KeyCommand::Revoke { which } => {
            api.delete(&format!("/keys/{}", segment(&which))).await?;
            console.line(format!("Revoked {which}."))
        }
    }
}

fn keys_table(keys: &[Key], agents: &[Agent], now: Timestamp, zone: &TimeZone) -> Text {
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let used = key.last_used_at.as_deref();
            let used = used.map(|at| ago(at, now).unwrap_or_else(|| local_time(at, zone)));
            [
                key.name.to_string(),
                key.scope.to_string(),
                agents_of(key, agents),
                used.unwrap_or_else(|| "never".to_owned()),
                validity(key, now, zone),
                key.id.to_string(),
            ]
        })
        .collect();
    table(["key", "scope", "agents", "used", "valid", "id"], &rows)
}

fn agents_of(key: &Key, agents: &[Agent]) -> String {
    let Some(ids) = &key.agents else { return "every one".to_owned() };
    ids.iter().map(|id| agents::name_of(id, agents)).collect::<Vec<_>>().join(", ")
}

fn validity(key: &Key, now: Timestamp, zone: &TimeZone) -> String {
    if let Some(at) = &key.revoked_at {
        return format!("revoked {}", local_time(at, zone));
    }
    match &key.expires_at {
        None => "for ever".to_owned(),
        Some(at) if at.parse::<Timestamp>().is_ok_and(|at| at <= now) => {
            format!("expired {}", local_time(at, zone))
        }
        Some(at) => format!("until {}", local_time(at, zone)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evonic_domain::Scope;

    #[test]
    fn keys_are_rendered() {
        let agent: Agent = serde_json::from_value(serde_json::json!({
            "id": "agt_00000000000070008000000000000001", "name": "deployer", "model": "runbook",
            "instructions": "", "tools": null, "workplace": "local", "other_workplaces": [],
            "created_at": "", "updated_at": ""
        }))
        .unwrap();
        let gone = "agt_00000000000070008000000000000002".parse().unwrap();
        let key = |name: &str, scope| Key {
            id: "key_00000000000070008000000000000003".parse().unwrap(),
            name: name.parse().unwrap(),
            scope,
            agents: None,
            created_at: "2026-11-24T00:00:00.000Z".to_owned(),
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        let at = |text: &str| Some(text.to_owned());
        let keys = [
            Key { last_used_at: at("2026-11-24T00:09:00.000Z"), ..key("admin", Scope::Admin) },
            Key {
                agents: Some(vec![agent.id.clone(), gone]),
                expires_at: at("2026-12-24T00:00:00.000Z"),
                ..key("ci", Scope::Run)
            },
            Key { expires_at: at("2026-11-24T00:05:00.000Z"), ..key("old", Scope::Read) },
            Key { revoked_at: at("2026-11-24T00:06:00.000Z"), ..key("lost", Scope::Operate) },
        ];
        let now = "2026-11-24T00:10:00Z".parse().unwrap();
        let text = keys_table(&keys, &[agent], now, &TimeZone::UTC);
        insta::assert_snapshot!("keys", text.plain());
    }
}

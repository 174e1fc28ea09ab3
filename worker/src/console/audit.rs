//! `evonic audit`.

use evonic_domain::{Action, AuditRecord};
use jiff::tz::TimeZone;

use super::{
    api::{Api, segment},
    command::AuditOptions,
    error::{ConsoleError, Result},
    format::local_time,
    output::Console,
    table::table,
    text::Text,
};

/// Runs the command.
pub(super) async fn run(options: &AuditOptions, api: &Api, console: &mut Console<'_>) -> Result {
    let records = newest(options, api).await?;
    console.show(&options.output, &records, || render(&records, &TimeZone::system()))
}

async fn newest(options: &AuditOptions, api: &Api) -> Result<Vec<AuditRecord>> {
    if let Some(action) = &options.action {
        let known = || Action::ALL.iter().map(|action| action.name()).collect::<Vec<_>>();
        action.parse::<Action>().map_err(|()| {
            let known = known().join(", ");
            ConsoleError::Usage(format!("there is no action {action:?}; there are: {known}"))
        })?;
    }
    let mut path = "/audit?order=newest".to_owned();
    for (name, value) in
        [("actor", &options.actor), ("target", &options.target), ("action", &options.action)]
    {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    api.first(&path, options.limit).await
}

/// Renders records, in their order.
fn render(records: &[AuditRecord], zone: &TimeZone) -> Text {
    if records.is_empty() {
        return Text::of_line("No change is recorded.");
    }
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            let target = record.target.name.as_ref().unwrap_or(&record.target.id);
            [
                local_time(&record.at, zone),
                record.actor.clone(),
                record.address.clone().unwrap_or_default(),
                record.request_id.clone().unwrap_or_default(),
                record.action.name().to_owned(),
                target.clone(),
                record.fields.join(", "),
            ]
        })
        .collect();
    table(["when", "who", "from", "request", "what", "of", "fields"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evonic_domain::AuditTarget;

    #[test]
    fn records_are_rendered() {
        let record = |action: Action, name: Option<&str>, fields: &[&str]| AuditRecord {
            position: 7,
            at: "2026-11-23T14:03:11.250Z".to_owned(),
            actor: "uid:0".to_owned(),
            address: None,
            request_id: Some("3-14".to_owned()),
            action,
            target: AuditTarget {
                kind: action.target().to_owned(),
                id: "agt_0190c2a1b3c47d5e8f60718293a4b5c6".to_owned(),
                name: name.map(str::to_owned),
            },
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        };
        let far = AuditRecord {
            actor: "key_0190c2a1b3c47d5e8f60718293a4b5c7".to_owned(),
            address: Some("192.0.2.7".to_owned()),
            ..record(Action::SessionDelete, None, &[])
        };
        let records = [record(Action::AgentUpdate, Some("ops"), &["model", "tools"]), far];
        insta::assert_snapshot!(render(&records, &TimeZone::UTC).plain());
        assert_eq!(render(&[], &TimeZone::UTC).plain(), "No change is recorded.\n");
    }
}

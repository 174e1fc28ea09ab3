//! This room's own decoders, for the fuzzer: what hyper has not taken apart.

use super::{body, query::Query};
use crate::domain::{
    AgentChange, NewAgent, NewCopy, NewMessage, NewSession, NewWorkplace, NewWorkplaceBody,
    SessionChange, WorkplaceChange,
};

/// A query, and the body after its first line.
pub(crate) fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    if let Ok(query) = std::str::from_utf8(&bytes[..end]) {
        let mut query = Query::parse(query);
        if let Ok(paging) = query.paging() {
            assert!((1..=200).contains(&paging.limit));
        }
        let _rest = query.finish();
    }
    let json = &bytes[(end + 1).min(bytes.len())..];
    if let Ok(new) = body::parse::<NewWorkplaceBody>(json).and_then(|new| {
        let new = NewWorkplace::try_from(new)?;
        Ok(new)
    }) {
        let _fault = new.settings.check();
        let text = serde_json::to_vec(&new).expect("settings have string keys");
        assert_eq!(
            body::parse::<NewWorkplaceBody>(&text)
                .unwrap_or_else(|_| panic!("{new:?}"))
                .try_into()
                .ok(),
            Some(new)
        );
    }
    if let Ok(WorkplaceChange { settings: Some(settings), .. }) = body::parse(json) {
        for whole in [
            r#"{"name": "a", "kind": "ssh", "settings": {"host": "h"}}"#,
            r#"{"name": "a", "kind": "docker"}"#,
            r#"{"name": "a", "kind": "local"}"#,
        ] {
            let whole = body::parse::<NewWorkplaceBody>(whole.as_bytes())
                .ok()
                .and_then(|whole| NewWorkplace::try_from(whole).ok())
                .expect("they fit");
            let _changed = whole.settings.changed(settings.clone());
        }
    }
    let _refused = body::parse::<NewAgent>(json).is_ok()
        | body::parse::<AgentChange>(json).is_ok()
        | body::parse::<NewSession>(json).is_ok()
        | body::parse::<SessionChange>(json).is_ok()
        | body::parse::<NewMessage>(json).is_ok()
        | body::parse::<NewCopy>(json).is_ok();
}

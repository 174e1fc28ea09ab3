//! Entry points for the fuzzer.

use std::{net::IpAddr, path::PathBuf, sync::LazyLock};

use evonic_shared::{
    config::{self, Config, ForwardedHeader},
    fuzzing::Decoder,
};
use http::{HeaderMap, HeaderValue, header::FORWARDED};

use super::{
    body,
    proxies::Proxies,
    query::Query,
    request_framing::{BodyLength, RequestFraming},
};
use evonic_domain::{
    AgentChange, NewAgent, NewCopy, NewMessage, NewSession, NewWorkplace, NewWorkplaceBody,
    SessionChange, Settings, WorkplaceChange, WorkplaceKind,
};

/// This crate's decoders: what hyper has not taken apart.
pub const DECODERS: &[(&str, Decoder)] =
    &[("forwarded", forwarded), ("framing", framing), ("request", request)];

/// The bytes of a connection whose requests have chunked bodies.
fn framing(bytes: &[u8]) {
    let (mut framing, mut rest) = (RequestFraming::new(), bytes);
    while !rest.is_empty() {
        let Ok(taken) = framing.take(rest) else { return };
        assert!(taken > 0);
        rest = &rest[taken..];
        if framing.awaits_body() {
            framing.begin_body(BodyLength::Chunked);
        }
    }
}

/// A query, and the body after its first line.
fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    if let Ok(query) = std::str::from_utf8(&bytes[..end])
        && let Ok(query) = Query::parse(query, &["limit", "after"])
        && let Ok(paging) = query.paging()
    {
        assert!((1..=200).contains(&paging.limit));
    }
    let json = &bytes[(end + 1).min(bytes.len())..];
    if let Ok(new) = body::parse::<NewWorkplaceBody>(json).and_then(|new| {
        let new = NewWorkplace::try_from(new)?;
        Ok(new)
    }) {
        let _refused = new.settings.check();
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
        for kind in WorkplaceKind::ALL {
            let whole = Settings::read(kind, serde_json::Map::new()).expect("all has a default");
            let _changed = whole.changed(settings.clone());
        }
    }
    let _refused = body::parse::<NewAgent>(json).is_ok()
        | body::parse::<AgentChange>(json).is_ok()
        | body::parse::<NewSession>(json).is_ok()
        | body::parse::<SessionChange>(json).is_ok()
        | body::parse::<NewMessage>(json).is_ok()
        | body::parse::<NewCopy>(json).is_ok();
}

/// The header of proxies, in both forms, one line of it for each of the bytes'.
fn forwarded(bytes: &[u8]) {
    static DEFAULTS: LazyLock<config::Http> =
        LazyLock::new(|| Config::defaults(PathBuf::new(), PathBuf::new()).http);
    let mut headers = HeaderMap::new();
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(FORWARDED, value.clone());
            headers.append("x-forwarded-for", value);
        }
    }
    let mut settings = DEFAULTS.clone();
    settings.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let (proxy, stranger) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
    for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        settings.forwarded_header = header;
        let proxies = Proxies::new(&settings, None);
        let _client = proxies.client_address(proxy, &headers);
        // No other peer is believed.
        assert_eq!(proxies.client_address(stranger, &headers), stranger);
    }
}

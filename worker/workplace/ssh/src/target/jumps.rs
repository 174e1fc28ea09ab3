//! The hosts to go over.

use super::{HostSpec, LocalUser, Target, hop, tokens};
use crate::config_file::Proxy;
use evonic_backend::{Result, WorkplaceError};
use evonic_domain::SshSettings;

/// More hosts in a row are a circle.
const LIMIT: usize = 8;

/// Hosts of a list `[user@]host[:port],...`, each completed by the configuration file. As with
/// OpenSSH, the first may itself need jump hosts; the others are reached over the ones before.
pub(super) fn along(
    list: &str,
    place: &str,
    settings: &SshSettings,
    local: &LocalUser<'_>,
    depth: usize,
) -> Result<Vec<Target>> {
    let mut jumps: Vec<Target> = Vec::new();
    if list.trim().eq_ignore_ascii_case("none") {
        return Ok(jumps);
    }
    if depth > LIMIT {
        return Err(WorkplaceError::settings(place, "the jump hosts lead back to themselves"));
    }
    // The password is not for other hosts than the target, nor is the way to it.
    let of_hop =
        SshSettings { authenticate: Vec::new(), password: None, jump: None, ..settings.clone() };
    for entry in list.split(',') {
        let spec = parse(entry.trim()).ok_or_else(|| {
            WorkplaceError::settings(place, format!("{entry:?} is no [user@]host[:port]"))
        })?;
        let config = local.config(settings, &spec.host)?;
        let hop = hop::target(&spec, &of_hop, &config, local)?;
        if let Some(proxy) = config.proxy.as_ref().filter(|_| jumps.is_empty()) {
            let (list, location) = expanded(proxy, &spec, &hop)?;
            jumps = along(&list, &location, settings, local, depth + 1)?;
        }
        jumps.push(hop);
        if jumps.len() > LIMIT {
            return Err(WorkplaceError::settings(place, format!("more than {LIMIT} jump hosts")));
        }
    }
    Ok(jumps)
}

/// The list of a file and where it stands, its tokens replaced.
///
/// # Errors
/// [`WorkplaceError::Settings`] for a `ProxyCommand`.
pub(super) fn expanded(
    proxy: &Proxy,
    spec: &HostSpec,
    target: &Target,
) -> Result<(String, String)> {
    let said = proxy.jumps()?;
    let port = target.port.to_string();
    let values =
        [('h', target.host.as_str()), ('n', &spec.host), ('p', &port), ('r', &target.user)];
    Ok((tokens::expand(said, &values)?, said.location.clone()))
}

/// `[user@]host[:port]`, also as `ssh://...`, and `[address]:port` for IPv6.
fn parse(entry: &str) -> Option<HostSpec> {
    let entry = entry.strip_prefix("ssh://").map_or(entry, |rest| rest.trim_end_matches('/'));
    let (user, place) = match entry.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, entry),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            match port {
                "" => (host, None),
                port => (host, Some(port.strip_prefix(':')?)),
            }
        }
        None => match place.split_once(':') {
            // More than one colon: an IPv6 address without a port.
            Some((_, port)) if port.contains(':') => (place, None),
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok().filter(|&port: &u16| port > 0)?),
        None => None,
    };
    let named = user.as_ref().is_none_or(|user| !user.is_empty());
    (named && hop::is_host(host)).then(|| HostSpec { host: host.to_owned(), user, port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_read() {
        for (entry, expected) in [
            ("h", Some((None, "h", None))),
            ("me@h:22", Some((Some("me"), "h", Some(22)))),
            ("a@b@h", Some((Some("a@b"), "h", None))),
            ("[::1]:2222", Some((None, "::1", Some(2222)))),
            ("::1", Some((None, "::1", None))),
            ("ssh://me@h:23/", Some((Some("me"), "h", Some(23)))),
            ("@h", None),
            ("h:", None),
            ("h:0", None),
            ("h:99999", None),
            ("", None),
            ("-oProxyCommand=x", None),
            ("h;x", None),
        ] {
            let found = parse(entry).map(|spec| (spec.user, spec.host, spec.port));
            let found = found.as_ref().map(|(u, h, p)| (u.as_deref(), h.as_str(), *p));
            assert_eq!(found, expected, "{entry}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z@:\\[\\]/0-9é]{0,30}") {
            let _asked = parse(&text);
        }
    }
}

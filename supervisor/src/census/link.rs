//! The text of a link in `/proc/PID/fd` (`proc_pid_fd(5)`).

/// The longest target, in characters; a longer one keeps its end.
const MAX_TARGET: usize = 256;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// `socket:[INODE]`: a table has its kind and peer.
    Socket { inode: u64 },
    Other {
        /// `file`, `device`, `pipe`, `eventfd`, `memfd`, ...
        kind: String,
        /// A path, or the kind again where there is no name.
        target: String,
    },
}

impl Link {
    /// Parses any text; an unknown one becomes a kind of its own.
    pub(super) fn parse(text: &str) -> Self {
        let other =
            |kind: &str, target: &str| Self::Other { kind: shorten(kind), target: shorten(target) };
        if let Some(name) = text.strip_prefix("/memfd:") {
            let name = name.strip_suffix(" (deleted)").unwrap_or(name);
            return other("memfd", &format!("memfd:{name}"));
        }
        if text.starts_with("/dev/") {
            return other("device", text);
        }
        if text.starts_with('/') {
            return other("file", text);
        }
        if let Some(name) = text.strip_prefix("anon_inode:") {
            let name = name.trim_start_matches('[').trim_end_matches(']');
            return other(name, name);
        }
        match text.split_once(":[") {
            Some(("socket", rest)) => match rest.trim_end_matches(']').parse() {
                Ok(inode) => Self::Socket { inode },
                Err(_) => other("socket", "socket"),
            },
            Some((kind, _)) => other(kind, kind),
            None => other("other", text),
        }
    }
}

fn shorten(text: &str) -> String {
    let length = text.chars().count();
    if length <= MAX_TARGET {
        return text.to_owned();
    }
    std::iter::once('…').chain(text.chars().skip(length - MAX_TARGET + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_text() {
        let check = |text: &str, kind: &str, target: &str| {
            let expected = Link::Other { kind: kind.into(), target: target.into() };
            assert_eq!(Link::parse(text), expected, "{text}");
        };
        check("/var/lib/evonic/evonic.db-wal", "file", "/var/lib/evonic/evonic.db-wal");
        check("/tmp/x (deleted)", "file", "/tmp/x (deleted)");
        check("/dev/null", "device", "/dev/null");
        check("/memfd:evonic-fd-page (deleted)", "memfd", "memfd:evonic-fd-page");
        check("pipe:[1234]", "pipe", "pipe");
        check("anon_inode:[eventpoll]", "eventpoll", "eventpoll");
        check("anon_inode:inotify", "inotify", "inotify");
        check("net:[4026531840]", "net", "net");
        check("socket:[x]", "socket", "socket");
        check("", "other", "");
        assert_eq!(Link::parse("socket:[987654321]"), Link::Socket { inode: 987_654_321 });
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let path = format!("/{}/end", "é".repeat(4000));
        let Link::Other { target, .. } = Link::parse(&path) else { panic!("a path") };
        assert_eq!(target.chars().count(), MAX_TARGET);
        assert!(target.starts_with('…') && target.ends_with("é/end"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_and_bounded(text: String) {
            if let Link::Other { kind, target } = Link::parse(&text) {
                assert!(kind.chars().count() <= MAX_TARGET);
                assert!(target.chars().count() <= MAX_TARGET);
            }
        }
    }
}

//! How much an engine may answer, by what it is asked. What is decoded takes a multiple of it.

use http::{Method, StatusCode, Uri};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How much an answer may be, beside its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// So many bytes, within the time of an answer.
    Whole(u64),
    /// So many bytes, as long as it takes: the progress of a build.
    Slow(u64),
    /// A file or a command's output: handed on piece by piece, and bounded by who reads.
    Stream,
}

impl Bound {
    /// The bound of the answer to a request; of a refusal, where it is one.
    pub(super) fn new(method: &Method, uri: &Uri, status: StatusCode) -> Self {
        if status.is_client_error() || status.is_server_error() {
            return Self::Whole(64 * KIB);
        }
        let path: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        match path.as_slice() {
            ["version"] => Self::Whole(64 * KIB),
            ["containers", _, "archive"] if *method == Method::GET => Self::Stream,
            ["exec", _, "start"] => Self::Stream,
            // With the script and its arguments, which the kernel limits to 2 MiB.
            ["exec", _, "json"] => Self::Whole(4 * MIB),
            ["containers", "json"] | ["volumes"] => Self::Whole(4 * MIB),
            ["containers", _, "top"] => Self::Whole(MIB),
            ["build"] => Self::Slow(2 * MIB),
            _ => Self::Whole(256 * KIB),
        }
    }

    /// How many bytes are read.
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Whole(bytes) | Self::Slow(bytes) => bytes,
            Self::Stream => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_output_are_without_a_bound_and_no_refusal_is() {
        let bound = |method: Method, path: &str, status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            Bound::new(&method, &path.parse().unwrap(), status).bytes()
        };
        assert_eq!(bound(Method::GET, "/containers/x/archive?path=/a", 200), u64::MAX);
        assert_eq!(bound(Method::POST, "/exec/x/start", 101), u64::MAX);
        for (method, path, status) in [
            (Method::GET, "/containers/x/archive?path=/a", 500),
            (Method::PUT, "/containers/x/archive?path=/a", 200),
            (Method::POST, "/exec/x/start", 409),
            (Method::GET, "/version", 200),
            (Method::GET, "/containers/json?all=true", 200),
            (Method::POST, "/build?t=x", 200),
            (Method::GET, "/somewhere/else", 200),
        ] {
            assert!(bound(method, path, status) <= 4 * MIB, "{path}");
        }
    }
}

//! What the supervisor hands over: descriptors by name, and the worker's place in the line of
//! generations. See [`evonic_shared::hand_over`].

use std::{
    collections::BTreeMap,
    net::TcpListener,
    os::{
        fd::{OwnedFd, RawFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
};

use evonic_process::channel::Channel;

use evonic_shared::hand_over::{
    API, CONFIG, CONTROL, FD_PAGE, FIRST_DESCRIPTOR, GENERATION, HTTP, LISTEN_FDNAMES, LISTEN_FDS,
    LISTEN_PID, NAMES, PREDECESSOR, PROBE,
};
use rustix::net::{AddressFamily, SocketType, sockopt};

use super::raw;

/// The hand-over is missing or is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandOverError {
    /// Started by hand.
    #[error("evonic worker is started by evonic-supervisor, not by hand ({variable} is not set)")]
    NoSupervisor {
        /// The variable that is missing.
        variable: &'static str,
    },
    /// A variable does not say what it should.
    #[error("{variable} is {value:?}, {needed} is needed")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
        /// What it should say.
        needed: String,
    },
    /// A descriptor is missing.
    #[error("descriptor {name} is not handed over")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// A descriptor cannot be used.
    #[error("descriptor {name} cannot be taken over")]
    Descriptor {
        /// Its name.
        name: String,
        /// The OS error.
        #[source]
        source: std::io::Error,
    },
    /// A descriptor is of the wrong kind.
    #[error("descriptor {name} is no {needed}")]
    Kind {
        /// Its name.
        name: &'static str,
        /// What it should be.
        needed: &'static str,
    },
}

/// The text of the configuration that the supervisor accepted, if it handed one over. Reads it
/// through another descriptor, which is closed again: the inherited one is [`Inherited::take`]'s to
/// close.
///
/// # Errors
/// [`HandOverError::Descriptor`] when it cannot be read.
pub(super) fn configuration() -> Result<Option<String>, HandOverError> {
    let Ok(numbers) = numbers(&|variable| std::env::var(variable).ok()) else { return Ok(None) };
    let handed = numbers.by_name.into_iter().find(|(name, _)| name == CONFIG);
    let Some((name, number)) = handed else { return Ok(None) };
    std::fs::read_to_string(format!("/proc/self/fd/{number}"))
        .map(Some)
        .map_err(|source| HandOverError::Descriptor { name, source })
}

/// Everything a worker inherits.
#[derive(Debug)]
pub(super) struct Inherited {
    /// TCP listener.
    pub(super) http: TcpListener,
    /// Unix listener.
    pub(super) api: UnixListener,
    /// Control channel.
    pub(super) control: Arc<Channel>,
    /// The supervisor's own HTTP connection.
    pub(super) probe: UnixStream,
    /// The fd page.
    pub(super) fd_page: OwnedFd,
    /// The generation that is proposed.
    pub(super) generation: u64,
    /// A worker that still lives.
    pub(super) predecessor: Option<u64>,
}

impl Inherited {
    /// Takes everything over. Called once, before any other thread is started.
    ///
    /// # Errors
    /// [`HandOverError`]. What was taken over by then is closed.
    pub(super) fn take() -> Result<Self, HandOverError> {
        let numbers = numbers(&|variable| std::env::var(variable).ok())?;
        let mut open = BTreeMap::new();
        for (name, number) in numbers.by_name {
            let taken = raw::adopt(number);
            let taken =
                taken.map_err(|source| HandOverError::Descriptor { name: name.clone(), source })?;
            open.insert(name, taken);
        }
        let mut of = |name| open.remove(name).ok_or(HandOverError::Missing { name });
        let socket = |name, families: &[_], kind, needed, socket: OwnedFd| {
            let fits = sockopt::socket_type(&socket) == Ok(kind)
                && sockopt::socket_domain(&socket).is_ok_and(|found| families.contains(&found));
            if fits { Ok(socket) } else { Err(HandOverError::Kind { name, needed }) }
        };
        let (inet, unix) = ([AddressFamily::INET, AddressFamily::INET6], [AddressFamily::UNIX]);
        let (stream, packets) = (SocketType::STREAM, SocketType::SEQPACKET);
        Ok(Self {
            http: socket(HTTP, &inet, stream, "TCP socket", of(HTTP)?)?.into(),
            api: socket(API, &unix, stream, "Unix stream socket", of(API)?)?.into(),
            control: Arc::new(Channel {
                socket: socket(CONTROL, &unix, packets, "Unix packet socket", of(CONTROL)?)?,
            }),
            probe: socket(PROBE, &unix, stream, "Unix stream socket", of(PROBE)?)?.into(),
            fd_page: of(FD_PAGE)?,
            generation: numbers.generation,
            predecessor: numbers.predecessor,
        })
    }
}

/// What the environment says.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    by_name: Vec<(String, RawFd)>,
    generation: u64,
    predecessor: Option<u64>,
}

/// Reads the variables of the hand-over.
fn numbers(variable: &dyn Fn(&'static str) -> Option<String>) -> Result<Numbers, HandOverError> {
    let needed = |name| variable(name).ok_or(HandOverError::NoSupervisor { variable: name });
    let own = std::process::id();
    let pid = needed(LISTEN_PID)?;
    if pid.parse() != Ok(own) {
        return Err(wrong(LISTEN_PID, &pid, format!("this process's number {own}")));
    }
    let names = needed(LISTEN_FDNAMES)?;
    let listed: Vec<_> = names.split(':').map(str::to_owned).collect();
    let count = needed(LISTEN_FDS)?;
    if count.parse() != Ok(listed.len()) {
        let message = format!("the count of the names {names}");
        return Err(wrong(LISTEN_FDS, &count, message));
    }
    let mut sorted = listed.clone();
    sorted.sort();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(wrong(LISTEN_FDNAMES, &names, format!("each of {} once", NAMES.join(":"))));
    }
    let generation = needed(GENERATION)?;
    let predecessor = match variable(PREDECESSOR) {
        Some(text) => Some(parse_generation(PREDECESSOR, &text)?),
        None => None,
    };
    Ok(Numbers {
        by_name: listed.into_iter().zip(FIRST_DESCRIPTOR..).collect(),
        generation: parse_generation(GENERATION, &generation)?,
        predecessor,
    })
}

fn parse_generation(variable: &'static str, text: &str) -> Result<u64, HandOverError> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(wrong(variable, text, "a number from 1 on".to_owned())),
    }
}

fn wrong(variable: &'static str, value: &str, needed: String) -> HandOverError {
    HandOverError::Variable { variable, value: value.to_owned(), needed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(change: (&'static str, Option<&str>)) -> Result<Numbers, HandOverError> {
        let (changed, value) = change;
        numbers(&|variable| match variable {
            _ if variable == changed => value.map(str::to_owned),
            LISTEN_PID => Some(std::process::id().to_string()),
            LISTEN_FDS => Some(NAMES.len().to_string()),
            LISTEN_FDNAMES => Some(NAMES.join(":")),
            GENERATION => Some("12".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn the_protocol_is_read() {
        let read = read((PREDECESSOR, Some("11"))).unwrap();
        let names: Vec<_> =
            NAMES.iter().zip(3..).map(|(name, number)| ((*name).to_owned(), number)).collect();
        assert_eq!(read, Numbers { by_name: names, generation: 12, predecessor: Some(11) });
    }

    #[test]
    fn who_starts_it_by_hand_is_told() {
        for variable in [LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, GENERATION] {
            let error = read((variable, None)).unwrap_err();
            assert!(error.to_string().contains("started by evonic-supervisor"), "{error}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (variable, value) in [
            (LISTEN_PID, "1"),
            (LISTEN_PID, ""),
            (LISTEN_FDS, "4"),
            (LISTEN_FDS, "-1"),
            (LISTEN_FDNAMES, "http:api:http:probe:fd_page:config"),
            (GENERATION, "0"),
            (GENERATION, "-3"),
            (PREDECESSOR, "eleven"),
        ] {
            let error = read((variable, Some(value))).unwrap_err();
            assert!(error.to_string().contains(variable), "{error}");
        }
    }
}

//! Sockets of the machine and of the service.

use super::{
    Attempt,
    Level::{Landlock, Namespaces, None},
};

/// Those of tmux and X11, and of the runners of commands, which want a token.
pub(super) const SESSIONS: &str =
    "connect to Unix sockets of the service's user alone (tmux, X11, runners)";

pub(super) fn attempts() -> Vec<Attempt> {
    const PATHS: &str = "connect to Unix sockets that the machine's permissions let it";
    const ABSTRACT: &str = "connect to abstract Unix sockets";
    const STOLEN: &str = "be an operator by the key and the token of the service's user";
    const WATCH: &str = "read the status of the supervisor";
    const API: &str = "be an operator at the service's own sockets";
    const NETWORK: &str = "use the machine's network, unless `workplace.network` is `none`";
    let agents =
        r#"$'GET /api/v1/agents HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' '200 OK'"#;
    vec![
        Attempt::new("docker", PATHS, r#"native connect "$SOCKETS/docker.sock""#).anybody(Landlock),
        Attempt::new("bus", PATHS, r#"native connect "$SOCKETS/bus""#).anybody(Landlock),
        Attempt::new("ssh-agent", PATHS, r#"native connect "$SOCKETS/agent""#).anybody(Landlock),
        Attempt::new("terminals", SESSIONS, r#"native connect "$PRIVATE/terminals""#).own(Landlock),
        Attempt::new("display", SESSIONS, r#"native connect "$PRIVATE/display""#).own(Landlock),
        Attempt::new("abstract", ABSTRACT, r#"native connect "@$MARK""#).anybody(None).since(6),
        Attempt::new("system-sockets", PATHS, "for it in /run/docker.sock /var/run/docker.sock /run/dbus/system_bus_socket /run/systemd/private /run/systemd/journal/stdout; do native connect $it && exit; done; exit 1")
            .anybody(Landlock)
            .sometimes(),
        Attempt::new("api", API, format!(r#"native connect "$RUNTIME/api.sock" {agents}"#)).refused(),
        Attempt::new("api-over-tcp", API, format!(r#"native tcp "$PORT" {agents}"#)).refused(),
        Attempt::new("api-when-gone", API, format!(r#"native connect-and-go "$RUNTIME/api.sock" {agents}"#)).refused(),
        Attempt::new("api-with-key", STOLEN, r#"native connect "$RUNTIME/api.sock" $'GET /api/v1/agents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer '"$(cat "$STATE/admin.key")"$'\r\nConnection: close\r\n\r\n' '200 OK'"#)
            .own(None),
        Attempt::new("command-token", STOLEN, r#"reads "$RUNTIME/command.token""#).own(None),
        Attempt::new("supervisor-when-gone", API, r#"native connect-and-go "$RUNTIME/supervisor.sock" $'{"op":"restart"}\n' accepted"#).refused(),
        Attempt::new("supervisor-watch", WATCH, r#"native connect "$RUNTIME/supervisor.sock" $'{"op":"status"}\n' status"#)
            .own(Landlock),
        Attempt::new("supervisor", API, r#"native connect "$RUNTIME/supervisor.sock" $'{"op":"restart"}\n' accepted"#).refused(),
        Attempt::new("port", "take the service's connections away", r#"native share-port "$PORT""#).refused(),
        Attempt::new("network", NETWORK, r#"native tcp "$PORT""#).anybody(Namespaces),
        Attempt::new("listen", NETWORK, "native share-port 0").anybody(Namespaces),
    ]
}

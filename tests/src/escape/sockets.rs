//! Sockets of the machine and of the service.

use super::{
    Attempt,
    Level::{Landlock, Namespaces, None},
};

pub(super) fn attempts() -> Vec<Attempt> {
    const PATHS: &str = "connect to Unix sockets that the machine's permissions let it";
    const ABSTRACT: &str = "connect to abstract Unix sockets";
    const API: &str = "be an operator at the service's own sockets";
    const NETWORK: &str = "use the machine's network, unless `workplace.network` is `none`";
    let agents =
        r#"$'GET /api/v1/agents HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' '200 OK'"#;
    vec![
        Attempt::new("docker", PATHS, r#"native connect "$SOCKETS/docker.sock""#).anybody(Landlock),
        Attempt::new("bus", PATHS, r#"native connect "$SOCKETS/bus""#).anybody(Landlock),
        Attempt::new("ssh-agent", PATHS, r#"native connect "$SOCKETS/agent""#).anybody(Landlock),
        Attempt::new("abstract", ABSTRACT, r#"native connect "@$MARK""#).anybody(None),
        Attempt::new("system-sockets", PATHS, "for it in /run/docker.sock /var/run/docker.sock /run/dbus/system_bus_socket /run/systemd/private /run/systemd/journal/stdout; do native connect $it && exit; done; exit 1")
            .anybody(Landlock)
            .sometimes(),
        Attempt::new("api", API, format!(r#"native connect "$RUNTIME/api.sock" {agents}"#)),
        Attempt::new("api-over-tcp", API, format!(r#"native tcp "$PORT" {agents}"#)),
        Attempt::new("supervisor", API, r#"native connect "$RUNTIME/supervisor.sock" $'{"op":"restart"}\n' accepted"#),
        Attempt::new("port", "take the service's connections away", r#"native share-port "$PORT""#),
        Attempt::new("network", NETWORK, r#"native tcp "$PORT""#).anybody(Namespaces),
        Attempt::new("listen", NETWORK, "native share-port 0").anybody(Namespaces),
    ]
}

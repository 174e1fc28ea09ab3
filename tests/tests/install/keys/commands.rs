//! Commands of agents have the service's user on the local workplace, and not its rights.

use super::service::{Service, text};
use serde_json::Value;

/// Says something to a Unix socket, and shows the first line of the answer; with an empty
/// environment and in a session of its own, as one would who hides.
const SAY: &str = "$ env -i setsid -w perl -MIO::Socket::UNIX -e 'my $s = \
    IO::Socket::UNIX->new(Peer => $ARGV[0]) or print($!), exit; print $s eval \"qq{$ARGV[1]}\"; \
    $s->flush; print \"told: \", scalar <$s>'";

#[test]
fn a_command_of_an_agent_has_no_rights_by_the_sockets() {
    let service = Service::start();
    let ask = |step: &str| text(&service.evonic(&["chat", "runbook", step]));
    let chat = |socket: &str, line: &str| {
        let path = service.path("run").join(socket);
        ask(&format!("{SAY} {} '{line}'", path.display()))
    };
    let request = r"GET /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let message = chat("api.sock", request);
    assert!(message.contains("No such file") && !message.contains("told: "), "{message}");
    let message = chat("supervisor.sock", r"{\x22op\x22:\x22restart\x22}\n");
    assert!(message.contains("No such file") && !message.contains("told: "), "{message}");
    let status = text(&service.evonic(&["status", "--json"]));
    assert!(status.contains("\"total\": 0"), "nothing was restarted: {status}");

    // What proves an operator is not to be had from the files either.
    let doctor = service.evonic(&["doctor", "--json"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let findings = doctor["checks"].as_array().expect("checks");
    let sandbox = findings.iter().find(|finding| finding["check"] == "sandbox").expect("it");
    assert_eq!(sandbox["verdict"], "ok", "`make test` installs bubblewrap: {sandbox}");
    for file in ["state/admin.key", "run/command.token"] {
        assert!(service.path(file).exists(), "{file}");
        let message = ask(&format!("$ cat {} 2>&1 | cat", service.path(file).display()));
        assert!(message.contains("No such file"), "{message}");
    }
}

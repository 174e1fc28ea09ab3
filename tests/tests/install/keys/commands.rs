//! Commands of agents have the service's user on the local workplace, and not its rights.

use super::{make, pair};
use evonic_tests::http::Connection;
use serde_json::{Value, json};

/// Says something to a Unix socket, and shows the first line of the answer; with an empty
/// environment and in a session of its own, as one would who hides.
const SAY: &str = "$ env -i setsid -w perl -MIO::Socket::UNIX -e 'my $s = \
    IO::Socket::UNIX->new(Peer => $ARGV[0]) or print($!), exit; print $s eval \"qq{$ARGV[1]}\"; \
    $s->flush; print \"told: \", scalar <$s>'";

#[test]
fn a_command_of_an_agent_has_no_rights_by_the_sockets() {
    let pair = pair();
    let (key, _) = make(&pair, &json!({"name": "runner", "scope": "run"}));
    let server = format!("http://{}", pair.address());
    let ask = |step: &str| {
        let output = pair.evonic(&["chat", "--server", &server, "--key", &key, "runbook", step]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let chat = |socket: &str, text: &str| {
        let path = pair.runtime_dir().join(socket);
        ask(&format!("{SAY} {} '{text}'", path.display()))
    };
    let request = r"GET /api/v1/keys HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let message = chat("api.sock", request);
    assert!(message.contains("No such file") && !message.contains("told: "), "{message}");
    let message = chat("supervisor.sock", r"{\x22op\x22:\x22restart\x22}\n");
    assert!(message.contains("No such file") && !message.contains("told: "), "{message}");
    assert_eq!(pair.status().worker.expect("a worker").generation, 1, "nothing was restarted");

    // What proves an operator is not to be had from the files either.
    let doctor = pair.evonic(&["doctor", "--json"]);
    let doctor: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    let findings = doctor["checks"].as_array().expect("checks");
    let sandbox = findings.iter().find(|finding| finding["check"] == "sandbox").expect("it");
    assert_eq!(sandbox["verdict"], "ok", "`make test` installs bubblewrap: {sandbox}");
    let step = format!("$ cat {} 2>&1 | cat", pair.state_dir().join("admin.key").display());
    let message = ask(&step);
    assert!(message.contains("No such file"), "{message}");

    // This test is an operator.
    let mut connection = Connection::unix(&pair.runtime_dir().join("api.sock")).expect("it");
    let answer = connection.request("GET", "/api/v1/keys", &[], None).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

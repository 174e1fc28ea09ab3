use std::net::TcpListener;

use super::*;

fn connector(port: u16) -> Connector {
    let peer = Peer { host: "127.0.0.1".to_owned(), port };
    let keepalive = Some(Keepalive { interval: Duration::from_secs(8), probes: 4 });
    Connector { peer, tls: None, keepalive, limit: Duration::from_secs(20) }
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("it is bound")
}

#[tokio::test]
async fn an_address_that_refuses_does_not_hide_the_next() {
    let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let refusing = address(&bind());
    let open = bind();
    let connector = connector(1);
    let deadline = Instant::now() + connector.limit;
    let stream = connector.first_reachable(&[refusing, address(&open)], deadline).await;
    let stream = stream.expect("the second address answers");
    assert_eq!(stream.peer_addr().expect("connected"), address(&open));
    assert!(stream.nodelay().expect("an option"));
    assert_eq!(sockopt::tcp_keepcnt(&stream).expect("an option"), 4);
    let error = connector.first_reachable(&[refusing], deadline).await.expect_err("it refuses");
    assert!(matches!(&error, ConnectError::Connect { address, .. } if *address == refusing));
    assert!(!error.is_permanent());
}

#[tokio::test]
async fn a_handshake_without_an_answer_ends_at_the_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let limit = Duration::from_millis(50);
    let authorities = crate::Authorities::system().expect("installed");
    let tls = Some(crate::client(authorities, None).expect("a client"));
    let connector = Connector { tls, limit, ..connector(address(&silent).port()) };
    let error = connector.connect(()).await.err().expect("nobody answers");
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error:?}");
}

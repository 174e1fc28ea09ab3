//! Probes that name an address, and the health checks of real proxies, over recycles.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use evonic_tests::{
    http::Connection,
    pair::{Options, Pair},
    poll,
    troubleshooting::assert_documented,
};

use crate::wire::pipe;

#[test]
fn probes_need_neither_a_key_nor_a_name_of_the_server() {
    let pair = Pair::start(&Options::default());
    let port = pair.address().port().to_string();
    let ask = |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
        let (answer, _) = pipe("nc", &["-N", "127.0.0.1", &port], &request);
        answer
    };
    for path in ["/livez", "/readyz", "/healthz"] {
        for headers in [
            "Host: 10.42.0.17:8420\r\nUser-Agent: kube-probe/1.31\r\nConnection: close\r\n",
            "Host: [fd00::17]:8420\r\n",
            "Host: evonic.example\r\nOrigin: http://evonic.example\r\n",
            "",
        ] {
            let answer = ask(path, headers);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path} {headers:?}: {answer}");
        }
        // As load balancers do that were configured long ago.
        let old = format!("GET {path} HTTP/1.0\r\n\r\n");
        let (answer, _) = pipe("nc", &["-N", "127.0.0.1", &port], &old);
        assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    }
    // What needs a key is guarded as before.
    for path in ["/metrics", "/api/v1/agents", "/nothing", "/livez/x"] {
        let answer = ask(path, "Host: 10.42.0.17:8420\r\n");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
        let row = "'host: …' does not name this server; see http.allowed_hosts";
        assert_documented(row, &answer);
    }
}

/// An address of this machine that is not loopback's: to the server a client of another machine.
fn outside_address() -> std::net::IpAddr {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Sends nothing; the kernel chooses the address by the route.
    socket.connect("198.51.100.1:9").expect("a route to somewhere");
    socket.local_addr().unwrap().ip()
}

#[test]
fn probes_of_other_machines_need_no_tls() {
    let mut options = Options::config("[http]\ntrusted_proxies = [\"203.0.113.9\"]\n");
    options.environment.push(("EVONIC_LISTEN".to_owned(), "0.0.0.0:0".to_owned()));
    let pair = Pair::start(&options);
    let address = std::net::SocketAddr::new(outside_address(), pair.address().port());
    let ask = |path: &str| {
        let mut connection = Connection::tcp_without_key(address).expect("a connection");
        connection.request("GET", path, &[], None).expect("an answer")
    };
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(ask(path).status, 200, "{path}");
    }
    let answer = ask("/metrics");
    assert_eq!(answer.status, 403);
    let row = "without TLS only trusted proxies may ask from other machines";
    assert_documented(row, &answer.text());
}

/// A proxy that runs until it is dropped.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str]) -> Proxy {
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn();
    Proxy(started.unwrap_or_else(|error| panic!("{program} is installed: {error}")))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Replaces the worker three times while clients ask through a proxy; what they were answered and
/// how often that was not 200.
fn recycle_behind(pair: &Pair, port: u16) -> (usize, Vec<String>) {
    let (answered, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let key = pair.admin_key();
    let ask = |connection: &mut Connection| {
        let answer = connection.request("GET", "/api/v1/agents", &[], None);
        match answer {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(format!("{}: {}", answer.status, answer.text())),
            Err(failure) => Err(format!("{failure:?}")),
        }
    };
    let connect = || {
        let connection = Connection::tcp_without_key(([127, 0, 0, 1], port).into());
        connection.map(|connection| connection.showing(&key))
    };
    poll::until(
        "the proxy finds the pair",
        Duration::from_secs(20),
        || connect().is_ok_and(|mut connection| ask(&mut connection).is_ok()),
        |&found| found.then_some(()),
    );
    let failed = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut connection, mut failed) = (connect().unwrap(), Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        match ask(&mut connection) {
                            Ok(()) => _ = answered.fetch_add(1, Ordering::Relaxed),
                            Err(failure) => failed.push(failure),
                        }
                        if connection.is_closing() {
                            connection = connect().unwrap();
                        }
                    }
                    failed
                })
            })
            .collect();
        for _ in 0..3 {
            let (_, generation) = pair.worker();
            assert!(pair.evonic(&["restart"]).status.success());
            pair.wait_for_successor(generation);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    (answered.into_inner(), failed)
}

#[test]
fn haproxy_s_health_check_by_address_holds_over_recycles() {
    let pair = Pair::start(&Options::default());
    let (folder, port) = (pair.folder(), free_port());
    let stats = folder.join("haproxy.sock");
    let backend = pair.address();
    let config = format!(
        "global\n  stats socket {stats}\n  log stderr local0 warning\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 timeout check 10s\n\
         frontend f\n  bind 127.0.0.1:{port}\n  default_backend b\n\
         backend b\n  option httpchk\n\
         \x20 http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host 192.0.2.7:8420\n\
         \x20 server one {backend} check inter 100ms fall 2 rise 1\n\
         backend old\n  option httpchk GET /readyz\n  server two {backend} check inter 100ms fall 2 rise 1\n",
        stats = stats.display()
    );
    fs::write(folder.join("haproxy.cfg"), config).unwrap();
    let file = folder.join("haproxy.cfg").display().to_string();
    let _haproxy = start("haproxy", &["-db", "-f", &file]);
    let (answered, failed) = recycle_behind(&pair, port);
    assert!(failed.is_empty() && answered > 20, "{answered} answered, then {failed:?}");
    let socket = format!("UNIX-CONNECT:{}", stats.display());
    let (servers, _) = pipe("socat", &["-t", "10", "-", &socket], "show stat\n");
    for (backend, server) in [("b", "one"), ("old", "two")] {
        let line = servers.lines().find(|line| line.starts_with(&format!("{backend},{server},")));
        let fields: Vec<_> = line.unwrap_or_else(|| panic!("{servers}")).split(',').collect();
        // The status, and how often it went down. One check may meet a worker as it begins to drain.
        assert_eq!((fields[17], fields[22]), ("UP", "0"), "{line:?}");
    }
}

#[test]
fn nginx_keeps_its_connections_over_recycles() {
    let pair = Pair::start(&Options::default());
    let (folder, port) = (pair.folder(), free_port());
    let config = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n\
         events {{}}\nhttp {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n\
         \x20 proxy_temp_path {folder}/proxy;\n  fastcgi_temp_path {folder}/fastcgi;\n\
         \x20 uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         \x20 upstream evonic {{ server {backend}; keepalive 8; }}\n\
         \x20 server {{\n    listen 127.0.0.1:{port};\n    location / {{\n\
         \x20     proxy_pass http://evonic;\n      proxy_http_version 1.1;\n\
         \x20     proxy_set_header Connection \"\";\n      proxy_set_header Host localhost;\n    }}\n\
         \x20   location = /readyz {{ proxy_pass http://evonic; proxy_set_header Host 192.0.2.7; }}\n\
         \x20 }}\n}}\n",
        folder = folder.display(),
        backend = pair.address(),
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let file = folder.join("nginx.conf").display().to_string();
    let log = folder.join("nginx.log").display().to_string();
    let _nginx = start("nginx", &["-c", &file, "-e", &log]);
    let (answered, failed) = recycle_behind(&pair, port);
    let log = fs::read_to_string(folder.join("nginx.log")).unwrap_or_default();
    assert!(failed.is_empty() && answered > 20, "{answered} answered, then {failed:?}\n{log}");
    let began = Instant::now();
    let mut connection = Connection::tcp_without_key(([127, 0, 0, 1], port).into()).unwrap();
    let ready = connection.request("GET", "/readyz", &[], None).expect("an answer");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(began.elapsed() < Duration::from_secs(10));
}

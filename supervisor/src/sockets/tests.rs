use std::os::unix::fs::PermissionsExt;

use super::*;

fn config(folder: &Path) -> Config {
    let mut config = Config::defaults(folder.join("state"), folder.to_owned());
    config.listen = "127.0.0.1:0".parse().unwrap();
    config
}

fn open(config: &Config) -> Result<Sockets, SocketError> {
    Sockets::open(config, Inherited::default())
}

#[test]
fn files_are_for_the_group_and_go_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut sockets = open(&config(folder.path())).unwrap();
    let files = ["api.sock", "supervisor.sock"].map(|name| folder.path().join(name));
    for file in &files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    }
    let described = sockets.describe();
    assert!(
        described[0].address.starts_with("127.0.0.1:") && !described[0].address.ends_with(":0")
    );
    assert_eq!(described[1].address, files[0].display().to_string());
    sockets.remove_files();
    assert!(files.iter().all(|file| !file.exists()));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "clients that wait in the accept queue")]
fn the_accept_queue_is_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let sockets = open(&config(folder.path())).unwrap();
    assert_eq!(sockets.accept_queue(), 0);
    let address = sockets.describe()[0].address.clone();
    let clients = [(); 3].map(|()| std::net::TcpStream::connect(&address).unwrap());
    assert_eq!((sockets.accept_queue(), sockets.describe()[0].accept_queue), (3, Some(3)));
    sockets.http.accept().unwrap();
    assert_eq!(sockets.accept_queue(), 2);
    drop(clients);
}

#[test]
fn what_is_taken_is_refused_and_what_is_stale_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = config(folder.path());
    let sockets = open(&first).unwrap();
    let error = open(&first).unwrap_err();
    assert!(matches!(error, SocketError::PathInUse { .. }), "{error:?}");

    let other = tempfile::tempdir().unwrap();
    let mut second = config(other.path());
    second.listen = sockets.http.local_addr().unwrap();
    let error = open(&second).unwrap_err();
    assert!(matches!(error, SocketError::AddressInUse { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("EVONIC_LISTEN") && message.contains("ss -ltnp"), "{message}");

    // Killed, a supervisor leaves its files behind.
    first.listen = second.listen;
    drop(sockets);
    assert!(folder.path().join("api.sock").exists());
    open(&first).unwrap();
}

#[test]
fn what_another_program_keeps_there_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let refused = |expected: &str| {
        let error = open(&config(folder.path())).unwrap_err().to_string();
        let expected = format!("{} is to be a socket, and is {expected}: move", path.display());
        assert!(error.starts_with(&expected), "{error}");
    };
    fs::write(&path, "precious").unwrap();
    refused("a regular file");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/nowhere", &path).unwrap();
    refused("a link to /nowhere, where there is nothing");
    fs::remove_file(&path).unwrap();
    // Also where a listener answers behind it.
    let behind = folder.path().join("behind");
    let _listener = UnixListener::bind(&behind).unwrap();
    std::os::unix::fs::symlink(&behind, &path).unwrap();
    refused(&format!("a link to {}", behind.display()));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("a folder");
}

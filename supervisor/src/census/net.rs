//! Sockets by inode: the tables in `/proc/PID/net` (`proc_pid_net(5)`).

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead, BufReader, Read},
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::{
    fs::{Mode, OFlags},
    process::Pid,
};

use super::Inventory;

/// Bytes read of one table: 50,000 connections of the host.
const MAX_TABLE_BYTES: u64 = 8 * 1024 * 1024;

/// The files of `/proc/PID/net` and the kinds of their descriptors, the cheapest first: for TCP the kernel walks its whole hash of
/// connections.
const TABLES: [(&str, &str); 5] =
    [("unix", "unix"), ("tcp", "tcp"), ("udp", "udp"), ("udp6", "udp"), ("tcp6", "tcp")];

/// Inodes of sockets, with the count of descriptors of each.
type Sockets = HashMap<u64, u32>;

/// The state of a listening TCP socket in the tables.
const LISTENING: &str = "0A";

/// Moves every socket from `sockets` (inode to count) into the inventory. One in no table is of
/// another family, or neither bound nor connected.
pub(super) fn resolve(pid: Pid, sockets: &mut Sockets, inventory: &mut Inventory) {
    for (table, kind) in TABLES {
        if sockets.is_empty() {
            return;
        }
        // A table that is missing (no IPv6) or unreadable resolves nothing.
        let Ok(lines) = open_table(pid, table) else { continue };
        match kind {
            "unix" => read_unix(lines, sockets, inventory),
            _ => read_inet(lines, kind, sockets, inventory),
        }
    }
    let rest = sockets.drain().fold(0_u32, |sum, (_, count)| sum.saturating_add(count));
    if rest > 0 {
        inventory.add("socket", "socket of another family, or unconnected", rest);
    }
}

fn open_table(pid: Pid, name: &str) -> io::Result<impl BufRead> {
    let path = format!("/proc/{}/net/{name}", pid.as_raw_nonzero());
    let file: OwnedFd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(BufReader::new(std::fs::File::from(file).take(MAX_TABLE_BYTES)))
}

/// A line: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...`.
/// Listening sockets come first in the TCP tables.
fn read_inet(lines: impl BufRead, kind: &str, sockets: &mut Sockets, inventory: &mut Inventory) {
    let is_tcp = kind == "tcp";
    let mut listening = HashSet::new();
    for line in lines.lines().map_while(Result::ok) {
        if sockets.is_empty() {
            return;
        }
        let mut fields = line.split_ascii_whitespace();
        let Some((local, remote)) =
            fields.nth(1).and_then(address).zip(fields.next().and_then(address))
        else {
            continue;
        };
        let listens = is_tcp && fields.next() == Some(LISTENING);
        if listens {
            listening.insert(local.port());
        }
        let inode = if is_tcp { fields.nth(5) } else { fields.nth(6) };
        let Some(count) = inode.and_then(|text| sockets.remove(&text.parse().ok()?)) else {
            continue;
        };
        let target = if listens {
            format!("{kind} listening on {local}")
        } else if remote.port() == 0 {
            format!("{kind} bound to {local}")
        } else if listening.contains(&local.port()) {
            // All peers of a listener are one target.
            format!("{kind} accepted on {local}")
        } else {
            format!("{kind} {remote}")
        };
        inventory.add(kind, &target, count);
    }
}

/// A line: `Num RefCount Protocol Flags Type St Inode Path`.
fn read_unix(lines: impl BufRead, sockets: &mut Sockets, inventory: &mut Inventory) {
    for line in lines.lines().map_while(Result::ok) {
        if sockets.is_empty() {
            return;
        }
        let mut fields = line.split_ascii_whitespace();
        let Some(inode) = fields.nth(6).and_then(|text| text.parse().ok()) else { continue };
        let Some(count) = sockets.remove(&inode) else { continue };
        let path = fields.next().unwrap_or("without a name");
        inventory.add("unix", &format!("unix {path}"), count);
    }
}

/// `0100007F:20E4`: 32-bit words as this machine stores them, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at| Some(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let words: Option<Vec<[u8; 4]>> = (0..host.len()).step_by(8).map(word).collect();
    let host = match words?.as_slice() {
        [v4] => IpAddr::from(*v4),
        v6 => IpAddr::from(<[u8; 16]>::try_from(v6.concat()).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("0100007F:20E4"), Some("127.0.0.1:8420".parse().unwrap()));
        let loopback6 = address("00000000000000000000000001000000:0050");
        assert_eq!(loopback6, Some("[::1]:80".parse().unwrap()));
        let mapped = address("0000000000000000FFFF00000100007F:0016");
        assert_eq!(mapped, Some("127.0.0.1:22".parse().unwrap()));
        for nonsense in ["", ":", "0100007F", "0100007:1", "zz00007F:20E4", "é100007:20E4"] {
            assert_eq!(address(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn nonsense_in_a_table_is_skipped() {
        let table = "  sl  local_address rem_address   st\n\
             short line\n\
             0: 0100007F:20E4 00000000:0000 0A 0:0 00:0 0 0 0 77 1\n\
             1: 0100007F:20E4 0100007F:C001 01 0:0 00:0 0 0 0 78 1\n\
             2: 0100007F:C002 08080808:01BB 08 0:0 00:0 0 0 0 79 1\n\
             3: 0100007F:C003 08080808:01BB 01 0:0 00:0 0 0 0 1000 1\n";
        let mut sockets = HashMap::from([(77, 1), (78, 2), (79, 3), (80, 4)]);
        let mut inventory = Inventory::default();
        read_inet(table.as_bytes(), "tcp", &mut sockets, &mut inventory);
        assert_eq!(sockets, HashMap::from([(80, 4)]));
        assert_eq!(inventory.count("tcp", "tcp listening on 127.0.0.1:8420"), 1);
        assert_eq!(inventory.count("tcp", "tcp accepted on 127.0.0.1:8420"), 2);
        assert_eq!(inventory.count("tcp", "tcp 8.8.8.8:443"), 3);
    }

    proptest::proptest! {
        #[test]
        fn any_table_is_survived(table: Vec<u8>, fields: Vec<String>) {
            let line = fields.join(" ");
            for bytes in [&table[..], line.as_bytes()] {
                let mut sockets = HashMap::from([(1, 1)]);
                let mut inventory = Inventory::default();
                read_inet(bytes, "udp", &mut sockets, &mut inventory);
                read_unix(bytes, &mut sockets, &mut inventory);
            }
        }
    }
}

//! Addresses that no stranger has a reason to name: by the registries of special-purpose addresses
//! (RFC 6890 and what followed it).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

use rustix::io::Errno;

/// Networks of IPv4, by address and prefix, and what they are.
const V4: [(u32, u32, &str); 16] = [
    (v4(0, 0, 0, 0), 8, "of this network"),
    (v4(10, 0, 0, 0), 8, "private"),
    (v4(100, 64, 0, 0), 10, "shared by a provider's customers"),
    (v4(127, 0, 0, 0), 8, "loopback"),
    (v4(168, 63, 129, 16), 32, "of a cloud's metadata"),
    (v4(169, 254, 0, 0), 16, "link-local, where a cloud's metadata is"),
    (v4(172, 16, 0, 0), 12, "private"),
    (v4(192, 0, 0, 0), 24, "of protocols"),
    (v4(192, 0, 2, 0), 24, "for documentation"),
    (v4(192, 88, 99, 0), 24, "of 6to4 relays"),
    (v4(192, 168, 0, 0), 16, "private"),
    (v4(198, 18, 0, 0), 15, "for benchmarks"),
    (v4(198, 51, 100, 0), 24, "for documentation"),
    (v4(203, 0, 113, 0), 24, "for documentation"),
    (v4(224, 0, 0, 0), 4, "multicast"),
    (v4(240, 0, 0, 0), 4, "reserved or broadcast"),
];

/// Networks of IPv6 by their first 64 bits; more than 64 bits of prefix are in [`refusal_v6`].
const V6: [(u64, u32, &str); 8] = [
    (0x0064_ff9b_0001_0000, 48, "of a translator in this network"),
    (0xfc00_0000_0000_0000, 7, "unique local, where a cloud's metadata is"),
    (0xfe80_0000_0000_0000, 10, "link-local"),
    (0xfec0_0000_0000_0000, 10, "site-local"),
    (0xff00_0000_0000_0000, 8, "multicast"),
    (0x2001_0db8_0000_0000, 32, "for documentation"),
    (0x3fff_0000_0000_0000, 20, "for documentation"),
    (0x2001_0002_0000_0000, 48, "for benchmarks"),
];

const fn v4(a: u32, b: u32, c: u32, d: u32) -> u32 {
    a << 24 | b << 16 | c << 8 | d
}

/// Why an address is not asked; nothing where it is one of the public internet.
pub(super) fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => refusal_v4(address),
        IpAddr::V6(address) => refusal_v6(address),
    }
}

/// Why an address that may be this machine's is not asked: one can be bound to exactly those. Where
/// the system does not say, it may be one.
pub(super) fn own_refusal(address: IpAddr) -> Option<&'static str> {
    judge_bind(UdpSocket::bind((address, 0)).map(drop))
}

fn judge_bind(bound: io::Result<()>) -> Option<&'static str> {
    match bound {
        Ok(()) => Some("this machine's own"),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => None,
        // No address of a family that the kernel has not is of this machine.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::AFNOSUPPORT) => None,
        Err(_) => Some("perhaps this machine's own: the system does not say"),
    }
}

fn refusal_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    let within = |&&(network, prefix, _): &&(u32, u32, _)| (bits ^ network) >> (32 - prefix) == 0;
    V4.iter().find(within).map(|&(_, _, what)| what)
}

fn refusal_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = u128::from(address);
    #[expect(clippy::cast_possible_truncation, reason = "the first 64 bits, and the last")]
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    let within = |&&(network, prefix, _): &&(u64, u32, _)| (high ^ network) >> (64 - prefix) == 0;
    if let Some(&(_, _, what)) = V6.iter().find(within) {
        return Some(what);
    }
    if let [first, rest @ ..] = inner_v4(high, low).as_slice() {
        let refused = |inner: &Ipv4Addr| refusal_v4(*inner);
        return refused(first).or_else(|| rest.iter().find_map(refused));
    }
    match high >> 61 {
        // 2000::/3 is what is given out; of it, 2001::/23 belongs to protocols.
        1 if high >> 41 == 0x2001_0000 >> 9 => Some("of protocols"),
        1 => None,
        _ if bits == 0 => Some("unspecified"),
        _ if bits == 1 => Some("loopback"),
        _ => Some("not of the public internet"),
    }
}

/// The IPv4 addresses that an IPv6 address stands for, if it does: what packets to it may reach.
fn inner_v4(high: u64, low: u64) -> Vec<Ipv4Addr> {
    #[expect(clippy::cast_possible_truncation, reason = "32 bits are meant")]
    let v4 = |bits: u64| Ipv4Addr::from(bits as u32);
    match (high, low) {
        // Unspecified and loopback are addresses of their own.
        (0, 0 | 1) => Vec::new(),
        // Compatible `::a.b.c.d`, mapped `::ffff:a.b.c.d`, translated `::ffff:0:a.b.c.d`.
        (0, low) if matches!(low >> 32, 0 | 0xffff | 0xffff_0000) => vec![v4(low)],
        // NAT64.
        (0x0064_ff9b_0000_0000, low) if low >> 32 == 0 => vec![v4(low)],
        // 6to4.
        (high, _) if high >> 48 == 0x2002 => vec![v4(high >> 16)],
        // Teredo: a server, and a client whose address is inverted.
        (high, low) if high >> 32 == 0x2001_0000 => vec![v4(high), v4(!low)],
        // ISATAP.
        (_, low) if matches!(low >> 32, 0x5efe | 0x0200_5efe) => vec![v4(low)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;

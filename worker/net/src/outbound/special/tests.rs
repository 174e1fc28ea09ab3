use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::*;

/// As IANA's registry has them, where "Globally Reachable" is not true; with multicast, with what
/// clouds answer at, and without the anycast exceptions of 192.0.0.0/24.
const NOT_GLOBAL_V4: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

const NOT_GLOBAL_V6: &[&str] = &[
    "::/128",
    "::1/128",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001:1::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

fn networks<N: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<N> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn is_refused(text: &str) -> bool {
    refusal(text.parse().unwrap()).is_some()
}

#[test]
fn addresses_that_lead_inside_are_refused_in_each_of_their_forms() {
    for text in [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "255.255.255.255",
        "::1",
        "::",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::8.8.8.8",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:808:808:0:0:80ff:fffe",
        "2001:0:7f00:1:0:0:f7f7:f7f7",
        "2a00::5efe:192.168.0.1",
        "2a00::200:5efe:10.0.0.1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "4000::1",
    ] {
        assert!(is_refused(text), "{text}");
    }
}

#[test]
fn addresses_of_the_public_internet_are_not() {
    for text in [
        "8.8.8.8",
        "1.1.1.1",
        "93.184.215.14",
        "172.15.255.255",
        "172.32.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:800::200e",
        "64:ff9b::8.8.8.8",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "2001:0:808:808:0:0:f7f7:f7f7",
        "2001:4860:4860::8888",
    ] {
        assert!(!is_refused(text), "{text}: {:?}", refusal(text.parse().unwrap()));
    }
}

#[test]
fn an_address_of_this_machine_is_its_own() {
    let own = |text: &str| own_refusal(text.parse().unwrap());
    assert_eq!(own("127.0.0.1"), Some("this machine's own"));
    assert_eq!(own("8.8.8.8"), None);
    assert_eq!(own("2606:4700:4700::1111"), None);
}

#[test]
fn where_the_system_does_not_say_an_address_is_refused() {
    let judge = |errno: Errno| judge_bind(Err(errno.into()));
    for errno in [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT] {
        assert_eq!(judge(errno), None, "{errno}");
    }
    for errno in [Errno::MFILE, Errno::NFILE, Errno::ADDRINUSE, Errno::PERM, Errno::NOBUFS] {
        assert!(judge(errno).is_some(), "{errno}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn v4_is_refused_exactly_within_the_registry(bits: u32) {
        let address = Ipv4Addr::from(bits);
        let listed = networks::<Ipv4Net>(NOT_GLOBAL_V4).iter().any(|net| net.contains(&address));
        prop_assert_eq!(refusal(address.into()).is_some(), listed, "{}", address);
    }

    #[test]
    fn both_ends_of_each_network_are_refused_and_what_is_beside_it_is_judged_alone(
        at in 0..NOT_GLOBAL_V4.len(), inside: u32,
    ) {
        let net: Ipv4Net = NOT_GLOBAL_V4[at].parse().unwrap();
        let host = u32::from(net.network()) | (inside & u32::from(net.hostmask()));
        for address in [net.network(), net.broadcast(), Ipv4Addr::from(host)] {
            prop_assert!(refusal(address.into()).is_some(), "{}", address);
        }
    }

    #[test]
    fn v6_is_refused_within_the_registry(at in 0..NOT_GLOBAL_V6.len(), inside: u128) {
        let net: Ipv6Net = NOT_GLOBAL_V6[at].parse().unwrap();
        let address = Ipv6Addr::from(u128::from(net.network()) | (inside & u128::from(net.hostmask())));
        prop_assert!(refusal(address.into()).is_some(), "{} of {}", address, net);
    }

    #[test]
    fn no_other_form_of_an_address_is_judged_milder(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let [a, b, c, d] = v4.octets();
        let pair = |high, low| u16::from_be_bytes([high, low]);
        let (high, low) = (pair(a, b), pair(c, d));
        for form in [
            v4.to_ipv6_mapped(),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !0x0808, !0x0808),
            Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0, 0, !high, !low),
            Ipv6Addr::new(0x2a00, 0, 0, 1, 0, 0x5efe, high, low),
        ] {
            let (inner, outer) = (refusal(v4.into()), refusal(form.into()));
            prop_assert_eq!(inner.is_some(), outer.is_some(), "{} as {}", v4, form);
        }
    }

    #[test]
    fn what_is_not_given_out_is_refused(bits: u128) {
        let address = Ipv6Addr::from(bits);
        let known: Vec<IpNet> = networks(&["2000::/3", "64:ff9b::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96"]);
        if !known.iter().any(|net| net.contains(&IpAddr::V6(address))) {
            let isatap = matches!(address.segments()[4..6], [0 | 0x200, 0x5efe]);
            prop_assert!(isatap || refusal(address.into()).is_some(), "{}", address);
        }
    }
}

//! Every kind of address, in every form.

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_of_the_internet() {
    for text in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "169.253.255.255",
        "223.255.255.255",
        "168.63.129.15",
        "2606:4700::1111",
        "2001:4860::1",
        "2620:4f::1",
        "2620:4f:7fff::1",
        "2620:4f:8001::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ] {
        assert!(is_public(ip(text)), "{text}");
    }
}

#[test]
fn addresses_of_other_networks() {
    for text in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.255.255",
        "198.19.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1.1.1.1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001::1",
        "2001:db8::1",
        "2620:4f:8000::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
    ] {
        assert!(!is_public(ip(text)), "{text}");
    }
}

#[test]
fn metadata_is_metadata_in_every_form() {
    for text in [
        "169.254.169.254",
        "169.254.169.253",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "192.0.0.192",
        "100.100.100.200",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:ffff::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ] {
        assert!(is_metadata(ip(text)), "{text}");
    }
    for text in ["169.254.1.1", "10.0.0.1", "::1", "1.1.1.1", "fd00:ec2::253"] {
        assert!(!is_metadata(ip(text)), "{text}");
    }
    for name in ["metadata", "Metadata.Google.Internal.", "metadata.google.internal"] {
        assert!(is_metadata_name(name), "{name}");
    }
    assert!(!is_metadata_name("metadata.example"));
}

#[test]
fn names_of_this_machine() {
    for name in ["localhost", "LOCALHOST.", "a.localhost", "a.b.localhost."] {
        assert!(is_localhost(name), "{name}");
    }
    for name in ["localhost.example", "notlocalhost", "localhost.localdomain", ""] {
        assert!(!is_localhost(name), "{name}");
    }
}

#[test]
fn neighbours_share_a_network_that_is_not_the_internet() {
    for (one, other) in [
        ("127.0.0.1", "127.9.9.9"),
        ("127.0.0.1", "::1"),
        ("::ffff:127.0.0.1", "::1"),
        ("10.1.2.3", "10.200.0.1"),
        ("10.1.2.3", "::ffff:10.0.0.1"),
        ("192.168.1.1", "192.168.2.1"),
        ("fd00::1", "fdff::1"),
        ("fe80::1", "fe80::2"),
    ] {
        assert!(are_neighbours(ip(one), ip(other)), "{one} {other}");
        assert!(are_neighbours(ip(other), ip(one)), "{other} {one}");
    }
    for (one, other) in
        [("10.0.0.1", "172.16.0.1"), ("127.0.0.1", "10.0.0.1"), ("1.1.1.1", "1.1.1.2"), ("::1", "fd00::1")]
    {
        assert!(!are_neighbours(ip(one), ip(other)), "{one} {other}");
    }
}

#[test]
fn a_network_holds_its_addresses_in_every_form() {
    let networks = ["10.2.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()];
    for text in ["10.2.3.4", "::ffff:10.2.3.4", "fd00::1"] {
        assert!(is_within(ip(text), &networks), "{text}");
    }
    for text in ["10.3.0.1", "::ffff:10.3.0.1", "fc00::1", "::1"] {
        assert!(!is_within(ip(text), &networks), "{text}");
    }
}

#[test]
fn our_own_listeners_are_known_wherever_they_are_reached() {
    let listeners = |text: &[&str]| Listeners::new(text.iter().map(|socket| socket.parse().unwrap()));
    let ours = |ip_there: IpAddr| ip_there == ip("192.168.1.5") || ip_there == ip("fd00::5");
    let bound = |listeners: &Listeners, text: &str| {
        let socket: SocketAddr = text.parse().unwrap();
        listeners.answer(socket.ip(), socket.port(), ours)
    };
    let local = listeners(&["127.0.0.1:9090", "[::1]:9091", "127.0.0.1:0"]);
    for text in ["127.0.0.1:9090", "0.0.0.0:9090", "[::ffff:127.0.0.1]:9090", "[::1]:9091", "[::]:9091"] {
        assert!(bound(&local, text), "{text}");
    }
    for text in ["127.0.0.1:9092", "192.168.1.5:9090", "127.0.0.2:9090", "1.1.1.1:9090", "127.0.0.1:1"] {
        assert!(!bound(&local, text), "{text}");
    }
    let wide = listeners(&["0.0.0.0:8080", "[::]:8081"]);
    for text in ["127.0.0.9:8080", "192.168.1.5:8080", "0.0.0.0:8080", "[fd00::5]:8081", "[::1]:8081"] {
        assert!(bound(&wide, text), "{text}");
    }
    assert!(!bound(&wide, "192.168.1.6:8080"));
}

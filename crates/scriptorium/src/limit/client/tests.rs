//! Tables of chains: what honest proxies write and what hostile clients do.

use http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

fn trusted_source(source: ClientAddress) -> TrustedSource {
    let trusted = ["10.0.0.0/8", "2001:db8:ff::/48"].map(|net| net.parse().unwrap()).into();
    TrustedSource { source, trusted }
}

fn at(peer: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(peer.parse().unwrap(), 9))
}

fn through(peer: &str, name: &'static str, lines: &[&str]) -> String {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let source = if name == "forwarded" { ClientAddress::Forwarded } else { ClientAddress::XForwardedFor };
    match trusted_source(source).client(at(peer), &headers) {
        Client::Address(address) => address.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn x_forwarded_for() {
    for (lines, expected) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (&["6.6.6.6, 192.0.2.1 ,10.0.0.2"], "192.0.2.1"),
        (&["6.6.6.6", "192.0.2.1", "10.0.0.2,10.0.0.3"], "192.0.2.1"),
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&["192.0.2.1:8080"], "192.0.2.1"),
        (&["2001:db8::1"], "2001:db8::"),
        (&["2001:db8:0:1:2:3:4:5, 2001:db8:ff::7"], "2001:db8:0:1::"),
        (&["[2001:db8::1]"], "2001:db8::"),
        (&["[2001:db8::1]:443"], "2001:db8::"),
        (&["::ffff:192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1, ::ffff:10.0.0.9"], "192.0.2.1"),
        (&["192.0.2.1, , 10.0.0.2,"], "192.0.2.1"),
        (&[], PROXY),
        (&[""], PROXY),
        (&[",,,"], PROXY),
        (&["192.0.2.1, garbage"], PROXY),
        (&["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["192.0.2.1, 10.0.0.2\u{e9}"], PROXY),
        (&["192.0.2.1", "\u{e9}"], PROXY),
    ] {
        assert_eq!(through(PROXY, "x-forwarded-for", lines), expected, "{lines:?}");
        assert_eq!(through("192.0.2.77", "x-forwarded-for", lines), "192.0.2.77", "{lines:?}");
    }
    assert_eq!(through("::ffff:10.0.0.1", "x-forwarded-for", &["192.0.2.1"]), "192.0.2.1");
}

#[test]
fn forwarded() {
    for (lines, expected) in [
        (&["for=192.0.2.1"][..], "192.0.2.1"),
        (&["for=6.6.6.6, for=192.0.2.1;proto=http;by=203.0.113.43"], "192.0.2.1"),
        (&["proto=https;FOR=\"192.0.2.1\" ; host=\"a,b;for=6.6.6.6\""], "192.0.2.1"),
        (&["For=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::"),
        (&["for=\"192.0.2.1:80\", for=\"10.0.0.2:_port\""], "192.0.2.1"),
        (&["for=192.0.2.1", "for=10.0.0.2"], "192.0.2.1"),
        (&["for=192.0.2.1;;"], "192.0.2.1"),
        (&["for=10.0.0.3,for=10.0.0.2"], "10.0.0.3"),
        (&["for=192.0.2.1, for=unknown, for=10.0.0.2"], "10.0.0.2"),
        (&["for=192.0.2.1, for=_hidden"], PROXY),
        (&["for=192.0.2.1, for=\"_x:80\""], PROXY),
        (&["for=192.0.2.1, proto=https"], PROXY),
        (&["for=192.0.2.1;for=6.6.6.6"], PROXY),
        (&["for=192.0.2.1;garbage"], PROXY),
        (&["for=\"192.0.2.1"], PROXY),
        (&["for=192.0.2.1\""], PROXY),
        (&["for=\"192.0.2.1\\\""], PROXY),
        // What a client left open cannot swallow what a proxy appended.
        (&["for=\", for=192.0.2.1"], "192.0.2.1"),
        (&["for=\"\\, for=192.0.2.1"], "192.0.2.1"),
        (&["for=\"", "for=192.0.2.1"], "192.0.2.1"),
        (&["host=\"a\\\"b\";for=192.0.2.1"], "192.0.2.1"),
    ] {
        assert_eq!(through(PROXY, "forwarded", lines), expected, "{lines:?}");
        assert_eq!(through("192.0.2.77", "forwarded", lines), "192.0.2.77", "{lines:?}");
    }
}

/// Every source, and the address that a request with both headers is counted under.
#[test]
fn one_source_counts_and_the_other_is_not_looked_at() {
    let mut headers = HeaderMap::new();
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.insert(FORWARDED, HeaderValue::from_static("for=192.0.2.2;proto=http"));
    for (source, address, tls) in [
        (ClientAddress::XForwardedFor, "192.0.2.1", Some(true)),
        (ClientAddress::Forwarded, "192.0.2.2", Some(false)),
        (ClientAddress::ProxyProtocol, PROXY, None),
        (ClientAddress::Peer, PROXY, None),
    ] {
        let trusted_source = trusted_source(source);
        let client = |peer: &str| trusted_source.client(at(peer), &headers);
        assert_eq!(client(PROXY), Client::Address(address.parse().unwrap()), "{source:?}");
        assert_eq!(trusted_source.tls(at(PROXY), &headers), tls, "{source:?}");
        assert_eq!(client("192.0.2.77"), Client::Address([192, 0, 2, 77].into()), "{source:?}");
        assert_eq!(trusted_source.tls(at("192.0.2.77"), &headers), None, "{source:?}");
        assert_eq!(trusted_source.tls(None, &headers), None, "{source:?}");
    }
}

fn tls(name: &'static str, lines: &[&str]) -> Option<bool> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let source = if name == "forwarded" { ClientAddress::Forwarded } else { ClientAddress::XForwardedFor };
    trusted_source(source).tls(at(PROXY), &headers)
}

#[test]
fn the_scheme_is_one_of_two_and_the_last_hand_wrote_it() {
    for (lines, expected) in [
        (&["https"][..], Some(true)),
        (&["http"], Some(false)),
        (&["HTTPS"], Some(true)),
        (&["http, https"], Some(true)),
        (&["https, http"], Some(false)),
        (&["https", "http"], Some(false)),
        (&["https,,"], Some(true)),
        (&["https, wss"], None),
        (&["https, javascript:"], None),
        (&["https://a.example/"], None),
        (&["https\u{e9}"], None),
        (&["https", "\u{e9}"], None),
        (&[""], None),
        (&[], None),
    ] {
        assert_eq!(tls("x-forwarded-proto", lines), expected, "{lines:?}");
    }
}

#[test]
fn the_scheme_of_forwarded_stands_beside_the_address_that_counts() {
    for (lines, expected) in [
        (&["for=192.0.2.1;proto=https"][..], Some(true)),
        (&["proto=\"https\";for=192.0.2.1"], Some(true)),
        (&["for=192.0.2.1;proto=https, for=10.0.0.2;proto=http"], Some(true)),
        (&["for=6.6.6.6;proto=https, for=192.0.2.1;proto=http"], Some(false)),
        (&["for=6.6.6.6;proto=https, for=192.0.2.1"], None),
        (&["for=192.0.2.1;proto=ftp"], None),
        (&["for=192.0.2.1;proto=http;proto=https"], None),
        (&["proto=https"], None),
        (&["for=unknown;proto=https"], None),
        (&[], None),
    ] {
        assert_eq!(tls("forwarded", lines), expected, "{lines:?}");
    }
}

/// What a client may send, and what may stand left of what a proxy writes.
fn junk() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        Just(","),
        Just(";"),
        Just("\""),
        Just("\\"),
        Just("for="),
        Just("proto=https"),
        Just("6.6.6.6"),
        Just("10.0.0.9"),
        Just("unknown"),
        Just(" "),
        Just("["),
        Just("\u{e9}"),
        Just("https"),
    ];
    vec(vec(word, 0..12).prop_map(|words| words.concat()), 0..3)
}

proptest! {
    /// Whatever a client sends, in either header, it is counted as what the proxy appended: one bucket.
    #[test]
    fn no_client_behind_a_proxy_that_appends_chooses_its_bucket(
        mut listed in junk(), other in junk(), same_line: bool
    ) {
        for (source, name, passed_on, appended) in [
            (ClientAddress::XForwardedFor, X_FORWARDED_FOR, FORWARDED, "192.0.2.1"),
            (ClientAddress::Forwarded, FORWARDED, X_FORWARDED_FOR, "for=192.0.2.1;proto=http"),
        ] {
            match listed.last_mut().filter(|_| same_line) {
                Some(line) => *line = format!("{line}, {appended}"),
                None => listed.push(appended.to_owned()),
            }
            let mut headers = HeaderMap::new();
            for (name, lines) in [(&name, &listed), (&passed_on, &other)] {
                for line in lines {
                    headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
                }
            }
            let client = trusted_source(source).client(at(PROXY), &headers);
            prop_assert_eq!(client, Client::Address([192, 0, 2, 1].into()), "{:?}", headers);
            listed.pop();
        }
    }

    /// The scheme is what the last hand wrote, whatever stands left of it.
    #[test]
    fn no_client_behind_a_proxy_chooses_its_scheme(mut listed in junk(), appended in any::<bool>()) {
        listed.push(if appended { "https" } else { "http" }.to_owned());
        let lines: Vec<&str> = listed.iter().map(String::as_str).collect();
        prop_assert_eq!(tls("x-forwarded-proto", &lines), Some(appended));
    }
}

#[test]
fn a_chain_is_followed_so_far_and_no_further() {
    let chain = |trusted: usize| format!("192.0.2.1{}", ", 10.0.0.2".repeat(trusted));
    assert_eq!(through(PROXY, "x-forwarded-for", &[&chain(MOST_HOPS - 1)]), "192.0.2.1");
    assert_eq!(through(PROXY, "x-forwarded-for", &[&chain(MOST_HOPS)]), "10.0.0.2");
    assert_eq!(through(PROXY, "x-forwarded-for", &[&",".repeat(100_000)]), PROXY);
}

#[test]
fn what_is_no_node() {
    for bad in [
        "",
        ":",
        "[",
        "[]",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:",
        "[::1]:x",
        "[1.2.3.4]",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "0x1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:+80",
        "1.2.3.4:65536",
        "1.2.3.4:_",
        "1.2.3.4:_a b",
        "1.2.3.4 ",
        "1.2.3.4/8",
        "fe80::1%eth0",
        "[fe80::1%25eth0]:80",
        "unknown",
        "_hidden",
        "localhost",
        "\"1.2.3.4\"",
        "1.2.3.4:80:80",
    ] {
        assert_eq!(node(bad), None, "{bad}");
    }
}

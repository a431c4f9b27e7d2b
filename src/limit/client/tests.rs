//! Tables of chains: what honest proxies write and what hostile clients do.

use http::HeaderValue;

use super::*;

const PROXY: &str = "10.0.0.1";

fn through(peer: &str, name: &'static str, lines: &[&str]) -> String {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8:ff::/48"].map(|net| net.parse().unwrap()).into();
    match Client::at(Some(SocketAddr::new(peer.parse().unwrap(), 9)), &headers, &trusted) {
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

#[test]
fn the_standard_header_is_the_one_that_counts() {
    let mut headers = HeaderMap::new();
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
    headers.insert(FORWARDED, HeaderValue::from_static("for=192.0.2.2"));
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    assert_eq!(origin([10, 0, 0, 1].into(), &headers, &trusted), IpAddr::from([192, 0, 2, 2]));
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

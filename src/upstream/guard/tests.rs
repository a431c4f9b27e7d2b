//! Where this proxy goes, and where it never does.

use super::*;

fn guard(url: &str, hosts: &[&str]) -> Guard {
    let mut config = config::Upstream::new("public", url.parse().unwrap());
    config.archive_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Guard::new(&config)
}

fn rule(guard: &Guard, url: &str, from: Option<&str>) -> Option<Rule> {
    let from = from.map(|from| from.parse().unwrap());
    match guard.allow(&url.parse().unwrap(), from.as_ref()) {
        Ok(()) => None,
        Err(CouldNotAsk::Forbidden { rule, .. }) => Some(rule),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn goes_home_and_to_the_listed_hosts() {
    let guard =
        guard("https://Registry.example/base", &["cdn.example", "mirror.example:8443", "[2001:db8::1]"]);
    for url in [
        "https://registry.example/x",
        "https://registry.example:443/x",
        "https://REGISTRY.example./x",
        "https://cdn.example/x",
        "http://cdn.example:8080/x",
        "https://CDN.example./x",
        "https://mirror.example:8443/x",
        "http://[2001:db8:0::1]:81/x",
    ] {
        assert_eq!(rule(&guard, url, None), None, "{url}");
    }
}

#[test]
fn goes_nowhere_else() {
    let guard = guard("https://registry.example", &["cdn.example", "mirror.example:8443"]);
    for url in [
        "http://registry.example/x",
        "https://registry.example:8443/x",
        "https://registry.example.evil.example/x",
        "https://sub.registry.example/x",
        "https://mirror.example/x",
        "http://127.0.0.1/x",
        "http://2130706433/x",
        "http://0177.0.0.1/x",
        "http://0x7f.1/x",
        "http://[::1]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x",
    ] {
        assert_eq!(rule(&guard, url, None), Some(Rule::Host), "{url}");
    }
    for url in ["ftp://cdn.example/x", "file:///etc/passwd", "data:,x", "gopher://registry.example/"] {
        assert_eq!(rule(&guard, url, None), Some(Rule::Scheme), "{url}");
    }
    for url in ["https://user@registry.example/x", "https://:secret@cdn.example/x"] {
        assert_eq!(rule(&guard, url, None), Some(Rule::UserInfo), "{url}");
    }
}

#[test]
fn a_named_address_is_named_in_every_spelling_of_it_alone() {
    let guard = guard("http://127.0.0.1:8080", &[]);
    assert_eq!(rule(&guard, "http://2130706433:8080/x", None), None);
    assert_eq!(rule(&guard, "http://127.0.0.1:8081/x", None), Some(Rule::Host));
    assert_eq!(rule(&guard, "http://[::ffff:127.0.0.1]:8080/x", None), Some(Rule::Host));
}

#[test]
fn https_is_not_left_by_a_redirect() {
    let guard = guard("https://registry.example", &["cdn.example"]);
    let secure = Some("https://registry.example/x");
    assert_eq!(rule(&guard, "http://cdn.example/x", secure), Some(Rule::Downgrade));
    assert_eq!(rule(&guard, "https://cdn.example/x", secure), None);
    assert_eq!(rule(&guard, "http://cdn.example/y", Some("http://cdn.example/x")), None);
}

#[test]
fn home_is_scheme_host_and_port() {
    let guard = guard("https://registry.example", &["registry.example"]);
    let is_home = |url: &str| guard.is_home(&url.parse().unwrap());
    assert!(is_home("https://registry.example:443/x") && is_home("https://registry.example./x"));
    assert!(!is_home("http://registry.example:443/x") && !is_home("https://registry.example:444/x"));
    assert!(!is_home("https://cdn.example/x"));
}

#[test]
fn the_refusal_names_the_host_and_no_more() {
    let url = "https://user:secret@evil.example:1/path?token=secret".parse().unwrap();
    let text = guard("https://registry.example", &[]).allow(&url, None).unwrap_err().to_string();
    assert!(text.contains("evil.example"), "{text}");
    assert!(!text.contains("secret") && !text.contains("path"), "{text}");
}

#[test]
fn addresses_of_the_internet() {
    for ip in [
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
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::1",
    ] {
        assert!(is_public(ip.parse().unwrap()), "{ip}");
    }
}

#[test]
fn addresses_of_other_networks() {
    for ip in [
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
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
    ] {
        assert!(!is_public(ip.parse().unwrap()), "{ip}");
    }
}

//! Where this proxy goes, and where it never does.

use super::super::CouldNotAsk;
use super::*;

fn guard(url: &str, hosts: &[&str]) -> Guard {
    let mut config = config::Upstream::new("public", url.parse().unwrap());
    config.archive_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Guard::new(&config, Listeners::default())
}

fn rule(guard: &Guard, url: &str, from: Option<&str>) -> Option<GuardRule> {
    let from = from.map(|from| from.parse().unwrap());
    guard.allow(&url.parse().unwrap(), from.as_ref()).err()
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
        "https://cdn.example:443/x",
        "https://CDN.example./x",
        "https://mirror.example:8443/x",
        "https://[2001:db8:0::1]/x",
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
        "https://cdn.example:8080/x",
        "http://cdn.example:8080/x",
        "https://cdn.example:80/x",
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
        assert_eq!(rule(&guard, url, None), Some(GuardRule::Host), "{url}");
    }
    for url in ["ftp://cdn.example/x", "file:///etc/passwd", "data:,x", "gopher://registry.example/"] {
        assert_eq!(rule(&guard, url, None), Some(GuardRule::Scheme), "{url}");
    }
    for url in ["https://user@registry.example/x", "https://:secret@cdn.example/x"] {
        assert_eq!(rule(&guard, url, None), Some(GuardRule::UserInfo), "{url}");
    }
}

#[test]
fn a_named_address_is_named_in_every_spelling_of_it_alone() {
    let guard = guard("http://127.0.0.1:8080", &[]);
    assert_eq!(rule(&guard, "http://2130706433:8080/x", None), None);
    assert_eq!(rule(&guard, "http://127.0.0.1:8081/x", None), Some(GuardRule::Host));
    assert_eq!(rule(&guard, "http://[::ffff:127.0.0.1]:8080/x", None), Some(GuardRule::Host));
}

#[test]
fn https_is_not_left() {
    let guard = guard("https://registry.example", &["cdn.example"]);
    let [secure, plain] = ["https://registry.example/x", "http://cdn.example/x"].map(Some);
    for from in [None, secure] {
        assert_eq!(rule(&guard, "http://cdn.example/x", from), Some(GuardRule::Downgrade), "{from:?}");
        assert_eq!(rule(&guard, "https://cdn.example/x", from), None, "{from:?}");
    }
    assert_eq!(rule(&guard, "http://cdn.example/y", plain), None);
    let plain_home = self::guard("http://registry.example", &["cdn.example"]);
    assert_eq!(rule(&plain_home, "http://cdn.example/y", None), None, "who begins in clear may go on so");
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
    let text = guard("https://registry.example", &[]).allow(&url, None).unwrap_err();
    let text = CouldNotAsk::forbidden(&url, text).to_string();
    assert!(text.contains("evil.example"), "{text}");
    assert!(!text.contains("secret") && !text.contains("path"), "{text}");
}

fn judged(guard: &Guard, host: &str, address: &str) -> Option<GuardRule> {
    guard.judge(host, SocketAddr::new(address.parse().unwrap(), 443), |_| false).err()
}

#[test]
fn who_lists_a_host_names_no_address() {
    let guard = guard("https://registry.example", &["cdn.example"]);
    for private in ["127.0.0.1", "10.1.2.3", "::1", "fd00::1", "169.254.1.1", "fe80::1", "::ffff:127.0.0.1"] {
        assert_eq!(judged(&guard, "cdn.example", private), Some(GuardRule::Address), "{private}");
        assert_eq!(
            judged(&guard, "Registry.example.", private),
            None,
            "the operator chose this one: {private}"
        );
    }
    for metadata in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"] {
        for host in ["cdn.example", "registry.example"] {
            assert_eq!(judged(&guard, host, metadata), Some(GuardRule::Metadata), "{host} {metadata}");
        }
    }
    assert_eq!(judged(&guard, "cdn.example", "1.1.1.1"), None);
}

#[test]
fn private_networks_are_named_by_the_operator() {
    let mut config = config::Upstream::new("public", "https://registry.example".parse().unwrap());
    config.private_addresses = vec!["10.2.0.0/16".parse().unwrap(), "169.254.0.0/16".parse().unwrap()];
    let guard = Guard::new(&config, Listeners::default());
    assert_eq!(judged(&guard, "cdn.example", "10.2.3.4"), None);
    assert_eq!(judged(&guard, "cdn.example", "169.254.7.7"), None);
    assert_eq!(judged(&guard, "cdn.example", "10.3.0.1"), Some(GuardRule::Address));
    assert_eq!(judged(&guard, "cdn.example", "169.254.169.254"), Some(GuardRule::Metadata), "never");
}

#[test]
fn the_network_of_the_registrys_own_url_is_named() {
    for (home, near, far) in [
        ("http://127.0.0.1:9000", "127.0.0.2", "10.0.0.1"),
        ("http://localhost:9000", "::1", "10.0.0.1"),
        ("http://10.2.3.4", "10.9.9.9", "127.0.0.1"),
        ("http://[fd00::1]", "fd00::2", "::1"),
    ] {
        let guard = guard(home, &["cdn.example"]);
        assert_eq!(judged(&guard, "cdn.example", near), None, "{home} {near}");
        assert_eq!(judged(&guard, "cdn.example", far), Some(GuardRule::Address), "{home} {far}");
    }
}

#[test]
fn our_own_listeners_are_nobodys_registry() {
    let config = config::Upstream::new("public", "http://127.0.0.1:9000".parse().unwrap());
    let guard = Guard::new(&config, Listeners::new(["127.0.0.1:443".parse().unwrap()]));
    assert_eq!(judged(&guard, "127.0.0.1", "127.0.0.1"), Some(GuardRule::Ourselves));
    assert_eq!(judged(&guard, "127.0.0.1", "127.0.0.2"), None);
}

#[test]
fn through_a_proxy_names_are_judged() {
    let guard = guard("https://registry.example", &["cdn.example"]);
    let judged = |host: &str| guard.judge_by_name(host, 443, |_| false).err();
    assert_eq!(judged("cdn.example"), None);
    assert_eq!(judged("1.1.1.1"), None);
    assert_eq!(judged("metadata.google.internal"), Some(GuardRule::Metadata));
    assert_eq!(judged("169.254.169.254"), Some(GuardRule::Metadata));
    assert_eq!(judged("[::ffff:a9fe:a9fe]"), Some(GuardRule::Metadata));
    for private in ["127.0.0.1", "10.0.0.1", "[::1]", "localhost", "a.localhost."] {
        assert_eq!(judged(private), Some(GuardRule::Address), "{private}");
    }
}

//! What the environment says of the way out, and which of it counts.

use super::*;

const TABLES: &str = r#"
[[upstreams]]
name = "secure"
url = "https://registry.example.com"
volumes = ["@acme/*"]
[[upstreams]]
name = "plain"
url = "http://registry.example.com"
"#;

fn loaded(text: &str, env: &[(&str, &str)]) -> Loaded {
    Site::new(text).load(env).unwrap()
}

fn proxies(text: &str, env: &[(&str, &str)]) -> Vec<Option<String>> {
    let config = loaded(text, env).config;
    config.upstreams.iter().map(|upstream| upstream.egress.proxy.as_ref().map(ToString::to_string)).collect()
}

#[test]
fn each_scheme_has_its_variable() {
    let one = Some("http://one.example:3128/".to_owned());
    assert_eq!(proxies(TABLES, &[("HTTPS_PROXY", "http://one.example:3128")]), [one.clone(), None]);
    assert_eq!(proxies(TABLES, &[("https_proxy", "one.example:3128")]), [one.clone(), None]);
    assert_eq!(proxies(TABLES, &[("http_proxy", "http://one.example:3128")]), [None, one]);
    assert_eq!(
        proxies(TABLES, &[("HTTP_PROXY", "http://one.example:3128")]),
        [None, None],
        "a CGI client's word"
    );
    assert_eq!(proxies(TABLES, &[("HTTPS_PROXY", "")]), [None, None]);
}

#[test]
fn what_the_file_says_counts() {
    let text =
        TABLES.replace("volumes", "proxy = \"http://two.example\"\nno_proxy = [\"a.example\"]\nvolumes");
    let env = [("HTTPS_PROXY", "http://one.example:3128"), ("NO_PROXY", "b.example")];
    let Loaded { config, from_environment, .. } = loaded(&text, &env);
    let egress = &config.upstreams[0].egress;
    assert_eq!(egress.proxy.as_ref().map(Url::as_str), Some("http://two.example/"));
    assert_eq!(egress.no_proxy, ["a.example".parse().unwrap()]);
    assert!(from_environment.iter().all(|told| !told.contains("PROXY")), "{from_environment:?}");
}

#[test]
fn what_is_taken_is_told_and_loads_again() {
    let env = [
        ("HTTPS_PROXY", "http://user:hun%3Ater2@one.example:3128"),
        ("NO_PROXY", "corp.example, .b.example:8080,10.0.0.0/8"),
        ("SSL_CERT_FILE", "/etc/corp.pem"),
    ];
    let Loaded { config, from_environment, notes } = loaded(TABLES, &env);
    let egress = &config.upstreams[0].egress;
    assert_eq!(egress.proxy_auth_env.as_ref().map(|held| &*held.variable), Some("HTTPS_PROXY"));
    for (host, exempt) in [
        ("a.corp.example", true),
        ("b.example", true),
        ("10.1.1.1", true),
        ("127.0.0.1", true),
        ("localhost", true),
        ("registry.example.com", false),
    ] {
        assert_eq!(egress.proxy_for(host).is_none(), exempt, "{host}");
    }
    let told = from_environment.join("\n");
    for part in ["upstreams[0].proxy comes from HTTPS_PROXY", "no_proxy comes from NO_PROXY", "/etc/corp.pem"]
    {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(notes, [""; 0]);
    let printed = config.to_toml();
    assert!(!printed.contains("ter2") && !told.contains("ter2"), "{printed}");
    let again = loaded(&printed, &env).config;
    assert_eq!(again.upstreams[0].egress, config.upstreams[0].egress);
}

#[test]
fn a_proxy_that_is_none_is_an_error_of_the_environment() {
    for value in ["socks5://one.example", "http://", "http://one.example/path", "http://one.example:99999"] {
        let error = Site::new(TABLES).load(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();
        assert!(error.starts_with("HTTPS_PROXY: upstreams[0].proxy: expected"), "{value}: {error}");
    }
}

#[test]
fn a_listed_address_that_is_not_dialled_is_pointed_out() {
    let listing = |hosts: &str| TABLES.replace("volumes", &format!("archive_hosts = [{hosts}]\nvolumes"));
    let notes = |text: &str| loaded(text, &[]).notes;
    for host in ["\"10.0.0.1\"", "\"localhost:8080\"", "\"[::1]\""] {
        let told = notes(&listing(host)).join("\n");
        assert!(told.contains("archive_hosts[0]") && told.contains("private_addresses"), "{host}: {told}");
    }
    let named = listing("\"10.0.0.1\"").replace("volumes", "private_addresses = [\"10.0.0.0/8\"]\nvolumes");
    let loopback = listing("\"127.0.0.1:1\"").replace("https://registry.example.com", "http://127.0.0.1");
    for text in [listing("\"cdn.example\", \"1.1.1.1\""), named, loopback] {
        assert_eq!(notes(&text), [""; 0], "{text}");
    }
}

#[test]
fn what_is_never_dialled_is_refused() {
    for (url, expected) in [
        ("http://169.254.169.254", "metadata"),
        ("http://metadata.google.internal", "metadata"),
        ("http://[::ffff:169.254.169.254]", "metadata"),
        ("http://127.0.0.1:8080", "server.listen"),
        ("http://localhost:9090", "server.listen"),
        ("http://0.0.0.0:9090", "server.listen"),
    ] {
        let error =
            Site::new(&format!("[[upstreams]]\nname = \"a\"\nurl = \"{url}\"")).load(&[]).unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
    }
}

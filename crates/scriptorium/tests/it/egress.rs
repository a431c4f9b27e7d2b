//! The way out of a company: through its proxy, with its authorities, with a certificate of one's own.

use std::fs;

use crate::support::authority::{self, Authority};
use crate::support::egress::Egress;
use crate::support::proxy::scriptorium;
use crate::support::{Proxy, Release, Reply, Setup, Upstream, eventually};

/// Nobody's name but the company's proxy knows it.
const REGISTRY: &str = "registry.test";
const CDN: &str = "cdn.test";

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

/// A registry and an archive host behind TLS, known to a proxy only.
struct Company {
    authority: Authority,
    upstream: Upstream,
    cdn: Upstream,
    egress: Egress,
}

impl Company {
    /// `None` where there is no openssl.
    fn new(credential: Option<&str>) -> Option<Self> {
        let authority = Authority::new()?;
        let (upstream, cdn) = (Upstream::start(), Upstream::start());
        upstream.publish(&lamp());
        let metadata = lamp().metadata(&format!("https://{CDN}"));
        upstream.reply(&lamp().exact(), Reply::json(&metadata));
        cdn.reply(&lamp().source(), Reply::archive(lamp().archive()));
        let egress = Egress::start_with(credential);
        for (name, behind) in [(REGISTRY, &upstream), (CDN, &cdn)] {
            let identity = authority.issue(name, &format!("DNS:{name}"));
            let behind = behind.authority().parse().unwrap();
            egress.knows(&format!("{name}:443"), authority::door(&identity, None, behind));
        }
        Some(Self { authority, upstream, cdn, egress })
    }

    fn setup(&self) -> Setup {
        let setup = Setup::before(&self.upstream).set("upstream.url", format!("https://{REGISTRY}"));
        setup.set("upstream.archive_hosts", vec![CDN]).set("upstream.ca_file", self.authority.certificate())
    }

    fn assert_serves(&self, proxy: &Proxy) {
        let answer = proxy.client().get(&lamp().download()).ok();
        assert_eq!(answer.body, lamp().archive());
        assert_eq!((self.cdn.requests(&lamp().source()), self.upstream.requests(&lamp().exact())), (1, 1));
        let asked = self.egress.asked();
        for name in [REGISTRY, CDN] {
            assert!(asked.contains(&format!("CONNECT {name}:443 HTTP/1.1")), "{asked:?}");
        }
    }
}

#[test]
fn registry_and_archive_hosts_are_reached_through_the_proxy() {
    let Some(company) = Company::new(None) else { return };
    let proxy = company.setup().set("upstream.proxy", company.egress.url()).start();
    company.assert_serves(&proxy);
}

#[test]
fn the_environments_proxy_is_the_default_and_shown() {
    let credential = "Basic dXNlcjpwYXNzOndvcmQ=";
    let Some(company) = Company::new(Some(credential)) else { return };
    let with_credential = company.egress.url().replace("http://", "http://user:pass%3Aword@");
    let mut proxy =
        company.setup().env("HTTPS_PROXY", &with_credential).env("NO_PROXY", "corp.test,10.0.0.0/8").start();
    company.assert_serves(&proxy);
    let mut check = scriptorium();
    check.args(["config", "check", "--config"]).arg(proxy.config());
    check.env("HTTPS_PROXY", &with_credential).env("NO_PROXY", "corp.test,10.0.0.0/8");
    let checked = check.output().unwrap();
    let (told, notes) =
        (String::from_utf8(checked.stdout).unwrap(), String::from_utf8(checked.stderr).unwrap());
    assert!(told.contains(&format!("proxy = \"{}/\"", company.egress.url())), "{told}");
    assert!(told.contains("proxy_auth_env = \"HTTPS_PROXY\"") && told.contains("corp.test"), "{told}");
    assert!(notes.contains("upstreams[0].proxy comes from HTTPS_PROXY"), "{notes}");
    for text in [&told, &notes, &proxy.whole_log()] {
        assert!(!text.contains("pass:word") && !text.contains("pass%3Aword"), "{text}");
    }
}

#[test]
fn a_proxy_that_wants_a_credential_gets_the_operators() {
    let Some(company) = Company::new(Some("Basic dXNlcjpwYXNzd29yZA==")) else { return };
    let setup = company.setup().set("upstream.proxy", company.egress.url());
    let mut proxy = setup
        .clone()
        .set("upstream.proxy_auth_env", "EGRESS_CREDENTIAL")
        .env("EGRESS_CREDENTIAL", "user:password")
        .start();
    company.assert_serves(&proxy);
    let log = proxy.whole_log();
    assert!(!log.contains("user:password") && !log.contains("dXNlcjpwYXNzd29yZA"));

    let proxy = setup.start();
    let problem = proxy.client().get(&lamp().index()).problem(502, "about:blank");
    assert!(
        problem["detail"].as_str().unwrap().contains("does not accept this proxy's credential"),
        "{problem}"
    );
    eventually("the cause in the log", || {
        proxy.log().contains("\"status\":\"proxy-credential\"").then_some(())
    });
}

#[test]
fn plain_http_goes_to_the_proxy_as_whole_urls() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let egress = Egress::start_with(Some("Basic dXNlcjpwYXNzd29yZA=="));
    egress.knows(REGISTRY, upstream.authority().parse().unwrap());
    let setup = Setup::before(&upstream)
        .set("upstream.url", format!("http://{REGISTRY}"))
        .set("upstream.proxy", egress.url())
        .set("upstream.proxy_auth_env", "EGRESS_CREDENTIAL");
    let proxy = setup.clone().env("EGRESS_CREDENTIAL", "user:password").start();
    proxy.client().get(&lamp().index()).ok();
    assert_eq!(egress.asked(), [format!("GET http://{REGISTRY}{} HTTP/1.1", lamp().index())]);
    let proxy = setup.env("EGRESS_CREDENTIAL", "user:wrong").start();
    let problem = proxy.client().get(&lamp().index()).problem(502, "about:blank");
    assert!(problem["detail"].as_str().unwrap().contains("credential"), "{problem}");
}

#[test]
fn who_is_exempt_is_reached_directly() {
    let (upstream, egress) = (Upstream::start(), Egress::start());
    upstream.publish(&lamp());
    let setup = || Setup::before(&upstream).set("upstream.proxy", egress.url());
    for exempt in ["127.0.0.0/8", "*"] {
        let proxy = setup().set("upstream.no_proxy", vec![exempt]).start();
        proxy.client().get(&lamp().index()).ok();
    }
    let proxy = Setup::before(&upstream).env("http_proxy", &egress.url()).start();
    proxy.client().get(&lamp().index()).ok();
    assert_eq!(egress.asked(), Vec::<String>::new(), "this machine is no affair of the environment's proxy");
    setup().start().client().get(&lamp().index()).could_not_ask();
    assert_eq!(egress.asked().len(), 1, "it was asked as the configuration says");
}

#[test]
fn the_guard_holds_through_a_proxy() {
    let (upstream, egress) = (Upstream::start(), Egress::start());
    egress.knows(REGISTRY, upstream.authority().parse().unwrap());
    upstream.publish(&lamp());
    let hosts = ["10.0.0.1", "169.254.169.254", "metadata.google.internal", "localhost", "[::1]"];
    for host in hosts {
        let mut metadata = lamp().metadata(&format!("http://{REGISTRY}"));
        metadata["dist"]["url"] = format!("http://{host}/x").into();
        upstream.reply(&lamp().exact(), Reply::json(&metadata));
        let proxy = Setup::before(&upstream)
            .set("upstream.url", format!("http://{REGISTRY}"))
            .set("upstream.archive_hosts", hosts.to_vec())
            .set("upstream.proxy", egress.url())
            .start();
        let problem = proxy.client().get(&lamp().download()).problem(502, "about:blank");
        assert!(problem["detail"].as_str().unwrap().contains("does not connect to"), "{host}: {problem}");
    }
    assert!(egress.asked().iter().all(|line| line.contains(REGISTRY)), "{:?}", egress.asked());
}

#[test]
fn a_tunnel_that_died_costs_a_read_little() {
    let Some(company) = Company::new(None) else { return };
    let proxy = company
        .setup()
        .set("upstream.proxy", company.egress.url())
        .set("upstream.read_timeout", "1s")
        .start();
    proxy.client().get("/api/v1/capabilities");
    company.egress.kill_tunnels();
    proxy.client().get(&lamp().index()).ok();
    assert_eq!(company.egress.asked().len(), 2, "a tunnel each: {:?}", company.egress.asked());
}

#[test]
fn a_reload_takes_files_that_changed() {
    let Some(company) = Company::new(None) else { return };
    let stranger = Authority::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::copy(stranger.certificate(), &file).unwrap();
    let setup = company.setup().set("upstream.proxy", company.egress.url());
    let proxy = setup.set("upstream.ca_file", file.display().to_string()).start();
    let problem = proxy.client().get(&lamp().index()).problem(502, "about:blank");
    assert!(problem["detail"].as_str().unwrap().contains("authority"), "{problem}");
    fs::copy(company.authority.certificate(), &file).unwrap();
    assert_eq!(proxy.reload().ok().json()["applied"], serde_json::json!(["upstreams"]));
    proxy.client().get(&lamp().index()).ok();
}

/// A registry that talks to whom its authority knows, by a name of this machine.
fn mutual(authority: &Authority) -> (Upstream, Setup) {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let server = authority.issue("server", "DNS:registry.localhost");
    let door = authority::door(&server, Some(authority), upstream.authority().parse().unwrap());
    let setup = Setup::before(&upstream)
        .set("upstream.url", format!("https://registry.localhost:{}", door.port()))
        .set("upstream.ca_file", authority.certificate());
    (upstream, setup)
}

#[test]
fn a_registry_that_wants_a_certificate_gets_it() {
    let Some(authority) = Authority::new() else { return };
    let (_upstream, setup) = mutual(&authority);
    let client = authority.issue("client", "DNS:client");
    let [cert, key] = [&client.cert, &client.key].map(|path| path.display().to_string());
    let proxy = setup.clone().set("upstream.client_cert", cert).set("upstream.client_key", key).start();
    proxy.client().get(&lamp().index()).ok();

    let proxy = setup.start();
    let problem = proxy.client().get(&lamp().index()).problem(502, "about:blank");
    assert!(problem["detail"].as_str().unwrap().contains("client certificate"), "{problem}");
}

#[test]
fn a_certificate_that_signs_itself_is_believed_where_it_is_listed() {
    let Some(authority) = Authority::new() else { return };
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let itself = authority.self_signed("itself", "DNS:registry.localhost");
    let door = authority::door(&itself, None, upstream.authority().parse().unwrap());
    let at = |name: &str, ca: &str| {
        Setup::before(&upstream)
            .set("upstream.url", format!("https://{name}.localhost:{}", door.port()))
            .set("upstream.ca_file", ca)
            .start()
    };
    let listed = itself.cert.display().to_string();
    at("registry", &listed).client().get(&lamp().index()).ok();
    let refused = at("other", &listed).client().get(&lamp().index()).problem(502, "about:blank");
    assert!(refused["detail"].as_str().unwrap().contains("another name"), "{refused}");
    let refused = at("registry", &authority.certificate()).client().get(&lamp().index());
    let refused = refused.problem(502, "about:blank");
    assert!(refused["detail"].as_str().unwrap().contains("authority"), "{refused}");
}

/// What `config check` says against this upstream table.
fn refused(upstream: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scriptorium.toml");
    fs::write(folder.path().join("empty.pem"), "nothing").unwrap();
    fs::write(&file, format!("[[upstreams]]\nname = \"a\"\nurl = \"https://a.example\"\n{upstream}"))
        .unwrap();
    let output = scriptorium().args(["config", "check", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{upstream}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_bad_key_is_told_with_its_file() {
    for (keys, key, expected) in [
        ("proxy = \"socks5://a\"", "upstreams[0].proxy", "http:// or https:// URL of a proxy"),
        ("proxy = \"http://u:p@a\"", "upstreams[0].proxy", "proxy_auth_env"),
        (
            "proxy = \"http://a\"\nproxy_auth_env = \"UNSET_HERE\"",
            "upstreams[0].proxy_auth_env",
            "user:password",
        ),
        ("proxy_auth_env = \"PATH\"", "upstreams[0].proxy_auth_env", "expected"),
        ("no_proxy = [\"http://a\"]", "upstreams[0].no_proxy[0]", "a host such as"),
        ("ca_file = \"empty.pem\"", "upstreams[0].ca_file", "empty.pem"),
        ("ca_file = \"missing.pem\"", "upstreams[0].ca_file", "missing.pem"),
        ("client_cert = \"empty.pem\"", "upstreams[0].client_key", "missing"),
        ("client_key = \"empty.pem\"", "upstreams[0].client_cert", "missing"),
        ("client_cert = \"empty.pem\"\nclient_key = \"empty.pem\"", "upstreams[0].client_key", "private key"),
        ("private_addresses = [\"10.0.0.0/33\"]", "upstreams[0].private_addresses[0]", "a network"),
        (
            "[[relays]]\nkind = \"nullspace\"\npath = \"/n\"\nurl = \"http://169.254.169.254\"",
            "relays[0].url",
            "metadata",
        ),
        (
            "[[relays]]\nkind = \"nullspace\"\npath = \"/n\"\nurl = \"http://127.0.0.1:8080\"",
            "relays[0].url",
            "server.listen",
        ),
        (
            "[[relays]]\nkind = \"nullspace\"\npath = \"/n\"\nurl = \"http://b\"\nca_file = \"missing.pem\"",
            "relays[0].ca_file",
            "missing.pem",
        ),
    ] {
        let told = refused(keys);
        assert!(told.contains(&format!("{key}: ")) && told.contains(expected), "{keys}: {told}");
    }
}

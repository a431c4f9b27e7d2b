//! Where Git may lead this proxy, and who gets its credential.

use serde_json::json;

use super::host::GitHost;
use super::lamp;
use crate::support::authority::{self, Authority};
use crate::support::egress::Egress;
use crate::support::{Release, Reply, Setup, Upstream, each};

/// A registry with a release that names this repository.
fn naming(repository: &str) -> (Upstream, Release) {
    let registry = Upstream::start();
    let mut release = lamp("1.0.0");
    release.dist = Some(json!({ "source": "git", "repository": repository, "ref": "v1.0.0" }));
    registry.publish(&release);
    (registry, release)
}

#[test]
fn no_host_is_asked_that_the_operator_does_not_list() {
    let host = GitHost::start();
    host.deliver(lamp("1.0.0"));
    let (registry, release) = naming(&host.repository("-acme-lamp"));
    // A host for archives is none for repositories.
    let setup = Setup::before(&registry).set("upstream.archive_hosts", vec![host.server.authority()]);
    let refusal = setup.start().client().get(&release.download()).could_not_ask();
    assert!(refusal["detail"].as_str().unwrap().contains("git_hosts"), "{refusal}");
    assert!(host.server.seen().is_empty());
    host.before(&registry).start().client().get(&release.download()).ok();
}

#[test]
fn nothing_but_http_is_spoken_and_no_private_or_metadata_address_is_dialled() {
    each(
        [
            "file:///etc",
            "ssh://git@localhost/x.git",
            "git://localhost/x.git",
            "git@localhost:x.git",
            "ext::sh -c touch% /tmp/x",
            "/x.git",
            "x.git",
            "http://user:secret@localhost:1/x.git",
            "http://169.254.169.254/latest/x.git",
            "http://10.1.2.3/x.git",
            "http://[::ffff:10.1.2.3]/x.git",
        ],
        |repository| {
            let (registry, release) = naming(repository);
            let hosts = ["localhost", "localhost:1", "169.254.169.254", "10.1.2.3", "[::ffff:a01:203]"];
            let setup = Setup::before(&registry).set("upstream.git_hosts", hosts.map(str::to_owned).to_vec());
            let mut proxy = setup.start();
            let answer = proxy.client().get(&release.download());
            assert_eq!(answer.status, 502, "{repository}: {}", answer.text());
            assert!(proxy.files("archives").is_empty());
            assert!(!proxy.whole_log().contains("secret"), "{repository}");
        },
    );
}

#[test]
fn a_redirect_is_followed_within_the_list_only() {
    let (host, other) = (GitHost::start(), Upstream::start());
    host.deliver(lamp("1.0.0"));
    let (asked, moved) = ("/moved/info/refs?service=git-upload-pack", "/-acme-lamp/.git");
    other.reply(asked, Reply::redirect(&format!("{}{moved}{}", host.server.url(), &asked["/moved".len()..])));
    let (registry, release) = naming(&format!("{}/moved", other.url()));
    let strict = Setup::before(&registry).set("upstream.git_hosts", vec![other.authority()]).start();
    strict.client().get(&release.download()).could_not_ask();
    assert!(host.server.seen().is_empty());
    let both = vec![other.authority(), host.server.authority()];
    let proxy = Setup::before(&registry).set("upstream.git_hosts", both).start();
    proxy.client().get(&release.download()).ok();
    assert_eq!(other.seen().len(), 2, "the rest is asked where the first answer came from");
}

#[test]
fn the_credential_goes_to_its_host_alone() {
    for (variable, sent) in [("t0ken", "eC1hY2Nlc3MtdG9rZW46dDBrZW4="), ("bot:pass", "Ym90OnBhc3M=")] {
        let (host, other) = (GitHost::start(), GitHost::start());
        let lamps = host.deliver(lamp("1.0.0"));
        let bulb = other.deliver(Release::new("bulb", "1.0.0"));
        let registry = Upstream::start();
        [&lamps, &bulb].into_iter().for_each(|release| registry.publish(release));
        let both = vec![host.server.authority(), other.server.authority()];
        let setup = Setup::before(&registry).set("upstream.git_hosts", both);
        let mut proxy = setup.set("upstream.git_token_env", "GIT_READ").env("GIT_READ", variable).start();
        proxy.client().get(&lamps.download()).ok();
        proxy.client().get(&bulb.download()).ok();
        let sent = format!("Basic {sent}");
        let given = |of: &Upstream| {
            of.seen().iter().map(|seen| seen.header("authorization").map(str::to_owned)).collect::<Vec<_>>()
        };
        assert!(given(&host.server).iter().all(|given| given.as_deref() == Some(&*sent)));
        assert!(given(&other.server).iter().all(Option::is_none));
        assert!(given(&registry).iter().all(Option::is_none));
        let log = proxy.whole_log();
        assert!(!log.contains(variable) && !log.contains(&sent));
    }
}

#[test]
fn a_host_with_a_certificate_of_the_company_is_reached_through_its_proxy() {
    let Some(authority) = Authority::new() else { return };
    let (host, egress) = (GitHost::start(), Egress::start());
    host.deliver(lamp("1.0.0"));
    let (registry, release) = naming("https://git.test/-acme-lamp/.git");
    for (name, behind) in [("registry.test", &registry), ("git.test", &host.server)] {
        let identity = authority.issue(name, &format!("DNS:{name}"));
        let door = authority::door(&identity, None, behind.authority().parse().unwrap());
        egress.knows(&format!("{name}:443"), door);
    }
    let setup = Setup::before(&registry).set("upstream.url", "https://registry.test");
    let setup = setup.set("upstream.git_hosts", vec!["git.test"]).set("upstream.proxy", egress.url());
    let proxy = setup.set("upstream.ca_file", authority.certificate()).start();
    proxy.client().get(&release.download()).ok();
    assert_eq!(host.fetches(), 1);
    assert!(egress.asked().iter().any(|asked| asked.starts_with("CONNECT git.test:443 ")));
    // Who is in clear where the registry is not is not asked.
    let (registry, release) = naming("http://git.test/-acme-lamp/.git");
    let setup = Setup::before(&registry).set("upstream.url", "https://registry.test");
    let setup = setup.set("upstream.git_hosts", vec!["git.test"]).set("upstream.proxy", egress.url());
    let identity = authority.issue("clear", "DNS:registry.test");
    egress
        .knows("registry.test:443", authority::door(&identity, None, registry.authority().parse().unwrap()));
    let proxy = setup.set("upstream.ca_file", authority.certificate()).start();
    proxy.client().get(&release.download()).could_not_ask();
    assert!(egress.asked().iter().all(|asked| asked.starts_with("CONNECT ")));
}

#[test]
fn a_budget_counts_what_git_asks() {
    let (host, registry) = (GitHost::start(), Upstream::start());
    let release = host.deliver(lamp("1.0.0"));
    registry.publish(&release);
    // Index and exact metadata leave two requests, and Git needs three.
    let proxy = host.before(&registry).set("upstream.requests_per_minute", 4).start();
    let answer = proxy.client().get(&release.download());
    assert_eq!((answer.status, host.fetches()), (503, 0), "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
}

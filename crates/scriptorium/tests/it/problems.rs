//! Snapshots of every problem document a client can get. What differs between runs is replaced;
//! everything else, down to the last word of advice, is part of what is promised.

use crate::support::catalogue::manifest;
use crate::support::tarball::Entry;
use crate::support::{Answer, Proxy, Release, Reply, Setup, Upstream, eventually};

/// Headers that belong to an error.
const TELLING: [&str; 6] =
    ["content-type", "cache-control", "allow", "retry-after", "content-range", "cache-status"];

fn shown(answer: &Answer, replaced: &[(String, &str)]) -> String {
    let mut text = format!("{}\n", answer.status);
    for name in TELLING {
        text.extend(answer.header(name).map(|value| format!("{name}: {}\n", ageless(value))));
    }
    text.push_str(&format!("\n{}", serde_json::to_string_pretty(&answer.json()).unwrap()));
    replaced.iter().fold(timeless(&text), |text, (what, name)| text.replace(what, name))
}

/// A text with a word in place of every RFC 3339 instant.
fn timeless(text: &str) -> String {
    let is_instant = |at: usize| {
        let form = text.as_bytes()[at..].iter().take(11).map(|byte| match byte {
            b'0'..=b'9' => b'0',
            byte => *byte,
        });
        form.eq(*b"0000-00-00T")
    };
    let Some(at) = (0..text.len()).find(|at| is_instant(*at)) else { return text.to_owned() };
    let rest = text[at..].split_once('Z').map_or("", |(_, rest)| rest);
    [&text[..at], "TIME", &timeless(rest)].concat()
}

/// A header's value without the seconds left, which depend on the moment.
fn ageless(value: &str) -> &str {
    value.split_once("max-age=").map_or(value, |(before, _)| before.trim_end_matches(", "))
}

/// Asks for a target that is refused and compares the answer with its snapshot.
fn snapshot(name: &str, proxy: &Proxy, upstream: &Upstream, target: &str) {
    let answer = proxy.client().get_with(target, "x-request-id", "snapshot");
    let replaced = [(upstream.authority(), "UPSTREAM"), (proxy.authority(), "PROXY")];
    insta::assert_snapshot!(name, shown(&answer, &replaced));
}

fn lamp() -> Release {
    Release::new("lamp", "1.0.0")
}

#[test]
fn problems_of_requests() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    snapshot("unknown-route", &proxy, &upstream, "/nowhere");
    snapshot("invalid-name", &proxy, &upstream, "/api/v1/index/volumes/Lamp");
    snapshot("invalid-version", &proxy, &upstream, "/api/v1/volumes/lamp/1.0");
    snapshot("bad-search-limit", &proxy, &upstream, "/api/v1/search?limit=0");
    snapshot("bad-search-offset", &proxy, &upstream, "/api/v1/search?offset=-1");
    snapshot("bad-search-type", &proxy, &upstream, "/api/v1/search?type=gadget");
    snapshot("unheard-of", &proxy, &upstream, &lamp().index());
    upstream.publish(&lamp());
    let method = proxy.client().send(
        "POST",
        &lamp().index(),
        &[("content-length", "0"), ("x-request-id", "snapshot")],
    );
    insta::assert_snapshot!("wrong-method", shown(&method, &[]));
    let fields = [("range", "bytes=99999-"), ("x-request-id", "snapshot")];
    insta::assert_snapshot!(
        "impossible-range",
        shown(&proxy.client().send("GET", &lamp().download(), &fields), &[])
    );
}

#[test]
fn problems_of_an_upstream_that_refuses() {
    for (status, slug) in
        [(403, "authorization-failed"), (404, "not-found"), (409, "inconsistent-registry-state")]
    {
        let upstream = Upstream::start();
        upstream.otherwise(Reply::problem(status, slug, "The registry's title", "The registry's detail."));
        let proxy = Setup::before(&upstream).start();
        snapshot(&format!("refused-{status}"), &proxy, &upstream, &lamp().exact());
        snapshot(&format!("refused-{status}-again"), &proxy, &upstream, &lamp().exact());
    }
}

#[test]
fn problems_of_an_upstream_that_fails() {
    let failures = [
        ("upstream-500", Reply::failure(500)),
        (
            "upstream-rate-limited",
            Reply::problem(429, "rate-limited", "Rate limited", "Slow down.").with("retry-after", "7"),
        ),
        ("upstream-garbage", Reply::document("{ \"items\": [")),
        ("upstream-redirects-away", Reply::redirect("http://169.254.169.254/latest")),
        ("upstream-silent", Reply::silence()),
    ];
    for (name, reply) in failures {
        let upstream = Upstream::start();
        upstream.otherwise(reply);
        let proxy = Setup::before(&upstream).set("upstream.read_timeout", "1s").start();
        snapshot(name, &proxy, &upstream, &lamp().index());
    }
}

#[test]
fn problems_of_an_upstream_that_is_gone() {
    let upstream = Upstream::start();
    let mut proxy = Setup::before(&upstream).start();
    upstream.down();
    snapshot("upstream-unreachable", &proxy, &upstream, &lamp().index());
    proxy.restart_as(|setup| setup.set("cache.offline", true));
    snapshot("offline", &proxy, &upstream, &lamp().index());
}

#[test]
fn problems_of_archives() {
    let archive = |release: &Release| Reply::archive(release.archive());
    let whole = lamp().archive();
    let damages = [
        ("archive-digest", archive(&lamp().adding(Entry::file("extra.txt", "x")))),
        ("archive-traversal", archive(&lamp().adding(Entry::file("../escape", "x")))),
        (
            "archive-symlink",
            archive(&lamp().adding(Entry::special("link", tar::EntryType::Symlink, "volume.toml"))),
        ),
        ("archive-duplicate", archive(&lamp().adding(Entry::file("volume.toml", "x")))),
        ("archive-unpacked", archive(&lamp().adding(Entry::file("zeros", vec![0; 2 << 20])))),
        ("archive-cut", Reply::archive(whole.clone()).cut_after(whole.len() / 2)),
        ("archive-not-gzip", Reply::archive("<html>")),
        ("archive-failure", Reply::failure(500)),
        ("archive-missing", Reply::failure(404)),
        ("archive-elsewhere", Reply::redirect("http://169.254.169.254/latest")),
    ];
    for (name, reply) in damages {
        let upstream = Upstream::start();
        upstream.publish(&lamp());
        upstream.reply(&lamp().source(), reply);
        let proxy = Setup::before(&upstream).set("limits.max_unpacked", "1MiB").start();
        snapshot(name, &proxy, &upstream, &lamp().download());
    }
}

#[test]
fn problems_of_releases() {
    let grasping = "\n[[components]]\ntype = \"tool\"\nname = \"grasping\"\nentrypoint = \"x\"\npermissions = { shell = \"allow\" }\n";
    let releases = [
        ("release-identity", lamp().manifest(&manifest("lantern", "1.0.0"))),
        ("release-escalation", lamp().manifest(&(manifest("lamp", "1.0.0") + grasping))),
        ("release-manifest", lamp().manifest("[volume")),
    ];
    for (name, release) in releases {
        let upstream = Upstream::start();
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).start();
        snapshot(name, &proxy, &upstream, &release.download());
    }
}

#[test]
fn problems_of_metadata() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let mut metadata = lamp().metadata(&upstream.url());
    metadata["purl"] = "pkg:volume/lantern@1.0.0".into();
    upstream.reply(&lamp().exact(), Reply::json(&metadata));
    let proxy = Setup::before(&upstream).start();
    snapshot("metadata-identity", &proxy, &upstream, &lamp().exact());

    let git = Release::new("hammer", "1.0.0");
    let mut metadata = git.metadata(&upstream.url());
    metadata["dist"] =
        serde_json::json!({ "source": "git", "repository": "https://git.example/x.git", "ref": "v1" });
    upstream.reply(&git.exact(), Reply::json(&metadata));
    snapshot("archive-of-git", &proxy, &upstream, &git.download());
}

#[test]
fn problem_of_a_replaced_release() {
    let upstream = Upstream::start();
    upstream.publish(&lamp());
    let proxy = Setup::before(&upstream).short_lived().start();
    proxy.client().get(&lamp().download()).ok();
    upstream.publish(&lamp().adding(Entry::file("extra.txt", "x")));
    eventually("the replacement to be noticed", || {
        (proxy.client().get(&lamp().exact()).status == 409).then_some(())
    });
    snapshot("release-replaced", &proxy, &upstream, &lamp().exact());
}

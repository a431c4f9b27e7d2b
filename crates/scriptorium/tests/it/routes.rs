//! The route table from outside: every read route in both spellings, and what never reaches an upstream.

use serde_json::{Value, json};

use crate::support::{Release, Reply, Setup, Upstream};

#[test]
fn every_read_route_is_served() {
    let upstream = Upstream::start();
    let documents = [
        ("/api/v1/search", json!({ "items": [], "total": 0, "limit": 5, "offset": 0 })),
        ("/api/v1/advisories", json!({ "items": [] })),
        ("/api/v1/advisories/ACME-2026-0001", json!({ "id": { "local": "ACME-2026-0001" } })),
    ];
    let proxy = Setup::before(&upstream).start();
    for (target, document) in documents {
        upstream.reply(target, Reply::json(&document));
        assert_eq!(proxy.client().get(target).ok().json(), document, "{target}");
        assert_eq!(proxy.client().head(target).status, 200, "{target}");
    }
}

#[test]
fn scoped_and_unscoped_volumes_are_served() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    for name in ["lamp", "@acme/lamp"] {
        let release = Release::new(name, "1.0.0-rc.1+build.5");
        upstream.publish(&release);
        let trust = ["summary", "detail"].map(|view| format!("{}/trust/{view}", release.exact()));
        upstream.reply(&trust[0], Reply::json(&release.trust_summary()));
        upstream.reply(&trust[1], Reply::json(&release.trust_detail()));
        for target in [release.index(), release.exact(), release.download()].iter().chain(&trust) {
            let plain = proxy.client().get(target).ok();
            let escaped = proxy.client().get(&target.replace('@', "%40")).ok();
            assert_eq!(plain.body, escaped.body, "{target}");
            assert!(escaped.is_hit(), "{target}: two spellings of one resource");
        }
    }
}

#[test]
fn an_invalid_name_is_not_found_and_stays_here() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    let long = "a".repeat(129);
    let long_scope = format!("@{}/lamp", "a".repeat(65));
    let names = [
        "Lamp",
        "la_mp",
        "-lamp",
        "lamp-",
        "la--mp",
        "l%C3%A4mp",
        "..",
        "%2e%2e",
        "..%2f..%2fetc",
        "lamp%00",
        "lamp%0d%0a",
        "la%20mp",
        "@acme",
        "@/lamp",
        "@acme/",
        "acme/lamp",
        "@Acme/lamp",
        "@acme/lamp/extra",
        "%4",
        "%zz",
        "",
        &long,
        &long_scope,
    ];
    for name in names {
        for target in [format!("/api/v1/index/volumes/{name}"), format!("/archives/{name}/1.0.0.tar.gz")] {
            proxy.client().get(&target).problem(404, "not-found");
        }
    }
    assert_eq!(upstream.connections(), 0, "{:?}", upstream.seen());
}

#[test]
fn an_invalid_version_is_not_found_and_stays_here() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    let versions = [
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0.0",
        "latest",
        "^1.0.0",
        "1.0.0%2f..",
        "-1.0.0",
    ];
    for version in versions {
        proxy.client().get(&format!("/api/v1/volumes/lamp/{version}")).problem(404, "not-found");
        proxy.client().get(&format!("/archives/lamp/{version}.tar.gz")).problem(404, "not-found");
        proxy
            .client()
            .get(&format!("/api/v1/volumes/lamp/{version}/trust/summary"))
            .problem(404, "not-found");
    }
    assert_eq!(upstream.connections(), 0, "{:?}", upstream.seen());
}

#[test]
fn other_paths_are_not_found_and_stay_here() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    let targets = [
        "/",
        "/api",
        "/api/v2/capabilities",
        "/api/v1/capabilities/",
        "//api/v1/capabilities",
        "/archives/lamp/1.0.0.zip",
        "/archives/lamp/1.0.0",
        "/api/v1/volumes/lamp/1.0.0/trust",
        "/livez",
        "/readyz",
        "/metrics",
        "/admin/v1/status",
        "/api/v1/advisories/",
        "/api/v1/advisories/..%2f..",
        "/%",
        "/api/v1/../v1/capabilities",
    ];
    for target in targets {
        proxy.client().get(target).problem(404, "not-found");
    }
    assert_eq!(upstream.connections(), 0, "{:?}", upstream.seen());
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    let release = Release::new("lamp", "1.0.0");
    for target in
        [release.index(), release.download(), "/api/v1/capabilities".to_owned(), "/api/v1/search".to_owned()]
    {
        for method in ["PUT", "PATCH", "DELETE", "POST", "OPTIONS", "BREW"] {
            let answer = proxy.client().send(method, &target, &[("content-length", "0")]);
            answer.problem(405, "about:blank");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {target}");
        }
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn bad_search_parameters_are_refused_here() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    let queries = [
        "limit=0",
        "limit=101",
        "limit=abc",
        "limit=-1",
        "limit=",
        "limit=1.5",
        "offset=-1",
        "offset=x",
        "type=gadget",
        "type=",
    ];
    for query in queries {
        let problem =
            proxy.client().get(&format!("/api/v1/search?{query}")).problem(400, "validation-failed");
        let parameter = query.split('=').next().unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(parameter), "{problem}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn good_search_parameters_reach_the_upstream() {
    let upstream = Upstream::start();
    upstream
        .reply("/api/v1/search", Reply::json(&json!({ "items": [], "total": 0, "limit": 20, "offset": 0 })));
    let proxy = Setup::before(&upstream).start();
    let query = "q=warm%20light&type=mcp-server&runtime=lantern&provider=x&keyword=k&publisher=acme&limit=100&offset=40";
    proxy.client().get(&format!("/api/v1/search?{query}")).ok();
    let seen = upstream.seen()[0].target.clone();
    for parameter in query.split('&') {
        let spelt_with_plus = parameter.replace("%20", "+");
        assert!(seen.contains(parameter) || seen.contains(&spelt_with_plus), "{parameter} is not in {seen}");
    }
    assert!(!proxy.client().get("/api/v1/search?q=other").ok().is_hit(), "another query is another resource");
}

#[test]
fn routing_takes_the_first_match_and_never_falls_through() {
    let (private, public) = (Upstream::start(), Upstream::start());
    let (scoped, tool, other) = (
        Release::new("@acme/lamp", "1.0.0"),
        Release::new("tools-saw", "1.0.0"),
        Release::new("lamp", "1.0.0"),
    );
    private.publish(&tool);
    public.publish(&scoped);
    public.publish(&other);
    let proxy = Setup::before(&private)
        .set("upstream.volumes", vec!["@acme/*", "tools-*"])
        .upstream("everything", &public.url())
        .set("upstream.retries", 0)
        .start();
    proxy.client().get(&tool.index()).ok();
    proxy.client().get(&other.download()).ok();
    proxy.client().get(&scoped.index()).problem(404, "not-found");
    assert_eq!(public.requests(&scoped.index()), 0, "a private name was asked for in public");
    assert_eq!(private.requests(&other.index()), 0);
}

#[test]
fn an_upstream_may_live_below_a_path() {
    let (upstream, release) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    let base = upstream.url() + "/registry";
    upstream.reply(
        &format!("/registry{}", release.index()),
        Reply::json(&json!({ "items": [release.row(&base)] })),
    );
    upstream.reply(&format!("/registry{}", release.exact()), Reply::json(&release.metadata(&base)));
    upstream.reply(&format!("/registry{}", release.source()), Reply::archive(release.archive()));
    let proxy = Setup::before(&upstream).set("upstream.url", base.as_str()).start();
    let index = proxy.client().get(&release.index()).ok();
    assert_eq!(
        index.json()["items"][0]["release"]["url"],
        format!("http://{}{}", proxy.authority(), release.exact())
    );
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
}

#[test]
fn capabilities_say_what_this_proxy_can_do() {
    let upstream = Upstream::start();
    let claimed = json!({
        "schemaVersion": "1", "specVersion": "0.1.0-rc.1", "apiVersion": "v1",
        "scopePolicy": { "scopesSupported": true, "scopelessSupported": true, "scopesRequired": false },
        "deliveryModes": ["cdn", "git"],
        "apis": { "trustMetadata": true, "versionIndex": true, "releaseUploads": true, "trustUploads": true, "advisories": true, "com.acme": 1 },
        "uploadProfiles": { "releaseUploads": ["http-put"], "trustUploads": ["http-put"] },
        "extensions": { "com.acme": { "anything": [1, 2] } },
        "cache": { "maxAgeSeconds": 60, "revalidate": true },
    });
    upstream.reply("/api/v1/capabilities", Reply::json(&claimed));
    let proxy = Setup::before(&upstream).start();
    let shown = proxy.client().get("/api/v1/capabilities").ok().json();
    let apis = json!({
        "trustMetadata": true, "versionIndex": true, "releaseUploads": false, "trustUploads": false, "advisories": true, "com.acme": 1
    });
    assert_eq!(shown["apis"], apis);
    for member in ["schemaVersion", "specVersion", "apiVersion", "scopePolicy", "extensions"] {
        assert_eq!(shown[member], claimed[member], "{member}");
    }
    let profile = |uploads: &str| shown["uploadProfiles"][uploads].as_array().is_none_or(Vec::is_empty);
    assert!(
        profile("releaseUploads") && profile("trustUploads") || shown["uploadProfiles"] == Value::Null,
        "{shown}"
    );
}

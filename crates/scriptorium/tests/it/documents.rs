//! Documents pass through with their links turned towards this proxy and everything else untouched.

use serde_json::{Value, json};

use crate::support::{Release, Reply, Setup, Upstream};

/// Document text without the space between tokens.
fn squeezed(text: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    text.chars()
        .filter(|&character| {
            let keep = inside || !character.is_whitespace();
            if character == '"' && !escaped {
                inside = !inside;
            }
            escaped = inside && character == '\\' && !escaped;
            keep
        })
        .collect()
}

/// The path of a link on this proxy.
fn path<'a>(link: &'a Value, base: &str) -> &'a str {
    link.as_str().unwrap().strip_prefix(base).unwrap_or_else(|| panic!("{link} does not start with {base}"))
}

#[test]
fn links_lead_back_here() {
    for name in ["lamp", "@acme/lamp"] {
        let (upstream, release) = (Upstream::start(), Release::new(name, "1.0.0"));
        upstream.publish(&release);
        let proxy = Setup::before(&upstream).start();
        let here = format!("http://{}", proxy.authority());
        let index = proxy.client().get(&release.index()).ok();
        assert!(!index.text().contains(&upstream.authority()), "{}", index.text());
        let exact = proxy.client().get(path(&index.json()["items"][0]["release"]["url"], &here)).ok();
        assert!(!exact.text().contains(&upstream.authority()), "{}", exact.text());
        let dist = &exact.json()["dist"];
        assert_eq!((&dist["source"], &dist["mediaType"]), (&json!("cdn"), &json!("application/gzip")));
        assert_eq!(proxy.client().get(path(&dist["url"], &here)).ok().body, release.archive());
    }
}

#[test]
fn links_follow_the_host_that_was_asked() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    for host in ["volumes.example:8443", "other.example", &proxy.authority()] {
        let index = proxy.client().get_with(&release.index(), "host", host).ok();
        path(&index.json()["items"][0]["release"]["url"], &format!("http://{host}/"));
    }
    assert_eq!(upstream.requests(&release.index()), 1, "one stored document serves every name of this proxy");
}

#[test]
fn links_follow_the_public_url() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let base = "https://volumes.corp.example/mirror";
    let proxy = Setup::before(&upstream).set("server.public_url", base).start();
    let exact = proxy.client().get_with(&release.exact(), "host", "evil.example").ok();
    assert_eq!(exact.json()["dist"]["url"], format!("{base}{}", release.download()));
    assert!(!exact.text().contains("evil.example"));
}

#[test]
fn a_host_that_is_no_host_does_not_get_into_a_document() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = Setup::before(&upstream).start();
    for host in
        ["evil\"example", "a b", "user@evil.example", "evil.example/path", "evil.example#x", "<script>"]
    {
        let answer = proxy.client().get_with(&release.exact(), "host", host);
        assert_eq!(answer.status, 400, "{host}: {}", answer.text());
    }
}

#[test]
fn a_git_release_passes_with_its_locator() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let mut metadata = release.metadata(&upstream.url());
    let dist = json!({ "source": "git", "repository": "https://git.example/lamp.git", "ref": "9fceb02d0ae598e95dc970b74767f19372d61af8" });
    metadata["dist"] = dist.clone();
    upstream.reply(&release.exact(), Reply::json(&metadata));
    let proxy = Setup::before(&upstream).start();
    assert_eq!(proxy.client().get(&release.exact()).ok().json()["dist"], dist);
    assert!(proxy.client().get(&release.download()).status >= 400, "there is no archive of a git release");
}

#[test]
fn unknown_members_their_order_and_odd_numbers_survive() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let odd = r#""zebra":1.10,"apple":[1e400,-0,0.1e-7,123456789012345678901234567890,1.0],"Apple":{"":null,"a/b":"c"},
        "text":"caf\u00e9 \ud83d\ude00 \/ \u2028 \" tab\t","mango":{"b":1,"a":2,"url":"http://elsewhere.example/x"}"#;
    let row = format!(
        r#"{{ {odd}, "version":"1.0.0","status":{{"state":"available","since":1.50}},"release":{{"url":"URL","x-extra":true}},"dependencies":{{"zed":"^1.0.0","abc":"~2.1.0"}} }}"#
    );
    let document = format!(r#"{{ "before":1.10, "items":[{row}], "after":[] }}"#);
    upstream.reply(
        &release.index(),
        Reply::document(document.replace("URL", &(upstream.url() + &release.exact()))),
    );
    let proxy = Setup::before(&upstream).start();
    let shown = proxy.client().get(&release.index()).ok().text();
    let here = format!("http://{}{}", proxy.authority(), release.exact());
    assert_eq!(squeezed(&shown), squeezed(&document.replace("URL", &here)));
}

#[test]
fn exact_metadata_keeps_what_it_has_around_the_link() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let mut metadata = release.metadata(&upstream.url());
    metadata["externalDependencies"] = json!([{ "purl": "pkg:npm/x", "declarationKey": "k",
        "purpose": "runtime", "constraint": "vers:npm/>=1.0.0", "components": ["guide"] }]);
    metadata["dist"]["size"] = json!(12345);
    metadata["status"]["since"] = json!("2026-01-01T00:00:00Z");
    metadata["url"] = json!("http://elsewhere.example/not-a-link-of-ours");
    upstream.reply(&release.exact(), Reply::json(&metadata));
    let proxy = Setup::before(&upstream).start();
    let shown = proxy.client().get(&release.exact()).ok();
    metadata["dist"]["url"] = format!("http://{}{}", proxy.authority(), release.download()).into();
    assert_eq!(squeezed(&shown.text()), metadata.to_string());
}

#[test]
fn a_document_that_is_too_large_is_not_read_to_its_end() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let filler = "x".repeat(8 << 20);
    upstream.reply(&release.index(), Reply::json(&json!({ "items": [], "filler": filler })));
    let proxy = Setup::before(&upstream).set("limits.max_document", "64KiB").start();
    proxy.client().get(&release.index()).could_not_ask();
    assert!(upstream.requests(&release.index()) >= 1);
}

#[test]
fn deeply_nested_json_harms_nobody() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    let depth = 200_000;
    upstream.reply(
        &release.index(),
        Reply::document(format!("{{\"items\":{}{}}}", "[".repeat(depth), "]".repeat(depth))),
    );
    let mut proxy = Setup::before(&upstream).start();
    proxy.client().get(&release.index()).could_not_ask();
    assert!(proxy.is_running());
}

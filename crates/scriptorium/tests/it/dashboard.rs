//! The pages of the admin port for people, as a browser gets them.

use crate::support::{Answer, Lie, Proxy, Release, Setup, Upstream, eventually};

fn page(proxy: &Proxy, target: &str) -> String {
    let page = proxy.admin().get(target).ok();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = page.text();
    for foreign in ["<script", "style=", "src=", "http-equiv", "onload"] {
        assert!(!text.contains(foreign), "{foreign} on {target}: {text}");
    }
    text
}

/// A registry with one release, and a proxy that has served it.
fn warmed() -> (Upstream, Proxy, Release) {
    let (upstream, lamp) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    upstream.publish(&lamp);
    let proxy = Setup::before(&upstream).start();
    for target in [lamp.index(), lamp.exact(), lamp.download()] {
        proxy.client().get(&target).ok();
    }
    (upstream, proxy, lamp)
}

#[test]
fn an_empty_proxy_shows_pages_that_load_nothing_from_elsewhere() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    let text = page(&proxy, "/");
    assert!(text.contains("Nothing needs attention") && text.contains("Nothing was looked up."), "{text}");
    assert_eq!(
        proxy.admin().get("/").header("content-security-policy"),
        Some(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; \
             base-uri 'none'"
        )
    );
    for (asset, kind) in [("/style.css", "text/css; charset=utf-8"), ("/icon.svg", "image/svg+xml")] {
        assert_eq!(proxy.admin().get(asset).ok().header("content-type"), Some(kind));
        proxy.client().get(asset).problem(404, "not-found");
    }
    for target in ["/", "/search", "/release/lamp/1.0.0", "/style.css"] {
        // A page that tells ages may be one digit longer by the second question.
        eventually(&format!("one length of {target}"), || {
            let (head, whole) = (proxy.admin().head(target).ok(), proxy.admin().get(target).ok());
            let is_same = head.header("content-length") == whole.header("content-length");
            (head.body.is_empty() && is_same).then_some(())
        });
    }
    assert!(page(&proxy, "/search?q=lamp").contains("0 releases of 0 volumes"));
    assert!(page(&proxy, "/release/lamp/1.0.0").contains("Nothing is known of this release here."));
    let none = proxy.admin().get("/release/lamp/one");
    assert!(none.status == 404 && none.text().contains("No such page"), "{}", none.text());
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn the_page_counts_what_the_metrics_count() {
    let upstream = Upstream::start();
    let lamp = Release::new("lamp", "1.0.0");
    upstream.publish(&lamp);
    let proxy = Setup::before(&upstream).start();
    for _ in 0..4 {
        proxy.client().get(&lamp.index()).ok();
    }
    let text = page(&proxy, "/");
    let metrics = proxy.admin().get("/metrics").ok().text();
    for line in [
        r#"scriptorium_cache_lookups_total{outcome="hit",resource="index"} 3"#,
        r#"scriptorium_cache_lookups_total{outcome="miss",resource="index"} 1"#,
        r#"scriptorium_requests_total{class="anonymous",route="index",status="200"} 4"#,
        r#"scriptorium_upstream_requests_total{resource="index",status="200",upstream="public"} 1"#,
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    for period in ["Last hour, by minute", "Last day, by quarter of an hour"] {
        assert!(text.contains(&format!("{period}: 3 hit, 0 stale, 1 miss, 0 refused")), "{text}");
    }
    let clients =
        r#"<td>anonymous</td><td class="number">4</td><td class="number">4</td><td class="number">0</td>"#;
    assert!(text.contains(clients) && text.contains("1 exchange · 200: 1"), "{text}");
}

#[test]
fn an_upstream_that_is_gone_needs_attention_until_it_is_asked_again() {
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    upstream.down();
    for name in ["a", "b", "c", "d", "e", "f"] {
        proxy.client().get(&format!("/api/v1/index/volumes/lamp-{name}")).could_not_ask();
    }
    let text = page(&proxy, "/");
    assert!(text.contains("Needs attention") && text.contains("<title>(1) Scriptorium</title>"), "{text}");
    for part in ["The upstream public fails", "Last failure", "6 failed", "Ask it again now"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_release_that_diverges_is_named_first_and_its_page_draws_its_life() {
    let (upstream, lamp) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    upstream.publish(&lamp);
    Lie::RowState("yanked").tell(&upstream, &lamp);
    let proxy = Setup::before(&upstream).start();
    proxy.client().get(&lamp.exact()).problem(409, "inconsistent-registry-state");
    let text = page(&proxy, "/");
    assert!(text.contains("@acme/lamp@1.0.0 diverges (state) since"), "{text}");
    assert!(text.contains(r#"<a href="/release/@acme/lamp/1.0.0">Look</a>"#), "{text}");
    let release = page(&proxy, "/release/@acme/lamp/1.0.0");
    assert!(
        release.contains("a divergence was found (state)") && release.contains("<circle class=\"bad\""),
        "{release}"
    );
}

#[test]
fn the_page_of_a_release_says_what_explain_says() {
    let (_upstream, proxy, lamp) = warmed();
    let text = page(&proxy, "/release/@acme/lamp/1.0.0");
    for part in [
        "first seen here",
        "pinned to sha256:",
        "the index of public said available",
        "exact metadata of public said available",
        "<circle class=\"good\"",
        "the archive is here, verified as a whole",
        "The archive is here and was verified as a whole",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let explained = proxy.explain_by_command(&["@acme/lamp@1.0.0"]);
    let explained = String::from_utf8(explained.stdout).unwrap();
    let pin = explained.lines().find(|line| line.trim_start().starts_with("pin ")).unwrap();
    assert!(text.contains(pin), "no {pin:?} in {text}");
    assert!(text.contains(&lamp.integrity()), "{text}");
}

#[test]
fn a_search_finds_names_that_contain_a_text_and_lists_a_volume_that_is_named() {
    let (upstream, proxy, _) = warmed();
    let stored = ["lamp-shade", "desk"].map(|name| Release::new(name, "2.0.0"));
    for release in &stored {
        upstream.publish(release);
        proxy.client().get(&release.exact()).ok();
    }
    let text = page(&proxy, "/search?q=lamp");
    assert!(text.contains("2 releases of 2 volumes"), "{text}");
    assert!(
        text.contains("/release/@acme/lamp/1.0.0") && text.contains("/release/lamp-shade/2.0.0"),
        "{text}"
    );
    assert!(!text.contains("desk") && !text.contains("The list is cut"), "{text}");
    let named = page(&proxy, "/search?q=%40acme%2Flamp%401.0.0");
    assert!(named.contains("The page of ") && named.contains("<td>available</td><td>here</td>"), "{named}");
    assert!(page(&proxy, "/search?q=%3Cscript%3E").contains("&lt;script&gt;"));
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn send(proxy: &Proxy, target: &str, fields: &[(&str, &str)], form: &str) -> Answer {
    proxy.admin().send_body("POST", target, fields, form.as_bytes())
}

/// The `Origin` of the pages of a proxy.
fn own(proxy: &Proxy) -> String {
    format!("http://{}", proxy.admin().0)
}

/// The page to which the answer to a form sends the browser.
#[track_caller]
fn followed(proxy: &Proxy, answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    page(proxy, answer.header("location").unwrap())
}

#[test]
fn a_form_is_taken_from_our_own_pages_only() {
    let (upstream, proxy, lamp) = warmed();
    let own = own(&proxy);
    let form = "volume=%40acme%2Flamp";
    for target in ["/act/invalidate", "/act/reload", "/act/resume", "/act/sync", "/login", "/logout"] {
        for from in [
            &[][..],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
            &[("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")],
        ] {
            let fields: Vec<_> = from.iter().copied().chain([FORM]).collect();
            let refused = send(&proxy, target, &fields, form);
            assert_eq!(refused.status, 403, "{target} {from:?}: {}", refused.text());
        }
        for content in [Some("application/json"), Some("text/plain"), None] {
            let content = content.map(|content| ("content-type", content));
            let fields: Vec<_> = content.into_iter().chain([("origin", own.as_str())]).collect();
            assert_eq!(send(&proxy, target, &fields, form).status, 415, "{target} {content:?}");
        }
    }
    for target in ["/act/invalidate", "/act/reload", "/act/resume", "/act/sync", "/logout"] {
        proxy.admin().get(target).problem(405, "about:blank");
    }
    assert!(proxy.client().get(&lamp.index()).ok().is_hit(), "something was invalidated");
    assert_eq!(upstream.requests(&lamp.index()), 1);
}

#[test]
fn a_form_acts_and_the_page_says_so() {
    let (upstream, lamp) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    upstream.publish(&lamp);
    let folder = tempfile::TempDir::new().unwrap();
    let record = folder.path().join("audit.jsonl");
    let proxy = Setup::before(&upstream).set("log.audit", record.to_str().unwrap()).start();
    proxy.client().get(&lamp.index()).ok();
    let own = own(&proxy);
    let origin = [FORM, ("origin", own.as_str())];
    let answer = send(&proxy, "/act/invalidate", &origin, "volume=%40acme%2Flamp");
    assert!(followed(&proxy, &answer).contains("The next request for @acme/lamp asks the registry."));
    proxy.client().get(&lamp.index()).ok();
    assert_eq!(upstream.requests(&lamp.index()), 2, "it is asked again");
    let site = [FORM, ("sec-fetch-site", "same-origin")];
    let answer = send(&proxy, "/act/invalidate", &site, "volume=%40acme%2Flamp&version=1.0.0");
    assert!(answer.header("location").unwrap().starts_with("/release/@acme/lamp/1.0.0?said="));
    assert!(followed(&proxy, &answer).contains("The next request for @acme/lamp@1.0.0 asks the registry."));
    for (target, form, says) in [
        ("/act/invalidate", "volume=%3Cscript%3E", "Refused: "),
        ("/act/reload", "", "The configuration was read again: applied 0, after a restart 0."),
        ("/act/resume", "upstream=public", "public was not paused."),
        ("/act/resume", "upstream=other", "Refused: no upstream has this name"),
        ("/act/sync", "mirror=other", "Refused: no mirror has this name"),
    ] {
        let shown = followed(&proxy, &send(&proxy, target, &origin, form));
        assert!(shown.contains(says), "no {says:?} after {target}: {shown}");
    }
    let record = std::fs::read_to_string(&record).unwrap();
    for (what, about) in
        [("invalidate", "@acme/lamp"), ("invalidate", "@acme/lamp@1.0.0"), ("resume", "public")]
    {
        let line = record.lines().find(|line| line.contains(&format!(r#""about":"{about}""#)));
        let line = line.unwrap_or_else(|| panic!("nothing about {about} in {record}"));
        assert!(
            line.contains(&format!(r#""what":"{what}""#)) && line.contains(r#""who":"admin-port""#),
            "{line}"
        );
    }
}

#[test]
fn a_rule_that_applies_is_part_of_the_life_of_a_release() {
    let (upstream, lamp) = (Upstream::start(), Release::new("@acme/lamp", "1.0.0"));
    upstream.publish(&lamp);
    let rules = "[[policy.rules]]\nid = \"too-new\"\naction = \"hold\"\nmatch = { volumes = [\"*\"], younger_than = \"7d\" }\nmessage = \"<b>wait</b>\"";
    let proxy = Setup::before(&upstream).policy("enforce", rules).start();
    proxy.client().get(&lamp.exact()).problem(403, "authorization-failed");
    let text = page(&proxy, "/release/@acme/lamp/1.0.0");
    for part in
        ["the rule too-new of the policy applies (hold) until 20", "hold applies", "&lt;b&gt;wait&lt;/b&gt;"]
    {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

//! A page of somebody else in an operator's browser: it can neither act on the admin port nor read it, whatever name it
//! makes point there, and no answer of this proxy can be made into something else than it is.

use sha2::{Digest, Sha256};

use crate::support::catalogue::Artifact;
use crate::support::{Answer, Conversation, Proxy, Release, Reply, Setup, Upstream, eventually};

const JSON: (&str, &str) = ("content-type", "application/json");
const TOKEN: &str = "operators-secret";

fn warmed(change: impl FnOnce(Setup) -> Setup) -> (Upstream, Proxy, Release) {
    let (upstream, release) = (Upstream::start(), Release::new("private-lamp", "1.0.0"));
    upstream.publish(&release);
    let proxy = change(Setup::before(&upstream)).start();
    proxy.client().get(&release.index()).ok();
    (upstream, proxy, release)
}

fn with_token(setup: Setup) -> Setup {
    setup.set("server.admin_token_sha256", data_encoding::HEXLOWER.encode(&Sha256::digest(TOKEN)))
}

fn act(proxy: &Proxy, target: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    proxy.admin().send_body("POST", target, fields, body.as_bytes())
}

const ACTIONS: [(&str, &str); 3] = [
    ("/admin/v1/invalidate", r#"{"pattern":"*"}"#),
    ("/admin/v1/reload", ""),
    ("/admin/v1/upstreams/public/resume", ""),
];

#[test]
fn a_page_of_another_site_cannot_act() {
    let (upstream, proxy, release) = warmed(|setup| setup);
    for (target, body) in ACTIONS {
        for from in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")],
        ] {
            // What a page may send without asking first, and what it would have to ask for.
            for content in [Some("text/plain"), Some("application/x-www-form-urlencoded"), None, Some(JSON.1)]
            {
                let content = content.map(|content| ("content-type", content));
                let fields: Vec<_> = from.iter().copied().chain(content).collect();
                act(&proxy, target, &fields, body).problem(403, "about:blank");
            }
        }
        // A browser that says nothing of sites sends a form's type at least.
        for content in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
        {
            act(&proxy, target, &[("content-type", content)], body).problem(415, "about:blank");
        }
    }
    assert!(proxy.client().get(&release.index()).ok().is_hit(), "something was invalidated");
    assert_eq!(upstream.requests(&release.index()), 1);
    let own = format!("http://{}", proxy.admin().0);
    let own = [JSON, ("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    for (target, body) in ACTIONS {
        act(&proxy, target, &own, body).ok();
        act(&proxy, target, &[JSON], body).ok();
    }
    for target in ["/admin/v1/reload", "/admin/v1/upstreams/public/resume"] {
        proxy.admin().send("POST", target, &[]).ok();
        proxy.admin().send("POST", target, &[("content-length", "0")]).ok();
    }
}

#[test]
fn no_browser_is_told_that_it_may() {
    let (_upstream, proxy, _) = warmed(|setup| setup);
    let asks = [
        ("origin", "http://evil.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
        ("access-control-request-private-network", "true"),
    ];
    for (target, status, slug) in [
        ("/livez", 405, "about:blank"),
        ("/metrics", 405, "about:blank"),
        ("/admin/v1/invalidate", 405, "about:blank"),
        ("/admin/v1/reload", 405, "about:blank"),
        ("/", 405, "about:blank"),
        ("/nowhere", 404, "not-found"),
    ] {
        let refused = proxy.admin().send("OPTIONS", target, &asks);
        refused.problem(status, slug);
        for answer in [refused, proxy.admin().send("GET", target, &asks)] {
            let cors = answer.fields.iter().find(|(name, _)| name.starts_with("access-control-"));
            assert!(cors.is_none(), "{target}: {cors:?}");
        }
    }
}

#[test]
fn a_name_that_was_made_to_point_here_reads_nothing() {
    let (_upstream, proxy, release) =
        warmed(|setup| setup.set("server.admin_hosts", vec!["admin.corp.example"]));
    let port = proxy.admin().0.port();
    let explain = format!("/admin/v1/explain?volume={}&version={}", release.name, release.version);
    let reads = ["/metrics", "/admin/v1/status", "/admin/v1/divergences", &explain, "/", "/nowhere"];
    for rebound in [format!("evil.example:{port}"), "evil.example".to_owned(), "10.1.2.3".to_owned()] {
        for target in reads {
            let refused = proxy.admin().get_with(target, "host", &rebound);
            refused.problem(421, "about:blank");
            assert!(
                !refused.text().contains("public") && !refused.text().contains("lamp"),
                "{}",
                refused.text()
            );
        }
        for (target, body) in ACTIONS {
            let host = ("host", rebound.as_str());
            act(&proxy, target, &[host, JSON], body).problem(421, "about:blank");
        }
        for probe in ["/livez", "/readyz"] {
            assert_eq!(proxy.admin().get_with(probe, "host", &rebound).status, 200, "{probe}");
        }
    }
    for own in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        "[::1]".to_owned(),
        "Admin.Corp.Example".to_owned(),
    ] {
        proxy.admin().get_with("/metrics", "host", &own).ok();
    }
    proxy.reconfigure(|setup| setup.set("server.admin_hosts", vec!["other.example"]));
    proxy.reload().ok();
    proxy.admin().get_with("/metrics", "host", "admin.corp.example").problem(421, "about:blank");
    proxy.admin().get_with("/metrics", "host", "other.example").ok();
}

#[test]
fn readiness_says_one_word() {
    for (_upstream, proxy, _) in [warmed(|setup| setup), warmed(with_token)] {
        let ready = proxy.admin().get_with("/readyz", "host", "10.1.2.3").ok();
        assert_eq!(ready.json(), serde_json::json!({"status": "ready"}));
    }
}

#[test]
fn what_the_admin_port_says_is_for_no_page_and_no_frame() {
    let (_upstream, proxy, _) = warmed(with_token);
    for (target, token) in
        [("/livez", ""), ("/readyz", ""), ("/metrics", TOKEN), ("/metrics", ""), ("/nowhere", TOKEN)]
    {
        let answer = proxy.admin().get_with(target, "authorization", &format!("Bearer {token}"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{target}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{target}: {policy}");
        }
    }
}

#[test]
fn every_answer_of_the_public_port_is_what_it_says_it_is() {
    let (upstream, proxy, release) = warmed(|setup| setup.relay("/nullspace", "http://127.0.0.1:1"));
    let artifact = Artifact::new("page", "text/html", "<script>alert(1)</script>");
    let detail = release.attested(&[artifact.attachment(&upstream.url())]);
    upstream.reply(&release.trust("detail"), Reply::json(&detail));
    upstream.reply(&artifact.source(), artifact.reply());
    let client = proxy.client();
    let tag = client.get(&release.index()).header("etag").unwrap().to_owned();
    let answers = [
        (client.get(&release.index()), 200),
        (client.head(&release.index()), 200),
        (client.get_with(&release.index(), "if-none-match", &tag), 304),
        (client.get(&release.exact()), 200),
        (client.get(&release.download()), 200),
        (client.get_with(&release.download(), "range", "bytes=0-9"), 206),
        (client.get_with(&release.download(), "range", "bytes=99999999-"), 416),
        (client.get(&release.trust("detail")), 200),
        (client.get(&artifact.download(&release)), 200),
        (client.get("/nowhere"), 404),
        (client.get("/api/v1/index/volumes/unheard-of"), 404),
        (client.send("POST", &release.index(), &[("content-length", "0")]), 405),
        (client.send("POST", "/api/v1/volumes/private-lamp", &[("content-length", "0")]), 403),
        (client.get("/nullspace/v1/anything"), 502),
    ];
    for (answer, status) in answers {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
    }
}

#[test]
fn actions_are_logged_with_who_and_from_where() {
    let (_upstream, mut proxy, _) = warmed(with_token);
    let bearer = format!("Bearer {TOKEN}");
    let known = ("authorization", bearer.as_str());
    act(&proxy, ACTIONS[0].0, &[known, JSON], r#"{"pattern":"@acme/*"}"#).ok();
    act(&proxy, ACTIONS[0].0, &[known, JSON], "{}").problem(400, "validation-failed");
    act(&proxy, "/admin/v1/upstreams/unheard-of/resume", &[known, JSON], "").problem(404, "not-found");
    let records = eventually("records of the actions", || {
        let log = proxy.log();
        let records: Vec<serde_json::Value> = log[..log.rfind('\n')? + 1]
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|record: &serde_json::Value| record["target"] == "scriptorium::admin")
            .collect();
        (records.len() == 3).then_some(records)
    });
    let expected = [("invalidate", "@acme/*", 200), ("invalidate", "", 400), ("resume", "unheard-of", 404)];
    for (record, (action, what, status)) in records.iter().zip(expected) {
        let fields = if record["fields"].is_object() { &record["fields"] } else { record };
        assert_eq!(fields["action"], action, "{record}");
        assert_eq!(fields["what"], what, "{record}");
        assert_eq!(fields["status"], status, "{record}");
        assert_eq!(fields["who"], "the admin token", "{record}");
        assert!(fields["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
        assert_eq!(record["level"], "INFO", "{record}");
    }
    assert!(!proxy.whole_log().contains(TOKEN));
}

#[test]
fn guesses_are_counted_and_told_once_in_a_while() {
    let (_upstream, mut proxy, _) = warmed(with_token);
    for guess in 0..200 {
        let answer = proxy.admin().get_with("/metrics", "authorization", &format!("Bearer guess-{guess}"));
        answer.problem(401, "authentication-required");
    }
    let metrics = proxy.admin().get_with("/metrics", "authorization", &format!("Bearer {TOKEN}")).ok().text();
    assert!(metrics.contains("scriptorium_admin_refused_total{why=\"token\"} 200"), "{metrics}");
    let told = eventually("a word about them", || {
        Some(proxy.log().matches("a request to the admin port was refused").count()).filter(|told| *told > 0)
    });
    assert!(told < 20, "{told} lines for 200 guesses");
    assert!(!proxy.whole_log().contains("guess-"));
}

#[test]
fn nothing_of_a_body_is_read_before_its_sender_is_known() {
    let (_upstream, proxy, _) = warmed(with_token);
    let bodies = ["content-length: 16000\r\n", "transfer-encoding: chunked\r\n"];
    for (status, target, fields) in [
        (401, "/admin/v1/invalidate", "content-type: application/json\r\n".to_owned()),
        (
            403,
            "/admin/v1/invalidate",
            "content-type: application/json\r\norigin: http://evil.example\r\n".to_owned(),
        ),
        (405, "/metrics", String::new()),
        (401, "/admin/v1/reload", "content-type: application/json\r\n".to_owned()),
        (415, "/admin/v1/reload", format!("authorization: Bearer {TOKEN}\r\n")),
        // The token is known, and what does not take a body does not wait for one.
        (
            200,
            "/admin/v1/reload",
            format!("authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"),
        ),
    ] {
        for body in bodies {
            let mut conversation = Conversation::open(proxy.admin().0).unwrap();
            let host = proxy.admin().0;
            // Announced, and never sent.
            let head = format!("POST {target} HTTP/1.1\r\nhost: {host}\r\n{fields}{body}\r\n");
            conversation.write(head.as_bytes()).unwrap();
            assert_eq!(conversation.begin().unwrap().status, status, "{target} {fields:?} {body:?}");
        }
    }
}

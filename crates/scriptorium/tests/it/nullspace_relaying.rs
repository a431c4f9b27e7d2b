//! Whatever comes below the mount goes to the API and comes back as it is; nothing else does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::proxy::contains;
use crate::support::relay::{MOUNT, Relay};
use crate::support::wire::{Fields, Framing};
use crate::support::{Accident, Agent, Announced, Nullspace, Reply, each, eventually, hex_digest, noise};

/// Lets the API say of any request below `/v1/anything` what came.
fn echo(relay: &Relay) {
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        relay.api.compute(method, "/v1/anything", |seen| {
            let came = json!({ "method": seen.method, "target": seen.target, "sha256": seen.sha256() });
            Reply::answer(200, &came).with("x-of-the-api", "yes")
        });
    }
}

#[test]
fn every_method_goes_to_the_api_with_its_query_and_its_body() {
    let relay = Relay::start();
    echo(&relay);
    let target = format!("{MOUNT}/v1/anything?limit=200&cursor=a%2Fb%20c&empty=&x=%C3%A9");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let body = if method == "GET" { Vec::new() } else { noise(7, 70_000) };
        let answer = relay.proxy.client().send_body(method, &target, &[], &body).ok();
        let seen = relay.api.asked(method, "/v1/anything").pop().unwrap();
        assert_eq!(seen.target, "/v1/anything?limit=200&cursor=a%2Fb%20c&empty=&x=%C3%A9", "{method}");
        assert_eq!(seen.body, body, "{method}");
        assert_eq!(answer.json()["method"], method);
        assert_eq!(answer.header("x-of-the-api"), Some("yes"), "{method}");
        assert!(answer.header("x-request-id").is_some(), "{method}");
    }
    let head = relay.proxy.client().head(&target);
    assert_eq!((head.status, relay.api.count("HEAD", "/v1/anything")), (401, 1), "as the API says to it");
    assert_eq!(relay.registry.seen().len(), 0);
}

#[test]
fn any_status_and_any_body_comes_back_untouched() {
    let relay = Relay::start();
    for status in [200, 201, 202, 204, 301, 400, 401, 403, 404, 409, 410, 418, 422, 429, 500, 501] {
        let body: &[u8] = if status == 204 { b"" } else { b"{ \"as\" :  [ \"it is\" ] }\n" };
        let target = format!("/v1/status/{status}");
        relay.api.reply_to("GET", &target, Reply::new(status, "application/x-own", body));
        let answer = relay.proxy.client().get(&format!("{MOUNT}{target}"));
        assert_eq!((answer.status, &answer.body[..]), (status, body));
        assert_eq!(answer.header("content-type"), Some("application/x-own"), "{status}");
    }
}

#[test]
fn a_redirect_is_not_followed_and_not_handed_on() {
    let relay = Relay::start();
    relay.api.reply_to("GET", "/v1/moved", Reply::redirect(&format!("{}/v1/secret", relay.registry.url())));
    let answer = relay.proxy.client().get(&format!("{MOUNT}/v1/moved"));
    answer.refused_here(502, "upstream_unavailable");
    assert_eq!((answer.header("location"), relay.registry.seen().len()), (None, 0));
}

#[test]
fn fields_of_the_api_pass_and_those_of_the_connection_do_not() {
    let relay = Relay::start();
    let stay = [
        ("cookie", "session=1"),
        ("forwarded", "for=10.0.0.1"),
        ("via", "1.1 somebody"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-real-ip", "10.0.0.1"),
        ("proxy-authorization", "Basic eDp5"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/admin"),
    ];
    let pass = [
        ("authorization", "Bearer of-somebody"),
        ("accept", "application/x-own"),
        ("accept-encoding", "br"),
        ("idempotency-key", "k"),
        ("if-none-match", "\"t\""),
        ("range", "bytes=0-1"),
        ("user-agent", "python-httpx/0.28.1"),
        ("x-nullspace-anything", "of the API's own"),
        ("x-whatever", "is the API's to know"),
    ];
    let back = [("etag", "\"tag\""), ("x-own", "1"), ("retry-after", "3"), ("link", "</next>; rel=next")];
    let reply = Reply::new(200, "text/plain", "said")
        .with("set-cookie", "session=2")
        .with("strict-transport-security", "max-age=1")
        .with("alt-svc", "h3=\":1\"")
        .with("keep-alive", "timeout=9")
        .with("x-request-id", "of-the-api");
    relay.api.reply_to(
        "GET",
        "/v1/x",
        back.iter().fold(reply, |reply, (name, value)| reply.with(name, value)),
    );
    let all: Vec<_> = stay.into_iter().chain(pass).chain([("x-request-id", "mine-1")]).collect();
    let answer = relay.proxy.client().send("GET", &format!("{MOUNT}/v1/x"), &all);
    let seen = relay.api.asked("GET", "/v1/x").pop().unwrap();
    for (name, value) in pass {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    for (name, _) in stay {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("host"), Some(relay.api.authority().as_str()));
    assert_eq!(seen.header("x-request-id"), Some("mine-1"));
    for (name, value) in back {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    for name in ["set-cookie", "strict-transport-security", "alt-svc", "keep-alive"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
}

#[test]
fn a_field_that_comes_twice_passes_twice() {
    let relay = Relay::start();
    relay.api.reply_to(
        "GET",
        "/v1/x",
        Reply::new(200, "text/plain", "").with("x-own", "1").with("x-own", "2"),
    );
    let twice = [("x-mine", "a"), ("x-mine", "b")];
    let answer = relay.proxy.client().send("GET", &format!("{MOUNT}/v1/x"), &twice).ok();
    let of = |fields: &Fields, wanted: &str| -> Vec<String> {
        fields.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned()).collect()
    };
    assert_eq!(of(&relay.api.seen()[0].fields, "x-mine"), ["a", "b"]);
    assert_eq!(of(&answer.fields, "x-own"), ["1", "2"]);
}

#[test]
fn an_answer_without_a_body_comes_without_one() {
    let relay = Relay::start();
    relay.api.reply_to("GET", "/v1/x", Reply::json(&json!({})).with("x-own", "1"));
    let tagged = relay.proxy.client().get(&format!("{MOUNT}/v1/x")).ok();
    let tag = tagged.header("etag").unwrap();
    let same = relay.proxy.client().get_with(&format!("{MOUNT}/v1/x"), "if-none-match", tag);
    assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some(tag), 0));
    relay.api.reply_to("HEAD", "/v1/x", Reply::new(200, "text/x-own", "not to be sent"));
    let head = relay.proxy.client().head(&format!("{MOUNT}/v1/x"));
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/x-own")));
    for status in ["200", "304"] {
        let counted = relay.sample("scriptorium_upstream_requests_total", &[&format!("status=\"{status}\"")]);
        assert!(counted >= 1.0, "{status}");
    }
    assert_eq!(relay.sample("scriptorium_upstream_requests_total", &["cancelled"]) as u64, 0);
}

#[test]
fn what_may_have_been_done_is_not_sent_again_without_a_key() {
    let relay = Relay::start();
    let target = "/v1/sandboxes";
    let bearer = format!("Bearer {}", Nullspace::KEY);
    let fields = [("authorization", bearer.as_str())];
    for (method, body) in [("POST", &b"{}"[..]), ("DELETE", b""), ("POST", b"")] {
        let before = relay.api.count(method, target);
        relay.api.befall(method, target, Accident::AnswerLost);
        let answer = relay.proxy.client().send_body(method, &format!("{MOUNT}{target}"), &fields, body);
        answer.refused_here(502, "upstream_unavailable");
        assert_eq!(relay.api.count(method, target), before + 1, "{method}");
    }
}

#[test]
fn what_creates_under_a_key_is_sent_again_under_it() {
    let relay = Relay::start();
    let uploads = format!("/v1/sandboxes/{}/uploads", Nullspace::SANDBOX);
    relay.api.befall("POST", &uploads, Accident::AnswerLost);
    assert_eq!(relay.deployer().begin(10, "k")["upload_id"], "upl-1");
    let versions = "/v1/agent-deployments/dep-1/versions";
    relay.api.befall("POST", versions, Accident::AnswerLost);
    assert_eq!(relay.deployer().create(&Agent::new())["id"], "ver-1");
    for target in [uploads.as_str(), versions] {
        let asked = relay.api.asked("POST", target);
        assert_eq!(asked.len(), 2, "{target}");
        assert_eq!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));
        assert_eq!(asked[0].body, asked[1].body);
    }
}

#[test]
fn a_connection_that_the_api_closed_meanwhile_sends_nothing_twice() {
    let relay = Relay::start();
    relay.deployer().ask("GET", "/v1/agent-deployments", &[], b"").ok();
    relay.api.down();
    relay.api.up();
    echo(&relay);
    let send = || relay.proxy.client().send_body("POST", &format!("{MOUNT}/v1/anything"), &[], b"once");
    eventually("a connection that is open", || (send().status == 200).then_some(()));
    assert_eq!(relay.api.count("POST", "/v1/anything"), 1);
}

#[test]
fn a_coded_answer_is_handed_on_as_it_is() {
    let relay = Relay::start();
    let coded = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    relay.api.reply_to("GET", "/v1/x", Reply::new(200, "text/plain", coded).with("content-encoding", "gzip"));
    let answer = relay.proxy.client().get_with(&format!("{MOUNT}/v1/x"), "accept-encoding", "gzip").ok();
    assert_eq!((answer.header("content-encoding"), &answer.body[..]), (Some("gzip"), &coded[..]));
}

/// Reads until `wanted` is among what came.
fn read_until(stream: &mut TcpStream, came: &mut Vec<u8>, wanted: &str) {
    let mut buffer = [0; 4096];
    while !contains(came, wanted.as_bytes()) {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the answer ended before `{wanted}`: {}", String::from_utf8_lossy(came));
        came.extend_from_slice(&buffer[..read]);
    }
}

#[test]
fn an_answer_reaches_the_client_before_the_api_has_said_its_end() {
    let relay = Relay::start();
    for (target, chunked) in [("/v1/log", false), ("/v1/events", true)] {
        let text = "the first words, and then the last ones";
        let (reply, hold) = Reply::new(200, "text/event-stream", text).pausing_after(15);
        relay.api.reply_to("GET", target, if chunked { reply.chunked() } else { reply });
        let mut stream = TcpStream::connect(relay.proxy.client().0).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET {MOUNT}{target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
        let mut came = Vec::new();
        read_until(&mut stream, &mut came, "the first words");
        assert!(!contains(&came, b"the last ones"), "the API holds them back");
        hold.release();
        read_until(&mut stream, &mut came, "the last ones");
    }
}

#[test]
fn a_body_reaches_the_api_before_the_client_has_sent_its_end() {
    let relay = Relay::start();
    echo(&relay);
    let (client, target) = (relay.proxy.client(), format!("{MOUNT}/v1/anything"));
    let body = noise(2, 300_000);
    for (announced, framing) in
        [(Announced::Chunked, Framing::Chunked), (Announced::Length(300_000), Framing::Length(300_000))]
    {
        let before = relay.api.count("PUT", "/v1/anything");
        let mut upload = client.upload("PUT", &target, &[], announced).unwrap();
        upload.piece(&body[..100_000]).unwrap();
        eventually("the first bytes at the API", || {
            let asked = relay.api.asked("PUT", "/v1/anything");
            asked.get(before).filter(|seen| seen.length >= 50_000).map(drop)
        });
        upload.piece(&body[100_000..]).unwrap();
        assert_eq!(upload.finish().unwrap().ok().json()["sha256"], hex_digest(&body));
        assert_eq!(relay.api.asked("PUT", "/v1/anything")[before].framing, framing);
    }
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let relay = Relay::start();
    let text = noise(4, 50_000);
    relay.api.reply_to("GET", "/v1/cut", Reply::new(200, "text/plain", text.clone()).halved());
    relay.api.reply_to("GET", "/v1/cut-chunks", Reply::new(200, "text/plain", text).chunked().halved());
    for target in ["/v1/cut", "/v1/cut-chunks"] {
        let answer = relay.proxy.client().try_send("GET", &format!("{MOUNT}{target}"), &[]);
        assert!(answer.is_err() || answer.is_ok_and(|answer| !answer.whole), "{target} came whole");
    }
}

#[test]
fn what_is_not_below_the_mount_is_not_relayed() {
    let relay = Relay::start();
    relay.api.otherwise(Reply::answer(200, &json!({ "here": true })));
    for path in [
        "/v1/agent-deployments",
        MOUNT,
        "/nullspacex/v1/x",
        "/Nullspace/v1/x",
        "/x/nullspace/v1/x",
        "//nullspace/v1/x",
    ] {
        let answer = relay.proxy.client().get(path);
        answer.problem(404, "not-found");
    }
    relay.proxy.client().send_body("POST", "/v1/x", &[], b"x").problem(404, "not-found");
    assert_eq!(relay.api.seen().len(), 0);
}

#[test]
fn a_path_that_might_lead_out_of_the_api_goes_nowhere() {
    let relay = Relay::start();
    let paths = [
        "/../api/v1/capabilities",
        "/v1/%2e%2e/secret",
        "/v1/.%2E/secret",
        "/v1/./x",
        "//v1/x",
        "/v1//x",
        "/v1/a%2fb",
        "/v1/a%5Cb",
        "/v1/%00",
        "/v1/%zz",
    ];
    each(paths, |path| {
        let answer = relay.proxy.client().get(&format!("{MOUNT}{path}"));
        answer.refused_here(400, "invalid_request");
    });
    assert_eq!((relay.api.seen().len(), relay.registry.seen().len()), (0, 0));
}

#[test]
fn the_clients_own_credential_goes_on_and_no_other() {
    let relay = Relay::start();
    for key in [Nullspace::KEY, Nullspace::OTHER_KEY] {
        relay.deployer().with_key(key).ask("GET", "/v1/agent-deployments", &[], b"").ok();
        assert_eq!(relay.api.seen().pop().unwrap().bearer(), Some(key));
    }
    let nobody = relay.proxy.client().get(&format!("{MOUNT}/v1/agent-deployments"));
    assert_eq!(nobody.json()["error"]["request_id"], "req-of-nullspace", "the API's own words");
    assert_eq!((nobody.status, relay.api.seen().pop().unwrap().header("authorization")), (401, None));
}

#[test]
fn two_mounts_lead_to_two_apis() {
    let other = Nullspace::start();
    let relay = Relay::start_as(|setup| setup.relay("/second/ns", &format!("{}/base", other.url())));
    other.reply("/base/v1/x", Reply::answer(201, &json!({})));
    assert_eq!(relay.proxy.client().get("/second/ns/v1/x").status, 401);
    assert_eq!((other.count("GET", "/base/v1/x"), relay.api.seen().len()), (1, 0));
}

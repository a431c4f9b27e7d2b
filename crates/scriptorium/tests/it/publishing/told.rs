//! What every write is told with and logged as, and how many are let in.

use serde_json::Value;

use super::{Ground, bearer, granted, lamp, place};
use crate::support::publisher::{Instruction, announcement, volume};
use crate::support::{Answer, Publishing};

/// Every kind of write once, with its answer; each is asked under an id of its own.
fn every_write(ground: &Ground) -> Vec<(&'static str, Answer)> {
    let client = ground.proxy.client();
    let bearer = bearer(Publishing::TOKEN);
    let ask = |id: &'static str, method: &str, target: &str, kind: &str, body: &[u8]| {
        let fields = [("authorization", &*bearer), ("x-request-id", id), ("content-type", kind)];
        (id, client.send_body(method, target, &fields, body))
    };
    let body = announcement(&lamp()).to_string();
    let intent = ask("id-intent", "POST", &volume(&lamp().name), "application/json", body.as_bytes());
    let granted = granted(&intent.1);
    let target = Instruction::of(&granted).target;
    let put = ask("id-put", "PUT", &target, "application/gzip", &lamp().archive());
    let finalize = format!("{}/uploads/up-1/finalize", volume(&lamp().name));
    let finalize = ask("id-finalize", "POST", &finalize, "application/json", b"");
    let delete = ask("id-delete", "DELETE", &lamp().exact(), "application/json", b"");
    let twice = ask("id-twice", "DELETE", &lamp().exact(), "application/json", b"");
    vec![intent, put, finalize, delete, twice]
}

#[test]
fn every_answer_to_a_write_says_whose_it_is_and_is_not_to_be_kept() {
    let ground = Ground::new();
    let answers = every_write(&ground);
    let statuses: Vec<_> = answers.iter().map(|(_, answer)| answer.status).collect();
    assert_eq!(statuses, [201, 200, 201, 202, 404]);
    for (id, answer) in &answers {
        let status = format!("scriptorium; fwd=method; fwd-status={}", answer.status);
        assert_eq!(answer.header("cache-status"), Some(&*status), "{id}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{id}");
        assert_eq!(answer.header("x-request-id"), Some(*id));
        assert!(answer.header("ratelimit").is_some(), "{id}: {answer:?}");
        assert_eq!(answer.header("etag"), None);
    }
    let ids: Vec<_> = ground.registry.seen().into_iter().filter(|seen| seen.method != "GET").collect();
    let ids: Vec<_> = ids.iter().filter_map(|seen| seen.header("x-request-id")).collect();
    assert_eq!(ids, ["id-intent", "id-put", "id-finalize", "id-delete", "id-twice"]);
}

#[test]
fn a_refusal_of_ours_names_its_request_and_is_not_to_be_kept() {
    let ground = Ground::new();
    let fields = [("authorization", &*bearer(Publishing::TOKEN)), ("x-request-id", "id-refused")];
    let answer = ground.proxy.client().send_body("PUT", "/uploads/nothing", &fields, b"x");
    answer.problem(404, "not-found");
    assert_eq!(answer.header("x-request-id"), Some("id-refused"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn no_log_opens_a_place_or_shows_a_token() {
    for format in ["json", "text"] {
        let mut ground = {
            let registry = Publishing::start_with_uploads_elsewhere();
            let allowed = vec![registry.uploads().authority()];
            Ground::before(registry, |setup| {
                setup
                    .set("upstream.archive_hosts", allowed)
                    .set("log.format", format)
                    .set("log.level", "debug")
            })
        };
        let answers = every_write(&ground);
        let intent = answers[0].1.json();
        let mut damaged = lamp().archive();
        damaged[30] ^= 1;
        let next = crate::support::Release::new("@acme/lamp", "3.0.0");
        let open = ground.announced(&next);
        ground.publisher().send(&open, &damaged).problem(400, "digest-mismatch");
        let secrets = [
            place(&intent),
            &place(&intent)[64..],
            place(&open),
            &place(&open)[64..],
            Publishing::TOKEN,
            "signed-1",
            "signed-2",
            "x-upload-signature",
        ];
        let metrics = ground.proxy.admin().get("/metrics").ok().text();
        let status = ground.proxy.admin().get("/admin/v1/status").ok().text();
        for secret in secrets {
            assert!(!metrics.contains(secret) && !status.contains(secret), "{secret}");
        }
        let log = ground.proxy.whole_log();
        assert!(answers.iter().all(|(id, _)| log.contains(id)), "no record of a write in {log}");
        assert!(log.contains("/uploads/"), "the place is logged without what opens it");
        for secret in secrets {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}

#[test]
fn the_token_is_not_kept() {
    let ground = Ground::new();
    let intent: Value = ground.announced(&lamp());
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
    let holding = ground.proxy.files_holding(Publishing::TOKEN.as_bytes());
    assert!(holding.is_empty(), "{holding:?}");
}

#[test]
fn writes_are_let_in_as_reads_are() {
    let ground = Ground::with(|setup| setup.set("rate_limits.anonymous", "3/h"));
    let intent = ground.announced(&lamp());
    for _ in 0..2 {
        assert_eq!(ground.publisher().withdraw(&lamp()).status, 404);
    }
    let before = ground.registry.seen().len();
    for answer in [
        ground.publisher().announce(&lamp()),
        ground.publisher().send(&intent, &lamp().archive()),
        ground.publisher().finalize(&lamp(), &intent),
        ground.publisher().withdraw(&lamp()),
    ] {
        answer.problem(429, "rate-limited");
        assert!(answer.header("retry-after").is_some_and(|after| after.parse::<u64>().is_ok()));
    }
    assert_eq!(ground.registry.seen().len(), before);
}

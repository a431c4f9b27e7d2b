//! What limits a relayed API's clients, and what they are told when the API is out of reach: always in the API's own
//! shape, counted and written down like everything else.

use serde_json::Value;

use crate::support::relay::{MOUNT, Relay};
use crate::support::{
    Accident, Agent, Announced, Answer, Conversation, Nullspace, Reply, eventually, hex_digest,
};

const LIST: &str = "/v1/agent-deployments";

fn list(relay: &Relay) -> Answer {
    relay.deployer().ask("GET", LIST, &[], b"")
}

#[test]
fn over_the_rate_is_a_nested_error_with_whole_seconds_to_wait() {
    let relay = Relay::start_as(|setup| setup.set("rate_limits.anonymous", "3/h"));
    for _ in 0..3 {
        let answer = list(&relay).ok();
        assert!(answer.header("ratelimit").is_some() && answer.header("ratelimit-policy").is_some());
    }
    let refused = list(&relay);
    let error = refused.refused_here(429, "rate_limit_exceeded");
    assert_eq!(error["retryable"], true);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1200).contains(&wait), "{wait}");
    relay.deployer().ask("PUT", &relay.api.bundle(1), &[], b"x").refused_here(429, "rate_limit_exceeded");
    assert_eq!(relay.api.seen().len(), 3, "a refused request reached the API");
    assert_eq!(relay.sample("scriptorium_rate_limited_total", &["anonymous"]), 2.0);
    assert_eq!(relay.sample("scriptorium_requests_total", &["route=\"nullspace\"", "status=\"429\""]), 2.0);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let relay = Relay::start_as(|setup| setup.set("limits.max_request_body", "10KiB"));
    let (agent, large) = (Agent::new(), vec![7; 20 << 10]);
    relay.deployer().create(&agent);
    let bundle = relay.deployer().send_bundle(&relay.api.bundle(1), &agent.digest(), &large);
    bundle.refused_here(413, "payload_too_large");
    relay.assert_unseen("PUT", &relay.api.bundle(1));

    relay.deployer().begin(40 << 10, "k");
    let part = relay.deployer().send_part(&relay.api.part(1, 0), &vec![7; 40 << 10]);
    part.upload_refused_here(413, "size_limit_exceeded");
    relay.assert_unseen("PUT", &relay.api.part(1, 0));

    let file = format!("/v1/sandboxes/{}/file?path=a", Nullspace::SANDBOX);
    relay.deployer().ask("PUT", &file, &[], &large).refused_here(413, "payload_too_large");
    assert_eq!(relay.api.count("PUT", &file), 0);
    relay.assert_nothing_is_staged();
}

#[test]
fn what_grows_too_large_on_the_way_is_refused_and_never_seen_whole() {
    let relay = Relay::start_as(|setup| setup.set("limits.max_request_body", "10KiB"));
    let agent = Agent::new();
    relay.deployer().create(&agent);
    let file = format!("/v1/sandboxes/{}/file?path=a", Nullspace::SANDBOX);
    let send = |target: &str| {
        let mut upload = relay.deployer().sending_bundle(target, &agent.digest(), Announced::Chunked);
        // Who refuses early may close before all is sent.
        (0..40).for_each(|_| drop(upload.piece(&[0; 1000])));
        upload.finish().unwrap()
    };
    send(&relay.api.bundle(1)).refused_here(413, "payload_too_large");
    relay.assert_unseen("PUT", &relay.api.bundle(1));
    send(&file).refused_here(413, "payload_too_large");
    eventually("the end of what the API was sent", || {
        let asked = relay.api.asked("PUT", &file);
        asked.iter().all(|seen| seen.ending == crate::support::Ending::Short).then_some(())
    });
    relay.assert_nothing_is_staged();
}

#[test]
fn a_long_answer_passes_and_a_long_document_that_is_read_does_not() {
    let relay = Relay::start_as(|setup| setup.set("limits.max_document", "10KiB"));
    let long = Reply::new(200, "application/json", vec![b' '; 20 << 10]);
    relay.api.reply_to("GET", "/v1/log", long.clone());
    assert_eq!(relay.proxy.client().get(&format!("{MOUNT}/v1/log")).ok().body.len(), 20 << 10);
    let uploads = format!("/v1/sandboxes/{}/uploads", Nullspace::SANDBOX);
    relay.api.reply_to("POST", &uploads, long);
    let answer = relay.deployer().post(&uploads, "k", &Value::Null);
    answer.refused_here(502, "upstream_unavailable");
}

#[test]
fn who_has_too_many_requests_under_way_is_told_to_come_again() {
    let relay =
        Relay::start_as(|setup| setup.set("limits.max_requests", 3).set("limits.max_requests_per_client", 2));
    let hold = relay.api.hold("/v1/slow");
    let mut waiting = Vec::new();
    let mut ask = |from: &str| {
        let mut asking = Conversation::open_from(from.parse().unwrap(), relay.proxy.client().0).unwrap();
        asking.ask("GET", &format!("{MOUNT}/v1/slow"), &[]).unwrap();
        waiting.push(asking);
        let so_many = waiting.len();
        eventually("it at the API", || (relay.api.count("GET", "/v1/slow") == so_many).then_some(()));
    };
    ask("127.0.0.1");
    ask("127.0.0.1");
    let refused = list(&relay);
    refused.refused_here(429, "rate_limit_exceeded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    ask("127.0.0.2");
    let mut third = Conversation::open_from("127.0.0.3".parse().unwrap(), relay.proxy.client().0).unwrap();
    third.ask("GET", &format!("{MOUNT}{LIST}"), &[]).unwrap();
    let crowded = third.answer().unwrap();
    crowded.refused_here(503, "temporarily_unavailable");
    assert_eq!(crowded.header("retry-after"), Some("1"));
    assert_eq!(relay.api.count("GET", LIST), 0);
    hold.release();
    for asking in &mut waiting {
        assert_eq!(asking.answer().unwrap().status, 401);
    }
    eventually("a place", || (list(&relay).status == 200).then_some(()));
}

#[test]
fn an_api_out_of_reach_is_told_in_its_own_shape() {
    let relay = Relay::start();
    relay.api.ask_for_parts_of(10);
    relay.deployer().begin(10, "k");
    let agent = Agent::new();
    relay.deployer().create(&agent);
    relay.api.down();
    let (deployer, part) = (relay.deployer(), relay.api.part(1, 0));
    let answers = [
        list(&relay),
        deployer.send_part(&part, b"0123456789"),
        deployer.send_bundle(&relay.api.bundle(1), &agent.digest(), &agent.tar()),
        deployer.complete(&relay.api.complete(1), "c", &hex_digest(b"0123456789")),
        deployer.ask("DELETE", "/v1/sandboxes/x", &[], b""),
        list(&relay),
        list(&relay),
    ];
    for answer in answers {
        assert!((502..=504).contains(&answer.status), "{} {}", answer.status, answer.text());
        let code = if answer.status == 503 { "temporarily_unavailable" } else { "upstream_unavailable" };
        assert_eq!(answer.refused_here(answer.status, code)["retryable"], true);
        assert!(!answer.text().contains(&relay.api.authority()), "{}", answer.text());
    }
    relay.assert_nothing_is_staged();
    relay.api.up();
    eventually("the API's return", || (list(&relay).status == 200).then_some(()));
    deployer.send_part(&part, b"0123456789").ok();
}

#[test]
fn an_api_that_asks_one_client_to_wait_kills_nobodys_upload() {
    let relay = Relay::start();
    relay.api.ask_for_parts_of(10);
    relay.deployer().begin(10, "k");
    let busy = Reply::answer(429, &serde_json::json!({ "error": { "code": "rate_limit_exceeded" } }));
    relay.api.befall("GET", LIST, Accident::Instead(busy.with("retry-after", "2")));
    let told = list(&relay);
    assert_eq!((told.status, told.header("retry-after")), (429, Some("2")));
    let target = relay.api.part(1, 0);
    assert_eq!(relay.deployer().send_part(&target, b"0123456789").status, 200);
}

#[test]
fn an_offline_proxy_relays_nothing() {
    let relay = Relay::start_as(|setup| setup.set("cache.offline", true));
    let answer = list(&relay);
    answer.refused_here(504, "upstream_unavailable");
    assert_eq!(relay.api.seen().len(), 0);
}

#[test]
fn every_request_is_counted_and_written_down_once_without_its_token() {
    let relay = Relay::start();
    list(&relay).ok();
    relay.deployer().ask("GET", "/v1/nothing?token=hidden-in-the-query", &[], b"");
    relay
        .deployer()
        .ask("GET", "/v1/../x", &[("x-request-id", "one-of-mine")], b"")
        .refused_here(400, "invalid_request");
    let counted = |status: &str| {
        relay.sample("scriptorium_requests_total", &["route=\"nullspace\"", &format!("status=\"{status}\"")])
    };
    assert_eq!((counted("200"), counted("404"), counted("400")), (1.0, 1.0, 1.0));
    let upstream = |status: &str| {
        let labels = ["upstream=\"nullspace\"", &format!("status=\"{status}\"")];
        relay.sample("scriptorium_upstream_requests_total", &labels)
    };
    eventually("both exchanges counted", || ((upstream("200"), upstream("404")) == (1.0, 1.0)).then_some(()));
    let records = || -> Vec<Value> {
        let lines = relay.proxy.log();
        let parsed = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed
            .filter(|line| {
                line.to_string().contains("/nullspace/v1/") && line.to_string().contains("\"class\"")
            })
            .collect()
    };
    eventually("three records", || (records().len() == 3).then_some(()));
    let mine = records().iter().filter(|record| record.to_string().contains("one-of-mine")).count();
    assert_eq!(mine, 1);
    let log = relay.proxy.log();
    for secret in [Nullspace::KEY, "hidden-in-the-query"] {
        assert!(!log.contains(secret), "{secret} stands in the log:\n{log}");
    }
}

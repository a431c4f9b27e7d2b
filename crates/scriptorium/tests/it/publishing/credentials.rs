//! Whose credential goes where with a write: the client's to the registry's own origin, the instruction's to the place
//! it was given for, the proxy's own nowhere.

use serde_json::Value;

use super::{Ground, bearer, lamp, place};
use crate::support::{Accident, Client, Publisher, Publishing, Reply, Seen};

fn authorizations(seen: &[Seen]) -> Vec<Option<&str>> {
    seen.iter().map(|seen| seen.header("authorization")).collect()
}

#[test]
fn the_clients_credential_goes_to_the_registry_and_not_to_where_its_uploads_go() {
    let ground = Ground::elsewhere();
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    assert_eq!(ground.publisher().withdraw(&lamp()).status, 202);
    let writes: Vec<_> = ground.registry.seen().into_iter().filter(|seen| seen.method != "GET").collect();
    assert_eq!(authorizations(&writes), [Some(bearer(Publishing::TOKEN).as_str()); 3]);
    let uploads = ground.uploads();
    assert_eq!(authorizations(&uploads), [None]);
    let token_is_in = |(_, value): (&str, &str)| value.contains(Publishing::TOKEN);
    assert!(!uploads[0].fields.iter().any(token_is_in), "{uploads:?}");
    assert_eq!(uploads[0].header("x-upload-signature"), Some(ground.registry.signature("up-1").as_str()));
    assert_eq!(uploads[0].header("content-type"), Some("application/gzip"));
}

#[test]
fn a_place_of_the_registrys_own_gets_it_too() {
    let ground = Ground::new();
    assert_eq!(ground.publisher().publish(&lamp()).status, 201);
    assert_eq!(authorizations(&ground.uploads()), [Some(bearer(Publishing::TOKEN).as_str())]);
}

#[test]
fn the_proxys_own_credential_is_never_a_writers() {
    for registry in [Publishing::start(), Publishing::start_with_uploads_elsewhere()] {
        let allowed = vec![registry.uploads().authority()];
        let ground = Ground::before(registry, |setup| {
            setup
                .set("upstream.token_env", "READ_TOKEN")
                .set("upstream.archive_hosts", allowed)
                .env("READ_TOKEN", "proxys-secret")
        });
        // One who sends no credential is not lent the proxy's.
        let anonymous = ground
            .proxy
            .client()
            .post("/api/v1/volumes/@acme/lamp", "{\"version\":\"1.1.0\",\"mediaType\":\"application/gzip\"}");
        assert_eq!(anonymous.status, 401, "{}", anonymous.text());
        assert_eq!(ground.publisher().publish(&lamp()).status, 201);
        assert_eq!(ground.publisher().withdraw(&lamp()).status, 202);
        ground.proxy.client().get(&lamp().index()).ok();
        let mut seen = ground.registry.seen();
        seen.extend(ground.registry.uploads().seen());
        let (reads, writes): (Vec<_>, Vec<_>) = seen.into_iter().partition(|seen| seen.method == "GET");
        let has_it = |seen: &Seen| seen.fields.iter().any(|(_, value)| value.contains("proxys-secret"));
        assert!(reads.iter().any(has_it), "reads are the proxy's own");
        assert!(!writes.iter().any(has_it));
    }
}

#[test]
fn what_else_a_client_sends_stays_here() {
    let ground = Ground::new();
    let fields = [
        ("authorization", &*bearer(Publishing::TOKEN)),
        ("content-type", "application/json"),
        ("cookie", "session=clients-secret"),
        ("proxy-authorization", "Basic clients-secret"),
        ("x-api-key", "clients-secret"),
        ("x-forwarded-for", "clients-secret"),
    ];
    let body = crate::support::publisher::announcement(&lamp()).to_string();
    let target = "/api/v1/volumes/@acme/lamp";
    let intent = super::granted(&ground.proxy.client().send_body("POST", target, &fields, body.as_bytes()));
    let sent = ground.publisher().send_with(
        &intent,
        &[("cookie", "session=clients-secret"), ("x-api-key", "clients-secret")],
        &lamp().archive(),
    );
    assert_eq!(sent.status, 200);
    let leaked = |seen: &Seen| seen.fields.iter().any(|(_, value)| value.contains("clients-secret"));
    assert_eq!(ground.registry.writes(), 2);
    assert!(!ground.registry.seen().iter().any(leaked));
}

#[test]
fn the_client_sees_neither_the_real_place_nor_its_headers() {
    let ground = Ground::elsewhere();
    let answer = ground.publisher().announce(&lamp());
    let (text, intent) = (answer.text(), super::granted(&answer));
    let signature = ground.registry.signature("up-1");
    for secret in [ground.registry.uploads().authority(), "x-upload-signature".to_owned(), signature.clone()]
    {
        assert!(!text.contains(&secret), "{secret}: {text}");
        assert!(!answer.fields.iter().any(|(_, value)| value.contains(&secret)));
    }
    let ours = format!("http://{}/uploads/{}", ground.proxy.authority(), place(&intent));
    assert_eq!(intent["upload"]["url"], ours);
    assert_eq!(intent["upload"]["headers"]["content-type"], "application/gzip");
    // All else is the registry's own.
    let direct = Publisher::at(Client::of(&ground.registry)).announce(&lamp()).json();
    for member in ["target", "mediaType", "state", "declaredDigest", "declaredSize"] {
        assert_eq!(intent[member], direct[member]);
    }
    assert_eq!(intent["uploadId"], "up-1");
    let sent = ground.publisher().send(&intent, &lamp().archive());
    let finalized = ground.publisher().finalize(&lamp(), &intent);
    for answer in [sent, finalized] {
        let text = answer.text();
        assert!(!text.contains(&signature) && !text.contains("/take/"), "{text}");
        assert!(!text.contains(&ground.registry.authority()), "{text}");
    }
    assert!(matches!(intent["expiresAt"], Value::String(_)));
}

#[test]
fn a_place_outside_the_allowed_hosts_is_refused_at_the_intent() {
    let ground = Ground::before(Publishing::start_with_uploads_elsewhere(), |setup| setup);
    let answer = ground.publisher().announce(&lamp());
    let text = answer.problem(502, "about:blank").to_string();
    assert!(!text.contains("/take/") && !text.contains("signed-1"), "{text}");
    assert!(ground.registry.uploads().seen().is_empty());
    assert_eq!(ground.registry.uploads().connections(), 0);
    assert!(ground.proxy.files("uploads").is_empty(), "nothing is remembered of it");
}

#[test]
fn what_a_store_says_of_a_signature_stays_here() {
    let ground = Ground::elsewhere();
    let intent = ground.announced(&lamp());
    let said = "<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>x-upload-signature:signed-1</CanonicalRequest></Error>";
    let reply = Reply::new(403, "application/xml", said).with("x-upload-signature", "signed-1");
    let real = "/take/up-1?signature=signed-1";
    ground.registry.uploads().befall("PUT", real, Accident::Instead(reply));
    let answer = ground.publisher().send(&intent, &lamp().archive());
    assert_eq!(answer.status, 403);
    assert!(!answer.text().contains("signed-1"), "{}", answer.text());
    assert!(!answer.fields.iter().any(|(_, value)| value.contains("signed-1")));
    assert_eq!(ground.publisher().send(&intent, &lamp().archive()).status, 200);
}

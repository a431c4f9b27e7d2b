//! Whose credentials go where: the client's nowhere, the proxy's own to the upstream's origin only.

use crate::support::{Release, Reply, Setup, Upstream};

const CLIENTS_OWN: [(&str, &str); 4] = [
    ("authorization", "Bearer clients-secret"),
    ("cookie", "session=clients-secret"),
    ("proxy-authorization", "Basic clients-secret"),
    ("x-api-key", "clients-secret"),
];

fn sent_anywhere(upstream: &Upstream, secret: &str) -> bool {
    upstream.seen().iter().any(|seen| seen.fields.iter().any(|(_, value)| value.contains(secret)))
}

#[test]
fn a_clients_credentials_stay_here() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut proxy = Setup::before(&upstream).start();
    for target in [release.index(), release.exact(), release.download(), "/api/v1/search?q=lamp".to_owned()] {
        proxy.client().send("GET", &target, &CLIENTS_OWN);
    }
    assert!(upstream.seen().len() >= 4);
    assert!(!sent_anywhere(&upstream, "clients-secret"));
    assert!(!proxy.whole_log().contains("clients-secret"), "a client's secret was logged");
}

#[test]
fn an_answer_to_one_client_is_an_answer_to_all() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream
        .reply(&release.index(), Reply::json(&serde_json::json!({ "items": [] })).with("set-cookie", "a=b"));
    let proxy = Setup::before(&upstream).start();
    let first = proxy.client().get_with(&release.index(), "authorization", "Bearer one").ok();
    let second = proxy.client().get_with(&release.index(), "authorization", "Bearer two").ok();
    assert!(second.is_hit());
    assert_eq!(
        first.header("set-cookie").or(second.header("set-cookie")),
        None,
        "an upstream's cookie was shared"
    );
}

#[test]
fn the_proxys_own_credential_goes_to_the_origin_alone() {
    let (upstream, cdn, release) = (Upstream::start(), Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    upstream.reply("/moved", Reply::redirect(&format!("{}{}", cdn.url(), release.source())));
    let mut metadata = release.metadata(&upstream.url());
    metadata["dist"]["url"] = format!("{}/moved", upstream.url()).into();
    upstream.reply(&release.exact(), Reply::json(&metadata));
    cdn.reply(&release.source(), Reply::archive(release.archive()));

    let mut proxy = Setup::before(&upstream)
        .set("upstream.token_env", "READ_TOKEN")
        .set("upstream.archive_hosts", vec![cdn.authority()])
        .env("READ_TOKEN", "proxys-secret")
        .start();
    proxy.client().get_with(&release.download(), "authorization", "Bearer clients-secret").ok();
    proxy.client().get(&release.index()).ok();
    let exact = upstream.seen().into_iter().find(|seen| seen.target == release.exact()).unwrap();
    assert_eq!(exact.fields.get("authorization"), Some("Bearer proxys-secret"));
    assert!(!sent_anywhere(&upstream, "clients-secret"));
    assert_eq!(cdn.requests(&release.source()), 1);
    assert!(!sent_anywhere(&cdn, "secret"), "a credential left the origin");
    assert!(!proxy.whole_log().contains("proxys-secret"), "the proxy logged its own credential");
}

#[test]
fn a_secret_in_a_link_is_not_logged_or_shown() {
    let (upstream, release) = (Upstream::start(), Release::new("lamp", "1.0.0"));
    upstream.publish(&release);
    let mut metadata = release.metadata(&upstream.url());
    metadata["dist"]["url"] =
        format!("{}{}?signature=querys-secret", upstream.url(), release.source()).into();
    upstream.reply(&release.exact(), Reply::json(&metadata));
    let mut proxy = Setup::before(&upstream).start();
    let exact = proxy.client().get(&release.exact()).ok();
    assert!(!exact.text().contains("querys-secret"));
    assert_eq!(proxy.client().get(&release.download()).ok().body, release.archive());
    assert!(sent_to(&upstream, "signature=querys-secret"), "the locator is used as it is");
    assert!(!proxy.whole_log().contains("querys-secret"), "a query credential was logged");
}

fn sent_to(upstream: &Upstream, query: &str) -> bool {
    upstream.seen().iter().any(|seen| seen.target.ends_with(query))
}

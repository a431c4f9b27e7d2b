//! Two configurations: which keys tell them apart.

use std::collections::BTreeSet;

use super::*;

/// Every key that a configuration gives; a list of tables is one.
fn given(config: &Config) -> BTreeSet<String> {
    let table: Table = config.to_toml().parse().unwrap();
    let one = |key: String| match key.split('.').next() {
        Some(list @ ("upstreams" | "tokens" | "issuers" | "relays" | "mirrors")) => list.to_owned(),
        _ if key.starts_with("server.admin_tokens.") => "server.admin_tokens".to_owned(),
        Some("policy") => key.split('.').take(2).collect::<Vec<_>>().join("."),
        _ => key,
    };
    keys(&table).into_iter().map(one).collect()
}

fn every_key() -> Config {
    let env = owned(&[
        ("PUBLIC_READ_TOKEN", "hunter2"),
        ("PROXY_CREDENTIAL", "user:hunter2"),
        ("REDIS_PASSWORD", "hunter2"),
    ]);
    Config::load(Some(&testdata("every-key.toml")), env, Overrides::default(), Timestamp(0)).unwrap().config
}

#[test]
fn every_key_there_is_can_tell_two_apart() {
    let every = every_key();
    assert_eq!(keys(&every.to_toml().parse().unwrap()), keys(&full().to_toml().parse().unwrap()));
    assert_eq!(Config::default().differences(&every), given(&every));
    assert_eq!(every.differences(&Config::default()), given(&every));
    assert_eq!(every.differences(&every), BTreeSet::new());
}

#[test]
fn one_change_is_one_key() {
    let differing = |change: fn(&mut Config)| {
        let mut changed = full();
        change(&mut changed);
        full().differences(&changed).into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(differing(|config| config.cache.index_ttl *= 2), "cache.index_ttl");
    assert_eq!(differing(|config| config.upstreams[0].retries += 1), "upstreams");
    assert_eq!(differing(|config| config.upstreams.push(public())), "upstreams");
    assert_eq!(differing(|config| config.server.trusted_proxies.clear()), "server.trusted_proxies");
    assert_eq!(differing(|config| config.server.public_url = None), "server.public_url");
    assert_eq!(differing(|config| config.server.tls = None), "server.tls.cert server.tls.key");
}

#[test]
fn a_secret_behind_an_unchanged_name_is_a_change() {
    let mut rotated = full();
    rotated.upstreams[0].token_env = Some(Credential { variable: "READ".into(), token: "hunter3".into() });
    rotated.tokens[0].sha256 = Sha256::of(b"another");
    rotated.server.admin_token_sha256 = Some(Sha256::of(b"another"));
    assert_eq!(rotated.to_toml(), full().to_toml());
    let differing: Vec<_> = full().differences(&rotated).into_iter().collect();
    assert_eq!(differing, ["server.admin_token_sha256", "tokens", "upstreams"]);
}

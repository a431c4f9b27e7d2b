//! A configuration that gives every key there is.

use super::*;

/// A configuration that gives every key there is.
pub(super) fn full() -> Config {
    let mut config = example();
    config.server.public_url = Url::parse("https://volumes.example/base").ok();
    config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    config.server.tls = Some(TlsFiles { cert: pem("server-cert.pem"), key: pem("server-key.pem") });
    config.server.admin_token_sha256 = Some(Sha256::of(b"admin"));
    config.server.admin_tokens =
        vec![AdminTokenKeys::with("wall".into(), Sha256::of(b"wall"), AdminTokenRole::Read)];
    config.upstreams[0].token_env = Some(Credential { variable: "READ".into(), token: "hunter2".into() });
    config.upstreams[0].git_token_env = Some(Credential { variable: "GIT".into(), token: "hunter2".into() });
    config.upstreams[0].egress = egress();
    config.storage.scratch = Some(PathBuf::from("/var/tmp"));
    config.tokens = vec![Token::with("ci".into(), TokenClass::Ci, Sha256::of(b"token"))];
    let token = &mut config.tokens[0];
    token.groups = vec!["release".into()];
    token.volumes = vec!["@corp/*".parse().unwrap()];
    token.expires = Some("2027-01-31".parse().unwrap());
    config.issuers = vec![issuer()];
    config.upstreams[0].readers =
        Readers::Listed(vec!["ci".parse().unwrap(), "group:release".parse().unwrap()]);
    config.log.audit = Some(PathBuf::from("/var/log/audit.jsonl"));
    config.telemetry.otlp = Url::parse("http://127.0.0.1:4317").ok();
    config.telemetry.ca_file = Some(pem("server-cert.pem"));
    let url = Url::parse("https://api.example.com").unwrap();
    config.relays =
        vec![Relay { kind: RelayKind::Nullspace, path: "/nullspace".into(), url, egress: egress() }];
    let (mut mirror, list) =
        (Mirror::with("ci".into()), value::RootListFile::read(testdata("roots.txt")).unwrap());
    (mirror.roots, mirror.lists) = (vec!["@acme/*".parse().unwrap()], vec![list]);
    mirror.schedule = Some(Duration::from_secs(7 * 3600));
    config.mirrors = vec![mirror];
    config.policy = policies::policy();
    config.storage.url = Location::S3 { bucket: "volumes".into(), prefix: String::new() };
    config.cluster = Some(Cluster {
        password_env: Some(Credential { variable: "REDIS".into(), token: "hunter2".into() }),
        ..Cluster::with(Url::parse("redis://engine.example:6379/0").unwrap())
    });
    config
}

fn issuer() -> Issuer {
    let claims = vec![value::ExpectedClaim { name: "repository".into(), pattern: "acme/*".parse().unwrap() }];
    Issuer {
        jwks_file: Some(value::JwksFile::read(testdata("jwks.json")).unwrap()),
        jwks_url: Url::parse("https://issuer.example/keys").ok(),
        groups: vec!["release".into()],
        claims,
        egress: egress(),
        ..Issuer::with(
            "actions".into(),
            "https://issuer.example".into(),
            "scriptorium".into(),
            TokenClass::Ci,
        )
    }
}

fn egress() -> Egress {
    let pem = |name| Some(pem(name));
    Egress {
        proxy: Url::parse("http://proxy.example:3128").ok(),
        proxy_auth_env: Some(Credential { variable: "PROXY".into(), token: "user:hunter2".into() }),
        no_proxy: vec!["corp.example".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
        ca_file: pem("server-cert.pem"),
        client_cert: pem("server-cert.pem"),
        client_key: pem("server-key.pem"),
    }
}

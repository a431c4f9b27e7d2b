//! The wiring: which keys a running proxy obeys when they change.

use std::path::Path;

use super::*;
use crate::clock::Timestamp;
use crate::config::{self, AppliedBy, Overrides, PemFile};
use crate::telemetry::AccessLog;

/// A configuration in which no key is at its default.
fn every_key() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata/every-key.toml");
    let env = [
        ("PUBLIC_READ_TOKEN", "hunter2"),
        ("PROXY_CREDENTIAL", "user:hunter2"),
        ("REDIS_PASSWORD", "hunter2"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::load(Some(&file), env.into_iter(), Overrides::default(), Timestamp(0)).unwrap().config
}

/// A proxy whose next reload reads `config`.
fn app(started: &Config, config: &Config) -> App {
    let config = config.clone();
    let source = move || {
        Ok(config::Loaded { config: config.clone(), notes: Vec::new(), from_environment: Vec::new() })
    };
    App::new(started, AccessLog::default(), false, Some(Box::new(source))).unwrap()
}

fn in_memory() -> Config {
    Config {
        storage: config::Storage { url: config::Location::Memory, ..Default::default() },
        ..Config::default()
    }
}

#[test]
fn every_key_is_applied_by_a_part_or_needs_a_restart() {
    let every = every_key();
    let keys = Config::default().differences(&every);
    for key in &keys {
        assert!(Config::applied_by(key).is_some(), "{key}: its declaration does not say who applies it");
    }
    let applied: Vec<_> = keys.iter().filter(|key| !needs_restart(key)).collect();
    assert_eq!((keys.len(), applied.len()), (78, 48), "{applied:?}");
}

fn needs_restart(key: &str) -> bool {
    Config::applied_by(key) == Some(AppliedBy::Restart)
}

#[test]
fn what_is_reported_as_applied_is_in_force() {
    let every = every_key();
    let app = app(&in_memory(), &every);
    let report = app.reload.reload().unwrap();
    // A port that was plain becomes an encrypted one with a restart only.
    let waits = |key: &str| needs_restart(key) || key.starts_with("server.tls.");
    let (restart, applied): (Vec<_>, _) =
        in_memory().differences(&every).into_iter().partition(|key| waits(key));
    assert_eq!((report.applied, report.restart), (applied, restart));

    let live = app.pipeline.documents.live();
    assert_eq!(live.policy, every.cache);
    assert_eq!(live.on_divergence, every.consistency.on_divergence);
    assert_eq!(live.max_document, every.limits.max_document);
    assert!(live.upstreams.named("public").unwrap().is_as(&every.upstreams[0]));
    let headers = http::HeaderMap::from_iter([(
        http::header::HOST,
        http::HeaderValue::from_static("volumes.corp.example"),
    )]);
    let uri = http::Uri::from_static("/");
    let base = app.pipeline.base.of(&uri, &headers, (http::Version::HTTP_11, false)).unwrap();
    assert_eq!(base.parts().concat(), "https://volumes.corp.example");
}

#[test]
fn an_unchanged_upstream_is_kept() {
    let every = Config { storage: in_memory().storage, cluster: None, ..every_key() };
    let app = app(&every, &every);
    let upstream = || Arc::clone(app.pipeline.documents.live().upstreams.named("public").unwrap());
    let before = upstream();
    assert!(app.reload.reload().unwrap().applied.is_empty());
    assert!(Arc::ptr_eq(&before, &upstream()));
}

#[test]
fn a_guarded_admin_port_is_not_left_open_by_a_reload() {
    let mut started = in_memory();
    started.server.admin_listen = ([0, 0, 0, 0], 9090).into();
    started.server.admin_token_sha256 = Some(crate::domain::Sha256::of(b"secret"));
    let report = app(&started, &in_memory()).reload.reload().unwrap();
    assert!(report.applied.is_empty());
    assert_eq!(report.restart, ["server.admin_listen", "server.admin_token_sha256"]);
}

#[test]
fn a_token_with_a_name_guards_the_admin_port_as_well() {
    let named = |config: Config| {
        let (name, digest) = ("ops".to_owned(), crate::domain::Sha256::of(b"secret"));
        let tokens = vec![config::AdminTokenKeys::with(name, digest, config::AdminTokenRole::Operate)];
        Config { server: config::Server { admin_tokens: tokens, ..config.server.clone() }, ..config }
    };
    let mut started = in_memory();
    started.server.admin_listen = ([0, 0, 0, 0], 9090).into();
    started.server.admin_token_sha256 = Some(crate::domain::Sha256::of(b"secret"));
    let mut later = named(started.clone());
    later.server.admin_token_sha256 = None;
    let report = app(&started, &later).reload.reload().unwrap();
    assert_eq!(report.applied, ["server.admin_token_sha256", "server.admin_tokens"]);
}

#[test]
fn a_certificate_that_was_renewed_under_its_name_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata");
    let (cert, key) = (folder.path().join("cert.pem"), testdata.join("server-key.pem"));
    let chain = std::fs::read_to_string(testdata.join("server-cert.pem")).unwrap();
    let with_tls = || {
        let mut config = in_memory();
        let [cert, key] = [&cert, &key].map(|path| PemFile::read(path.clone()).unwrap());
        config.server.tls = Some(config::TlsFiles { cert, key });
        config
    };
    std::fs::write(&cert, &chain).unwrap();
    let started = with_tls();
    assert!(app(&started, &with_tls()).reload.reload().unwrap().applied.is_empty());
    std::fs::write(&cert, format!("{chain}\n# renewed\n")).unwrap();
    let report = app(&started, &with_tls()).reload.reload().unwrap();
    assert_eq!((report.applied, report.restart), (vec!["server.tls.cert".to_owned()], Vec::new()));
}

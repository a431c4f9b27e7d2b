//! The wiring: which keys a running proxy obeys when they change.

use std::path::Path;

use super::parts::{BODIES, BOUNDS, LIVE, SIZES};
use super::*;
use crate::config::Overrides;
use crate::telemetry::AccessLog;

/// Keys that are only read at the start.
const RESTART: &[&str] = &[
    "server.listen",
    "server.admin_listen",
    "server.client_address",
    "server.shutdown_grace",
    "server.threads",
    "cache.memory",
    "storage.url",
    "storage.durability",
    "storage.max_quarantine",
    "storage.scratch",
    "storage.max_scratch",
    "storage.tier",
    "consistency.audit_rate",
    "log.format",
    "log.level",
    "limits.max_connections",
    "limits.max_connections_per_client",
    "limits.max_connection_memory",
    "limits.header_timeout",
    "limits.send_timeout",
    "relays",
];

/// A configuration in which no key is at its default.
fn every_key() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata/every-key.toml");
    let env = [("PUBLIC_READ_TOKEN", "hunter2"), ("PROXY_CREDENTIAL", "user:hunter2")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::load(Some(&file), env.into_iter(), Overrides::default()).unwrap().config
}

/// A proxy whose next reload reads `config`.
fn app(started: &Config, config: &Config) -> App {
    let config = config.clone();
    let source =
        move || Ok(config::Loaded { config: config.clone(), notes: Vec::new(), surroundings: Vec::new() });
    App::new(started, AccessLog::default(), false, Some(Box::new(source))).unwrap()
}

fn in_memory() -> Config {
    Config {
        storage: config::Storage { url: config::Location::Memory, ..Default::default() },
        ..Config::default()
    }
}

#[test]
fn every_key_is_reloadable_or_known_to_need_a_restart() {
    let every = every_key();
    let keys = Config::default().differences(&every);
    let app = app(&every, &every);
    for key in &keys {
        let (reloadable, restart) = (app.reload.covers(key), RESTART.contains(&key.as_str()));
        assert!(reloadable != restart, "{key}: in a part of `parts`: {reloadable}, in RESTART: {restart}");
    }
    for named in RESTART.iter().chain(LIVE).chain(BOUNDS).chain(SIZES).chain(BODIES) {
        assert!(keys.contains(*named), "{named} is no key");
    }
}

#[test]
fn what_is_reported_as_applied_is_in_force() {
    let every = every_key();
    let app = app(&in_memory(), &every);
    let report = app.reload.reload().unwrap();
    // A port that was plain becomes an encrypted one with a restart only.
    let waits = |key: &str| RESTART.contains(&key) || key.starts_with("server.tls.");
    assert!(report.restart.iter().all(|key| waits(key)), "{report:?}");
    assert_eq!(
        report.applied.len(),
        LIVE.len() + BOUNDS.len() + SIZES.len() + BODIES.len() + 10,
        "{report:?}"
    );

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
    let every = every_key();
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

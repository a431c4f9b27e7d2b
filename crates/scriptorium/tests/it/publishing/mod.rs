//! Publishing through the proxy: whatever a client changes reaches the registry looked at, and only there. What the
//! registry never saw is proved by the registry, which counts what it was asked and sent.

mod bounds;
mod checks;
mod credentials;
mod framing;
mod grants;
mod hostile;
mod keys;
mod killed;
mod lost;
mod off;
mod places;
mod registries;
mod settling;
mod told;
mod trust;
mod whole;

use serde_json::Value;

use crate::support::publisher::volume;
use crate::support::{Answer, Proxy, Publisher, Publishing, Release, Seen, Setup, hex_digest};

/// A registry that is published to, and a proxy before it that relays writes.
struct Ground {
    registry: Publishing,
    proxy: Proxy,
}

impl Ground {
    fn new() -> Self {
        Self::with(|setup| setup)
    }

    fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        Self::before(Publishing::start(), change)
    }

    /// Uploads go to another host, which the operator allows.
    fn elsewhere() -> Self {
        let registry = Publishing::start_with_uploads_elsewhere();
        let allowed = vec![registry.uploads().authority()];
        Self::before(registry, |setup| setup.set("upstream.archive_hosts", allowed))
    }

    fn before(registry: Publishing, change: impl FnOnce(Setup) -> Setup) -> Self {
        let proxy = change(Setup::before(&registry).set("upstream.writes", true)).start();
        Self { registry, proxy }
    }

    /// Somebody who publishes through the proxy.
    fn publisher(&self) -> Publisher {
        Publisher::at(self.proxy.client())
    }

    /// What came to where uploads go.
    fn uploads(&self) -> Vec<Seen> {
        let seen = self.registry.uploads().seen();
        seen.into_iter().filter(|seen| seen.path().starts_with("/take/")).collect()
    }

    /// Announces what `body` says and expects it to be granted.
    #[track_caller]
    fn intent(&self, release: &Release, body: &Value) -> Value {
        granted(&self.publisher().ask("POST", &volume(&release.name), Some(body)))
    }

    /// Announces the release as it is.
    #[track_caller]
    fn announced(&self, release: &Release) -> Value {
        granted(&self.publisher().announce(release))
    }

    /// Asserts that the registry took exactly these bytes once, and that nothing is left of them in between.
    #[track_caller]
    fn assert_taken(&self, bytes: &[u8]) {
        let taken: Vec<_> = self.uploads().iter().map(Seen::sha256).collect();
        assert_eq!(taken, [hex_digest(bytes)]);
    }
}

/// The granted upload.
#[track_caller]
fn granted(answer: &Answer) -> Value {
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

/// The name of an upload's place at the proxy.
fn place(intent: &Value) -> &str {
    intent["upload"]["url"].as_str().unwrap().rsplit('/').next().unwrap()
}

fn lamp() -> Release {
    Release::new("@acme/lamp", "1.1.0")
}

/// `Authorization` with a token.
fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

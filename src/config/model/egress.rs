//! What the configuration says of the way out: through which proxy, and how each side proves who it is.
//!
//! Owns those keys, which every table with a `url` has. Must not know how a connection is made.

use url::{Host, Url};

use super::super::value::{Credential, Exempt, PemFile};

/// The keys of `[[upstreams]]` and `[[relays]]` about connections.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Egress {
    /// What connections go through; scheme, host and port only.
    pub proxy: Option<Url>,
    /// `user:password` for it.
    pub proxy_auth_env: Option<Credential>,
    /// What does not go through it.
    pub no_proxy: Vec<Exempt>,
    /// Authorities that are believed besides the built-in ones.
    pub ca_file: Option<PemFile>,
    /// What this proxy shows of itself.
    pub client_cert: Option<PemFile>,
    /// And the key of that.
    pub client_key: Option<PemFile>,
}

impl Egress {
    /// The proxy that a connection to `host`, as a URL writes it, goes through.
    #[must_use]
    pub fn proxy_for(&self, host: &str) -> Option<&Url> {
        let host = Host::parse(host).ok()?;
        self.proxy.as_ref().filter(|_| !self.no_proxy.iter().any(|exempt| exempt.covers(&host)))
    }
}

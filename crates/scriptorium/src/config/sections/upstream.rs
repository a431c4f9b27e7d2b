//! The section `[[upstreams]]`, and the keys about connections that it shares with `[[relays]]`.
//!
//! Owns their keys. Must not know where a value came from, nor how a connection is made.

use std::time::Duration;

use ipnet::IpNet;
use url::{Host, Url};

use super::super::declare::{choice, section};
use super::super::formats::{
    authorities, base_url, certificate, choice, exempt, flag, host, name, network, number, number_or_zero,
    pattern, private_key, proxy_credential, proxy_url, reading_clients, timeout, token_variable,
};
use super::super::value::{Credential, HostPattern, NoProxyEntry, PemFile, Readers};
use crate::domain::{Sha256, VolumePattern};

section! {
    pub(crate) struct Upstream requires {
        /// Name of the registry in logs and metrics.
        name: String, name().example(r#""public""#);
        /// Base URL of the registry's API.
        url: Url, base_url().example(r#""https://registry.example.com""#);
    } with {
        /// Environment variable with the proxy's own credential for reads. Credentials of clients are never
        /// used for reads.
        token_env: Option<Credential> = None, token_variable().optional().example(r#""PUBLIC_READ_TOKEN""#);
        /// Volumes that this registry is asked for: exact names, or "@acme/*" and "tools-*". An empty list is
        /// every volume.
        volumes: Vec<VolumePattern> = Vec::new(), pattern().list();
        /// Hosts (or host:port; without a port, the port of the scheme) to which archive links and their
        /// redirects may lead, besides the registry's own. The owner of such a host chooses its addresses, so
        /// the proxy connects only to public addresses, to the network of the address in `url`, and to
        /// `private_addresses`.
        archive_hosts: Vec<HostPattern> = Vec::new(), host().list();
        /// How clients see a release that Git delivers: "git" passes its repository and reference on; "cdn" names its archive
        /// on this proxy instead, for clients without Git. The archive is served in both cases.
        git_as: GitForm = GitForm::Git, choice();
        /// Hosts (or host:port, as in `archive_hosts`) from which releases may be fetched by Git, besides the registry's
        /// own. Their addresses are judged like those of `archive_hosts`. Only http and https are spoken, and never
        /// http where `url` is https.
        git_hosts: Vec<HostPattern> = Vec::new(), host().list();
        /// Environment variable with a credential for Git: user:password, or a token alone. It is sent to the
        /// first of `git_hosts` only; to the registry's own host if none is listed.
        git_token_env: Option<Credential> = None, token_variable().optional().example(r#""GIT_READ_TOKEN""#);
        /// Private networks in which `archive_hosts` and `git_hosts` may be. The proxy never connects to a cloud's metadata
        /// service, nor to its own ports.
        private_addresses: Vec<IpNet> = Vec::new(), network().list();
        /// Who may read what this registry has: "anyone", "tokens" (each client with a token that holds), or a list of
        /// names of tokens and issuers, and of groups ("group:release"). Others are answered 401 without such a token
        /// and 403 with one, whether the volume exists or not; search leaves its volumes out.
        readers: Readers = Readers::Anyone, reading_clients().example(r#"["ci-main", "group:release"]"#);
        /// How long to wait for a connection.
        connect_timeout: Duration = Duration::from_secs(5), timeout();
        /// How long to wait for the next byte. A transfer is not cut off while it averages 4 KiB/s.
        read_timeout: Duration = Duration::from_secs(30), timeout();
        /// How often a failed read is tried again. Resuming a download that broke off counts as a try.
        retries: u32 = 2, number("retries", 0..=10);
        /// Most requests to this registry in flight at once. More of them wait.
        max_concurrent: usize = 64, number("requests", 1..=100_000);
        /// Most requests to this registry in any 60 seconds, retries, redirects and downloads included; 0 is
        /// no bound.
        requests_per_minute: u32 = 0, number_or_zero("requests", "no budget", 1_000_000);
        /// Relay publish, unpublish and trust uploads to this registry, with the client's own credential.
        writes: bool = false, flag();
        /// How an upload is checked before it is sent on: "strict" checks it against the archive profile, its
        /// release and what was declared before; "relay" checks only its size and its idempotency key.
        writes_check: WritesCheck = WritesCheck::Strict, choice();
        /// Whether `Cache-Control` of the registry counts: "obey" stores no document that it forbids to
        /// store, and keeps none for longer than it or the capability document allows; "ignore" uses the TTLs
        /// in `[cache]` alone.
        cache_control: CacheControl = CacheControl::Obey, choice();
        ..egress: Egress;
    }
}

impl Upstream {
    /// An upstream for every volume, with every key at its default.
    #[must_use]
    pub(crate) fn new(name: impl Into<String>, url: Url) -> Self {
        Self::with(name.into(), url)
    }

    /// What all proxies of a cluster call the registry: its name, and a digest of where it is.
    pub(crate) fn shared_name(&self) -> String {
        let origin = Sha256::of(self.url.as_str().as_bytes()).hex();
        format!("{}:{}", self.name, &origin[..16])
    }
}

choice! { pub(crate) enum WritesCheck { Strict = "strict", Relay = "relay" } }

choice! { pub(crate) enum GitForm { Git = "git", Cdn = "cdn" } }

choice! { pub(crate) enum CacheControl { Obey = "obey", Ignore = "ignore" } }

section! {
    /// The keys of `[[upstreams]]` and `[[relays]]` about connections.
    pub(crate) struct Egress {
        /// Proxy for connections to the registry and to its archive hosts: CONNECT for https, absolute URLs
        /// for http. If it is not given, HTTPS_PROXY of the environment counts for https and http_proxy for
        /// http, but not for this machine. A proxy resolves host names itself, so the rules about hosts then
        /// judge names instead of addresses.
        proxy: Option<Url> = None, proxy_url().optional().example(r#""http://proxy.corp.example:3128""#);
        /// Environment variable with user:password for the proxy.
        proxy_auth_env: Option<Credential> = None, proxy_credential().optional().example(r#""PROXY_CREDENTIAL""#);
        /// Hosts to which connections do not use the proxy: names (with all names below them), addresses,
        /// networks, or "*". If it is not given, NO_PROXY of the environment counts.
        no_proxy: Vec<NoProxyEntry> = Vec::new(), exempt().list().example(r#"["corp.example", "10.0.0.0/8"]"#);
        /// PEM file of certificate authorities to trust, besides those of the machine (which SSL_CERT_FILE
        /// may name). It may hold a server's own self-signed certificate.
        ca_file: Option<PemFile> = None, authorities().optional().example(r#""corp-ca.pem""#);
        /// PEM file of the certificate that this proxy shows to servers that ask for one (mutual TLS). A
        /// reload reads this file, its key and `ca_file` again.
        client_cert: Option<PemFile> = None, certificate().optional().example(r#""client.pem""#);
        /// PEM file of the private key of `client_cert`.
        client_key: Option<PemFile> = None, private_key().optional().example(r#""client.key""#);
    }
}

impl Egress {
    /// The proxy for connections to `host`, which is spelt as in a URL.
    #[must_use]
    pub(crate) fn proxy_for(&self, host: &str) -> Option<&Url> {
        let host = Host::parse(host).ok()?;
        self.proxy.as_ref().filter(|_| !self.no_proxy.iter().any(|exempt| exempt.covers(&host)))
    }
}

//! Every key, once: its name, its kind, and the field it fills.
//!
//! One walk serves both directions. A reader ignores what it is handed, except as the default, and answers what
//! the sources say; a printer writes down what it is handed and answers it unchanged. Must not know which it is.

use url::Url;

use super::kind::{
    ADDRESS, BASE_URL, BUDGET, CACHE_CONTROL, CLASS, CLIENT_ADDRESS, CONCURRENCY, CONNECTION_MEMORY,
    CONNECTIONS, CREDENTIAL, DURABILITY, ENTRIES, EXEMPT, FILE, FLAG, FOLDER, FORMAT, HOST, Kind, LEVEL,
    LOCATION, MOUNT, NAME, NETWORK, OFFLINE_ROWS, ON_DIVERGENCE, PACE, PATTERN, PEM, PERIOD, PROXY,
    PROXY_CREDENTIAL, RATE, RELAY, RETRIES, SECRET_DIGEST, SIZE, THREADS, TIMEOUT, WRITES_CHECK,
};
use super::model::{
    Cache, Config, Consistency, Egress, Limits, Log, RateLimits, Relay, Server, Storage, Tls, Token, Upstream,
};

/// Someone who walks the keys in order.
pub(super) trait Visitor {
    /// A key with a default.
    fn setting<T: Clone + PartialEq + 'static>(&mut self, key: &'static str, kind: &Kind<T>, now: &T) -> T;
    /// A key that may be left out. Who walks a configuration that holds meets it only where it is.
    fn optional<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        now: Option<&T>,
    ) -> Option<T> {
        now.map(|now| self.setting(key, kind, now))
    }
    /// A key that its table cannot do without; `None` where it is missing or bad.
    fn required<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        now: Option<&T>,
    ) -> Option<T> {
        self.optional(key, kind, now)
    }
    /// A list of values.
    fn list<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        kind: &Kind<T>,
        now: &[T],
    ) -> Vec<T>;
    /// A table that always is.
    fn section<T>(&mut self, key: &'static str, now: &T, walk: fn(&mut Self, &T) -> T) -> T;
    /// A table that may be left out.
    fn table<T>(&mut self, key: &'static str, now: Option<&T>, walk: Walk<Self, T>) -> Option<T>;
    /// A list of tables in which no two agree on a key of `unique`.
    fn tables<T: Clone + PartialEq + 'static>(
        &mut self,
        key: &'static str,
        unique: &[&'static str],
        now: &[T],
        walk: Walk<Self, T>,
    ) -> Vec<T>;
}

/// Walks a table that is there or not; `None` where it lacks a required key.
pub(super) type Walk<V, T> = fn(&mut V, Option<&T>) -> Option<T>;

pub(super) fn config<V: Visitor>(v: &mut V, now: &Config) -> Config {
    Config {
        server: v.section("server", &now.server, server),
        upstreams: v.tables("upstreams", &["name"], &now.upstreams, upstream),
        cache: v.section("cache", &now.cache, cache),
        storage: v.section("storage", &now.storage, storage),
        limits: v.section("limits", &now.limits, limits),
        rate_limits: v.section("rate_limits", &now.rate_limits, rate_limits),
        tokens: v.tables("tokens", &["name", "sha256"], &now.tokens, token),
        consistency: v.section("consistency", &now.consistency, consistency),
        relays: v.tables("relays", &["path"], &now.relays, relay),
        log: v.section("log", &now.log, log),
    }
}

fn server<V: Visitor>(v: &mut V, now: &Server) -> Server {
    Server {
        listen: v.setting("listen", &ADDRESS, &now.listen),
        admin_listen: v.setting("admin_listen", &ADDRESS, &now.admin_listen),
        public_url: v.optional("public_url", &BASE_URL, now.public_url.as_ref()),
        hosts: v.list("hosts", &HOST, &now.hosts),
        admin_hosts: v.list("admin_hosts", &HOST, &now.admin_hosts),
        trusted_proxies: v.list("trusted_proxies", &NETWORK, &now.trusted_proxies),
        client_address: v.setting("client_address", &CLIENT_ADDRESS, &now.client_address),
        shutdown_grace: v.setting("shutdown_grace", &PERIOD, &now.shutdown_grace),
        threads: v.setting("threads", &THREADS, &now.threads),
        tls: v.table("tls", now.tls.as_ref(), tls),
        admin_token_sha256: v.optional("admin_token_sha256", &SECRET_DIGEST, now.admin_token_sha256.as_ref()),
    }
}

fn tls<V: Visitor>(v: &mut V, now: Option<&Tls>) -> Option<Tls> {
    let cert = v.required("cert", &FILE, now.map(|tls| &tls.cert));
    let key = v.required("key", &FILE, now.map(|tls| &tls.key));
    Some(Tls { cert: cert?, key: key? })
}

fn upstream<V: Visitor>(v: &mut V, now: Option<&Upstream>) -> Option<Upstream> {
    let name = v.required("name", &NAME, now.map(|upstream| &upstream.name));
    let url = v.required("url", &BASE_URL, now.map(|upstream| &upstream.url));
    // Holds the defaults of the other keys, which are read even where a required one is missing.
    let blank = Upstream::new("", Url::parse("http://blank.invalid").ok()?);
    let now = now.unwrap_or(&blank);
    let rest = Upstream {
        token_env: v.optional("token_env", &CREDENTIAL, now.token_env.as_ref()),
        volumes: v.list("volumes", &PATTERN, &now.volumes),
        archive_hosts: v.list("archive_hosts", &HOST, &now.archive_hosts),
        private_addresses: v.list("private_addresses", &NETWORK, &now.private_addresses),
        egress: egress(v, &now.egress),
        connect_timeout: v.setting("connect_timeout", &TIMEOUT, &now.connect_timeout),
        read_timeout: v.setting("read_timeout", &TIMEOUT, &now.read_timeout),
        retries: v.setting("retries", &RETRIES, &now.retries),
        max_concurrent: v.setting("max_concurrent", &CONCURRENCY, &now.max_concurrent),
        requests_per_minute: v.setting("requests_per_minute", &BUDGET, &now.requests_per_minute),
        writes: v.setting("writes", &FLAG, &now.writes),
        writes_check: v.setting("writes_check", &WRITES_CHECK, &now.writes_check),
        cache_control: v.setting("cache_control", &CACHE_CONTROL, &now.cache_control),
        ..blank.clone()
    };
    Some(Upstream { name: name?, url: url?, ..rest })
}

/// The keys of the way out, which stand in the table of whom it leads to.
fn egress<V: Visitor>(v: &mut V, now: &Egress) -> Egress {
    Egress {
        proxy: v.optional("proxy", &PROXY, now.proxy.as_ref()),
        proxy_auth_env: v.optional("proxy_auth_env", &PROXY_CREDENTIAL, now.proxy_auth_env.as_ref()),
        no_proxy: v.list("no_proxy", &EXEMPT, &now.no_proxy),
        ca_file: v.optional("ca_file", &PEM, now.ca_file.as_ref()),
        client_cert: v.optional("client_cert", &PEM, now.client_cert.as_ref()),
        client_key: v.optional("client_key", &PEM, now.client_key.as_ref()),
    }
}

fn cache<V: Visitor>(v: &mut V, now: &Cache) -> Cache {
    Cache {
        index_ttl: v.setting("index_ttl", &PERIOD, &now.index_ttl),
        release_ttl: v.setting("release_ttl", &PERIOD, &now.release_ttl),
        trust_ttl: v.setting("trust_ttl", &PERIOD, &now.trust_ttl),
        advisories_ttl: v.setting("advisories_ttl", &PERIOD, &now.advisories_ttl),
        search_ttl: v.setting("search_ttl", &PERIOD, &now.search_ttl),
        capabilities_ttl: v.setting("capabilities_ttl", &PERIOD, &now.capabilities_ttl),
        negative_ttl: v.setting("negative_ttl", &PERIOD, &now.negative_ttl),
        stale_while_revalidate: v.setting("stale_while_revalidate", &PERIOD, &now.stale_while_revalidate),
        stale_if_error: v.setting("stale_if_error", &PERIOD, &now.stale_if_error),
        memory: v.setting("memory", &SIZE, &now.memory),
        offline: v.setting("offline", &FLAG, &now.offline),
        offline_rows: v.setting("offline_rows", &OFFLINE_ROWS, &now.offline_rows),
    }
}

fn storage<V: Visitor>(v: &mut V, now: &Storage) -> Storage {
    Storage {
        url: v.setting("url", &LOCATION, &now.url),
        max_size: v.setting("max_size", &SIZE, &now.max_size),
        durability: v.setting("durability", &DURABILITY, &now.durability),
        max_quarantine: v.setting("max_quarantine", &SIZE, &now.max_quarantine),
        scratch: v.optional("scratch", &FOLDER, now.scratch.as_ref()),
        max_scratch: v.setting("max_scratch", &SIZE, &now.max_scratch),
        tier: v.setting("tier", &FOLDER, &now.tier),
    }
}

fn limits<V: Visitor>(v: &mut V, now: &Limits) -> Limits {
    let max_connections = v.setting("max_connections", &CONNECTIONS, &now.max_connections);
    let connections = (now.max_connections_per_client, now.max_connections);
    let max_downloads = v.setting("max_downloads", &CONCURRENCY, &now.max_downloads);
    let downloads = (now.max_downloads_per_client, now.max_downloads);
    Limits {
        max_archive: v.setting("max_archive", &SIZE, &now.max_archive),
        max_unpacked: v.setting("max_unpacked", &SIZE, &now.max_unpacked),
        max_entries: v.setting("max_entries", &ENTRIES, &now.max_entries),
        max_document: v.setting("max_document", &SIZE, &now.max_document),
        max_request_body: v.setting("max_request_body", &SIZE, &now.max_request_body),
        max_connections,
        max_connections_per_client: v.setting(
            "max_connections_per_client",
            &CONNECTIONS,
            &share(Limits::half, connections, max_connections),
        ),
        max_connection_memory: v.setting(
            "max_connection_memory",
            &CONNECTION_MEMORY,
            &now.max_connection_memory,
        ),
        header_timeout: v.setting("header_timeout", &TIMEOUT, &now.header_timeout),
        send_timeout: v.setting("send_timeout", &TIMEOUT, &now.send_timeout),
        max_requests: v.setting("max_requests", &CONCURRENCY, &now.max_requests),
        max_requests_per_client: v.setting(
            "max_requests_per_client",
            &CONCURRENCY,
            &now.max_requests_per_client,
        ),
        max_downloads,
        max_downloads_per_client: v.setting(
            "max_downloads_per_client",
            &CONCURRENCY,
            &share(Limits::quarter, downloads, max_downloads),
        ),
    }
}

/// What one client has of `all` that were just read. A reader is handed the default, which follows them; what a printer is
/// handed is what was said.
fn share(of: fn(usize) -> usize, (one, all_before): (usize, usize), all: usize) -> usize {
    if one == of(all_before) { of(all) } else { one }
}

fn rate_limits<V: Visitor>(v: &mut V, now: &RateLimits) -> RateLimits {
    RateLimits {
        anonymous: v.setting("anonymous", &RATE, &now.anonymous),
        authenticated: v.setting("authenticated", &RATE, &now.authenticated),
        ci: v.setting("ci", &RATE, &now.ci),
    }
}

fn token<V: Visitor>(v: &mut V, now: Option<&Token>) -> Option<Token> {
    let name = v.required("name", &NAME, now.map(|token| &token.name));
    let class = v.required("class", &CLASS, now.map(|token| &token.class));
    let sha256 = v.required("sha256", &SECRET_DIGEST, now.map(|token| &token.sha256));
    Some(Token { name: name?, class: class?, sha256: sha256? })
}

fn consistency<V: Visitor>(v: &mut V, now: &Consistency) -> Consistency {
    Consistency {
        on_divergence: v.setting("on_divergence", &ON_DIVERGENCE, &now.on_divergence),
        audit_rate: v.setting("audit_rate", &PACE, &now.audit_rate),
    }
}

fn relay<V: Visitor>(v: &mut V, now: Option<&Relay>) -> Option<Relay> {
    let kind = v.required("kind", &RELAY, now.map(|relay| &relay.kind));
    let path = v.required("path", &MOUNT, now.map(|relay| &relay.path));
    let url = v.required("url", &BASE_URL, now.map(|relay| &relay.url));
    let blank = Egress::default();
    let egress = egress(v, now.map_or(&blank, |relay| &relay.egress));
    Some(Relay { kind: kind?, path: path?, url: url?, egress })
}

fn log<V: Visitor>(v: &mut V, now: &Log) -> Log {
    Log { format: v.setting("format", &FORMAT, &now.format), level: v.setting("level", &LEVEL, &now.level) }
}

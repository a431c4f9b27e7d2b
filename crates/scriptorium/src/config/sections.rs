//! Every key of the configuration: its type, default and bounds, the part that applies a change, and its reason.
//!
//! A section is a struct, a key a field of it; `declare.rs` says how to read a declaration. The sample file
//! (`scriptorium config sample`) and the reference page (`scriptorium config reference`) are printed from
//! here. Owns the keys. Must not know where a value came from.

use std::path::PathBuf;
use std::time::Duration;

use bundle::TrustedKey;
use url::Url;

use super::declare::{choice, section};
use super::formats::{base_url, bytes, choice, file, mount, period, rate, too_few, trusted_key};
use super::section::{table, tables};
use super::value::Rate;

mod cache;
mod clients;
mod cluster;
mod limits;
mod mirror;
mod policy;
mod server;
mod storage;
mod telemetry;
mod upstream;

pub(crate) use cache::{Cache, OfflineRows};
pub(crate) use clients::{Issuer, Token, TokenClass};
pub(crate) use cluster::Cluster;
pub(crate) use limits::Limits;
pub(crate) use mirror::Mirror;
pub(crate) use policy::PolicyKeys;
#[cfg(test)]
pub(crate) use server::TlsFiles;
pub(crate) use server::{AdminTokenKeys, AdminTokenRole, ClientAddress, Server};
pub(crate) use storage::{Durability, Storage};
pub(crate) use telemetry::Telemetry;
pub(crate) use upstream::{CacheControl, Egress, GitForm, Upstream, WritesCheck};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

section! {
    /// The whole configuration.
    pub(crate) struct Config {
        /// Ports, TLS, clients' addresses and shutdown.
        server: Server = Server::default(), table();
        /// Registries; at least one, unless cache.offline is true. The first in this order whose `volumes` match a request is asked, and no
        /// other.
        upstreams: Vec<Upstream> = Vec::new(), tables(&["name"]).example("[[upstreams]]"), Documents;
        /// How long documents are served without asking the registry again, and what is served while it
        /// cannot be asked.
        cache: Cache = Cache::default(), table();
        /// Where documents and archives are kept, and how much of them.
        storage: Storage = Storage::default(), table();
        /// Bounds of sizes, connections and requests. They keep one client or one registry from taking
        /// everything.
        limits: Limits = Limits::default(), table();
        /// How many requests a client may send per second (/s), minute (/min) or hour (/h), by its class.
        rate_limits: RateLimits = RateLimits::default(), table();
        /// Clients that are known by their bearer token.
        tokens: Vec<Token> = Vec::new(), tables(&["name", "sha256"]), ClientRates;
        /// Issuers of signed tokens (JWT), such as a CI system. A token that holds counts as one of `[[tokens]]`; any
        /// other counts as none. The first issuer in this order counts whose `issuer`, `audience` and `claims` the
        /// token has.
        issuers: Vec<Issuer> = Vec::new(), tables(&["name"]), ClientRates;
        /// What the proxy does about a registry that contradicts itself, and how it looks for damage in the
        /// store.
        consistency: Consistency = Consistency::default(), table();
        /// Another API behind this proxy. Requests below its path are relayed, and uploads are checked on the
        /// way.
        relays: Vec<Relay> = Vec::new(), tables(&["path"]), Restart;
        /// What may come in: rules on releases, and releases that they spare.
        policy: PolicyKeys = PolicyKeys::default(), table();
        /// What is brought in ahead of requests, so that it can be installed while its registry is away:
        /// `scriptorium mirror`.
        mirrors: Vec<Mirror> = Vec::new(), tables(&["name"]), Mirrors;
        /// Bundles, which bring what a mirror holds across an air gap.
        bundles: Bundles = Bundles::default(), table();
        /// What several proxies on one bucket agree on, and through what. Needs storage.url = "s3://…".
        cluster: Option<Cluster> = None, table().optional().example(
            r#"{ url = "redis://127.0.0.1:6379/0", nodes = 3 }"#), Restart;
        /// What is logged to standard error, and the audit record.
        log: Log = Log::default(), table();
        /// Where traces go.
        telemetry: Telemetry = Telemetry::default(), table();
    }
}

section! {
    pub(crate) struct RateLimits {
        /// Rate of each client address (IPv6: of each /64) without a known token.
        anonymous: Rate = Rate::per_minute(60), rate(), ClientRates;
        /// Rate of each token of class "authenticated".
        authenticated: Rate = Rate::per_minute(300), rate(), ClientRates;
        /// Rate of each token of class "ci".
        ci: Rate = Rate::per_minute(1000), rate(), ClientRates;
    }
}

section! {
    pub(crate) struct Consistency {
        /// What an index shows of a release that the registry contradicts itself about: "quarantine" shows
        /// its row as unavailable, "fail" refuses the whole index.
        on_divergence: OnDivergence = OnDivergence::Quarantine, choice(), Documents;
        /// Bytes per second that the background audit reads from the store. Passes are an hour apart; "0B" is
        /// no audit.
        audit_rate: u64 = 0, bytes(
            "so many bytes a second such as \"8MiB\", at most 1 EiB, or \"0B\" for never", 0)
            .doubted(|rate| too_few(*rate, 4 * KIB, "MiB")), Restart;
    }
}

choice! { pub(crate) enum OnDivergence { Quarantine = "quarantine", Fail = "fail" } }

section! {
    pub(crate) struct Relay requires {
        /// The API to relay.
        kind: RelayKind, choice().example(r#""nullspace""#);
        /// Path of the API on the public port.
        path: String, mount().example(r#""/nullspace""#);
        /// Base URL of the API.
        url: Url, base_url().example(r#""https://api.example.com""#);
    } with {
        ..egress: Egress;
    }
}

choice! { pub(crate) enum RelayKind { Nullspace = "nullspace" } }

section! {
    pub(crate) struct Bundles {
        /// Public keys of those whose bundles `scriptorium mirror import` takes in; each import reads them.
        /// Without any, nothing is imported.
        trusted_keys: Vec<TrustedKey> = Vec::new(), trusted_key().list().example(
            r#"["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"]"#), Restart;
        /// Age from which /readyz says that what was imported is old: since a registry last confirmed a document
        /// of the newest bundle. Serving goes on.
        max_age: Duration = Duration::from_secs(30 * 86_400), period(), Restart;
    }
}

section! {
    pub(crate) struct Log {
        /// "text" for people or "json" for machines.
        format: LogFormat = LogFormat::Text, choice(), Restart;
        /// Least important level that is logged: "error", "warn", "info", "debug" or "trace".
        level: LogLevel = LogLevel::Info, choice(), Restart;
        /// File of the audit record: one JSON line for each write, refusal by policy, invalidation, import, reload and
        /// action of an operator, each with the digest of the line before. `scriptorium log verify` proves that none is
        /// missing. A reload opens the file again. If it is not given, the same goes to the log.
        audit: Option<PathBuf> = None, file().optional().example(r#""/var/log/scriptorium/audit.jsonl""#), AuditRecord;
    }
}

choice! { pub(crate) enum LogFormat { Text = "text", Json = "json" } }

choice! {
    pub(crate) enum LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
}

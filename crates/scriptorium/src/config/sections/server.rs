//! The section `[server]`.
//!
//! Owns its keys. Must not know where a value came from.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::super::address::Listeners;
use super::super::declare::{choice, section};
use super::super::formats::{
    base_url, certificate, choice, host, name, network, number_or_zero, period, private_key, socket,
    token_digest,
};
use super::super::section::{table, tables};
use super::super::value::{HostPattern, PemFile};
use crate::domain::Sha256;

section! {
    pub(crate) struct Server {
        /// Address and port of the public API. By default only this machine reaches it; decide who may before
        /// you change it.
        listen: SocketAddr = (Ipv4Addr::LOCALHOST, 8080).into(), socket(), Restart;
        /// Address and port of health, metrics, dashboard and admin API. The public port never serves these.
        admin_listen: SocketAddr = (Ipv4Addr::LOCALHOST, 9090).into(), socket(), Restart;
        /// Base URL of links in documents, path prefix included. If it is not given, links start with the
        /// scheme and the Host of each request.
        public_url: Option<Url> = None, base_url().optional().example(r#""https://volumes.corp.example""#), Links;
        /// Hosts (or host:port) that requests may name, besides that of `public_url`. A request for another
        /// host is answered 421. An empty list allows every host.
        hosts: Vec<HostPattern> = Vec::new(), host().list(), Links;
        /// Hosts that requests to the admin port may name, besides localhost, loopback addresses and the
        /// address in `admin_listen`. Otherwise a web page whose host name points to this address could read
        /// the admin port through an operator's browser.
        admin_hosts: Vec<HostPattern> = Vec::new(), host().list(), AdminHosts;
        /// Networks of the proxies and load balancers in front of this proxy. Only these may say where a
        /// request came from.
        trusted_proxies: Vec<IpNet> = Vec::new(), network().list(), ClientRates;
        /// How a trusted proxy says where a request came from: "x-forwarded-for" (with X-Forwarded-Proto for
        /// the scheme of links), "forwarded" (RFC 7239), "proxy-protocol" (of load balancers below HTTP) or
        /// "peer" (the address of the connection). Every other source is ignored.
        client_address: ClientAddress = ClientAddress::XForwardedFor, choice(), Restart;
        /// How long requests in flight may take after SIGTERM. If none is in flight, the process ends at
        /// once.
        shutdown_grace: Duration = Duration::from_secs(30), period(), Restart;
        /// Number of worker threads; 0 is one per core.
        threads: usize = 0, number_or_zero("threads", "one per core", 1024), Restart;
        /// Certificate and private key of the public port, as PEM files. With them it speaks TLS, and HTTP/2
        /// by ALPN. A reload reads both files again, but cannot turn TLS on or off.
        tls: Option<TlsFiles> = None, table().optional().example(
            r#"{ cert = "cert.pem", key = "key.pem" }"#), Certificate;
        /// SHA-256 of the admin port's token, as `scriptorium token hash` prints it. A token, here or in
        /// `admin_tokens`, is required if `admin_listen` is not loopback; a reload can then not remove the last.
        admin_token_sha256: Option<Sha256> = None, token_digest().optional().example(
            r#""2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b""#), AdminToken;
        /// Further tokens of the admin port, each with a name and a role, so that the audit record tells their
        /// holders apart and a dashboard needs no token that may act. They count like `admin_token_sha256`.
        admin_tokens: Vec<AdminTokenKeys> = Vec::new(), tables(&["name", "sha256"]).example(
            r#"[{ name = "wall", sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", role = "read" }]"#),
            AdminToken;
    }
}

impl Server {
    /// Whether both ports cannot be bound together. Port 0 is a free port, another one each time.
    pub(crate) fn ports_collide(&self) -> bool {
        let (one, other) = (self.listen, self.admin_listen);
        let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
        one.port() != 0 && one.port() == other.port() && same_host
    }

    /// The addresses of this proxy, to which no registry may direct a connection.
    #[must_use]
    pub(crate) fn listeners(&self) -> Listeners {
        Listeners::new([self.listen, self.admin_listen])
    }
}

section! {
    pub(crate) struct TlsFiles requires {
        /// Certificate chain of the public port.
        cert: PemFile, certificate().example(r#""cert.pem""#);
        /// Private key of the certificate.
        key: PemFile, private_key().example(r#""key.pem""#);
    } with {}
}

section! {
    pub(crate) struct AdminTokenKeys requires {
        /// Name of the holder in the log and in the audit record.
        name: String, name().example(r#""wall""#);
        /// SHA-256 of the token, as `scriptorium token hash` prints it.
        sha256: Sha256, token_digest().example(
            r#""9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08""#);
        /// "read" sees everything and changes nothing; "operate" may also act.
        role: AdminTokenRole, choice().example(r#""read""#);
    } with {}
}

choice! { pub(crate) enum AdminTokenRole { Read = "read", Operate = "operate" } }

choice! {
    pub(crate) enum ClientAddress {
        XForwardedFor = "x-forwarded-for", Forwarded = "forwarded", ProxyProtocol = "proxy-protocol", Peer = "peer"
    }
}

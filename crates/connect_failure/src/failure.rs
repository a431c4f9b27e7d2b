//! The causes of failed connections, their names, and what the operator can do about each.
//!
//! Owns this closed set. Must not know how a cause is detected.

/// Whom the connection was for. They are configured by different keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectTarget {
    /// A registry, by HTTP.
    Registry,
    /// A host that a registry points to, and that this key of the registry lists.
    Listed(&'static str),
    /// The Redis or Valkey of a cluster.
    Engine,
    /// What takes spans.
    Collector,
}

impl ConnectTarget {
    /// The key that says where it is.
    fn key(self) -> &'static str {
        match self {
            Self::Registry => "url",
            Self::Listed(key) => key,
            Self::Engine => "cluster.url",
            Self::Collector => "telemetry.otlp",
        }
    }
}

const NAME: &str = "check the host in {key}, and the name servers of this machine (/etc/resolv.conf)";
const FILTERED: &str = "check host and port in {key}, and let the firewall pass it";
const NO_ROUTE: &str = "check the host in {key}, and the network of this machine";
const CLOSED: &str = "check port and scheme of {key}, and what stands between here and there";
const TLS_NAME: &str = "use in {key} a host that the certificate names, or have its owner renew it";
const TLS_EXPIRED: &str =
    "have its owner renew the certificate; if the dates look right, set this machine's clock";
const SYSTEM: &str = "see the cause";

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConnectFailure {
    /// The name has no address, or no name server answers.
    #[error("its name cannot be resolved")]
    Name,
    /// Nothing listens at that port.
    #[error("it refuses connections")]
    Refused,
    /// Nothing comes back, as behind a firewall that drops packets.
    #[error("nothing answers at its address")]
    Filtered,
    /// The network has no way there.
    #[error("there is no route to it")]
    NoRoute,
    /// The other side closed the connection at once.
    #[error("it closes connections at once")]
    Closed,
    /// Its certificate is for another name.
    #[error("its certificate is for another name")]
    TlsName,
    /// Its certificate has expired, or is not valid yet.
    #[error("its certificate has expired or is not valid yet")]
    TlsExpired,
    /// Its certificate is signed by an unknown authority.
    #[error("its certificate is not signed by an authority that this proxy knows")]
    TlsAuthority,
    /// It wants a client certificate, or another one.
    #[error("it does not accept this proxy's client certificate, or requires one")]
    TlsClient,
    /// The server does not speak TLS.
    #[error("it does not speak TLS at that port, where TLS was asked")]
    NotTls,
    /// The server speaks TLS where none was expected.
    #[error("it speaks TLS at that port, where none was asked")]
    OnlyTls,
    /// TLS fails in another way.
    #[error("the TLS handshake fails")]
    Tls,
    /// The HTTP proxy cannot be reached, or TLS with it fails.
    #[error("the proxy on the way to it cannot be reached")]
    ProxyUnreachable,
    /// The HTTP proxy wants a credential, or another one.
    #[error("the proxy on the way to it does not accept this proxy's credential, or requires one")]
    ProxyCredential,
    /// The HTTP proxy does not connect to the host.
    #[error("the proxy on the way to it refuses or fails to connect there")]
    ProxyRefused,
    /// The system reports another error.
    #[error("the system reports another error")]
    System,
}

impl ConnectFailure {
    /// The word used in metrics, logs and the status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "dns",
            Self::Refused => "refused",
            Self::Filtered => "filtered",
            Self::NoRoute => "no-route",
            Self::Closed => "closed",
            Self::TlsName => "tls-name",
            Self::TlsExpired => "tls-expired",
            Self::TlsAuthority => "tls-authority",
            Self::TlsClient => "tls-client-certificate",
            Self::NotTls => "not-tls",
            Self::OnlyTls => "only-tls",
            Self::Tls => "tls",
            Self::ProxyUnreachable => "proxy-unreachable",
            Self::ProxyCredential => "proxy-credential",
            Self::ProxyRefused => "proxy-refused",
            Self::System => "unreachable",
        }
    }

    /// The advice for the operator: the key or the file that helps.
    pub fn remedy(self, target: ConnectTarget) -> String {
        let remedy = match target {
            ConnectTarget::Registry | ConnectTarget::Listed(_) => self.by_http(target),
            ConnectTarget::Engine => self.by_redis(),
            ConnectTarget::Collector => self.by_grpc(),
        };
        remedy.replace("{key}", &format!("`{}`", target.key()))
    }

    fn by_http(self, target: ConnectTarget) -> &'static str {
        let is_listed = target != ConnectTarget::Registry;
        match self {
            Self::Name => NAME,
            Self::Refused if is_listed => "check host and port in {key}, and whether the server runs",
            Self::Refused => "check host and port in {key}, and whether the registry runs",
            Self::Filtered => "let the firewall pass it, or set `proxy` if this network has an egress proxy",
            Self::NoRoute => "check the network of this machine, or set `proxy` if it has an egress proxy",
            Self::Closed => CLOSED,
            Self::TlsName => TLS_NAME,
            Self::TlsExpired => TLS_EXPIRED,
            Self::TlsAuthority => {
                "name the PEM file of its authority (or of its own certificate) in `ca_file`, or add it to the \
                 machine's authorities (update-ca-certificates, SSL_CERT_FILE)"
            }
            Self::TlsClient => "set `client_cert` and `client_key` to an identity that the server accepts",
            Self::NotTls if is_listed => "name the port that speaks TLS in {key}",
            Self::NotTls => "write http:// in {key}, or name the port that speaks TLS",
            Self::OnlyTls => "write https:// in {key}",
            Self::Tls => "see the cause; both sides need TLS 1.2 or 1.3",
            Self::ProxyUnreachable => {
                "check `proxy` (or HTTPS_PROXY), and `no_proxy` for hosts that need none"
            }
            Self::ProxyCredential => "name the variable with user:password in `proxy_auth_env`",
            Self::ProxyRefused => "let the egress proxy pass this host, or list it in `no_proxy`",
            Self::System => SYSTEM,
        }
    }

    fn by_redis(self) -> &'static str {
        match self {
            Self::Name => NAME,
            Self::Refused => {
                "check host and port in {key}, and whether Redis or Valkey runs and listens there"
            }
            Self::Filtered => FILTERED,
            Self::NoRoute => NO_ROUTE,
            Self::Closed => CLOSED,
            Self::TlsName => TLS_NAME,
            Self::TlsExpired => TLS_EXPIRED,
            Self::TlsAuthority => {
                "add its authority to the machine's (update-ca-certificates, SSL_CERT_FILE); a certificate that is its \
                 own authority will not do"
            }
            Self::TlsClient => {
                "set `tls-auth-clients no` there, since this proxy shows the engine no certificate"
            }
            Self::NotTls => "write redis:// in {key}, or name the port that speaks TLS",
            Self::OnlyTls => "write rediss:// in {key}",
            Self::Tls => "look into the engine's log; both sides need TLS 1.2 or 1.3",
            Self::ProxyUnreachable | Self::ProxyCredential | Self::ProxyRefused | Self::System => {
                "check host and port in {key}, and whether this machine lets the proxy connect there"
            }
        }
    }

    fn by_grpc(self) -> &'static str {
        match self {
            Self::Name => NAME,
            Self::Refused => "check host and port in {key}, and whether the collector runs",
            Self::Filtered => FILTERED,
            Self::NoRoute => NO_ROUTE,
            Self::Closed => CLOSED,
            Self::TlsName => TLS_NAME,
            Self::TlsExpired => TLS_EXPIRED,
            Self::TlsAuthority => {
                "name the PEM file of its authority in `telemetry.ca_file`, or add it to the machine's authorities \
                 (update-ca-certificates, SSL_CERT_FILE)"
            }
            Self::TlsClient => "have it want no certificate, since this proxy shows the collector none",
            Self::NotTls => "write http:// in {key}, or name the port that speaks TLS",
            Self::OnlyTls => "write https:// in {key}",
            Self::Tls => "see the cause; both sides need TLS 1.2 or 1.3",
            Self::ProxyUnreachable | Self::ProxyCredential | Self::ProxyRefused | Self::System => SYSTEM,
        }
    }

    /// Whether a later attempt may succeed without anybody changing a configuration or a certificate.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Name
            | Self::Refused
            | Self::Filtered
            | Self::NoRoute
            | Self::Closed
            | Self::Tls
            | Self::ProxyUnreachable
            | Self::ProxyRefused
            | Self::System => true,
            Self::TlsName
            | Self::TlsExpired
            | Self::TlsAuthority
            | Self::TlsClient
            | Self::NotTls
            | Self::OnlyTls
            | Self::ProxyCredential => false,
        }
    }
}

//! The causes of failed connections, their names, and what the operator can do about each.
//!
//! Owns this closed set. Must not know how a cause is detected.

/// Whom the connection was for. They are configured by different keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectTarget {
    /// A registry, by HTTP.
    Registry,
    /// The Redis or Valkey of a cluster.
    Engine,
}

impl ConnectTarget {
    /// One of two words.
    fn or(self, registry: &'static str, engine: &'static str) -> &'static str {
        match self {
            Self::Registry => registry,
            Self::Engine => engine,
        }
    }
}

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
        let remedy = match self {
            Self::Name => "check the host in {url}, and the name servers of this machine (/etc/resolv.conf)",
            Self::Refused => target.or(
                "check host and port in {url}, and whether the registry runs",
                "check host and port in {url}, and whether Redis or Valkey runs and listens there",
            ),
            Self::Filtered => target.or(
                "let the firewall pass it, or set `proxy` if this network has an egress proxy",
                "check host and port in {url}, and let the firewall pass it",
            ),
            Self::NoRoute => target.or(
                "check the network of this machine, or set `proxy` if it has an egress proxy",
                "check the host in {url}, and the network of this machine",
            ),
            Self::Closed => "check port and scheme of {url}, and what stands between here and there",
            Self::TlsName => "use in {url} a host that the certificate names, or have its owner renew it",
            Self::TlsExpired => {
                "have its owner renew the certificate; if the dates look right, set this machine's clock"
            }
            Self::TlsAuthority => target.or(
                "name the PEM file of its authority (or of its own certificate) in `ca_file`, or add it to the \
                 machine's authorities (update-ca-certificates, SSL_CERT_FILE)",
                "add its authority to the machine's (update-ca-certificates, SSL_CERT_FILE); a certificate that is its \
                 own authority will not do",
            ),
            Self::TlsClient => target.or(
                "set `client_cert` and `client_key` to an identity that the server accepts",
                "set `tls-auth-clients no` there, since this proxy shows the engine no certificate",
            ),
            Self::NotTls => target.or(
                "write http:// in {url}, or name the port that speaks TLS",
                "write redis:// in {url}, or name the port that speaks TLS",
            ),
            Self::OnlyTls => target.or("write https:// in {url}", "write rediss:// in {url}"),
            Self::Tls => target.or(
                "see the cause; both sides need TLS 1.2 or 1.3",
                "look into the engine's log; both sides need TLS 1.2 or 1.3",
            ),
            Self::ProxyUnreachable => {
                "check `proxy` (or HTTPS_PROXY), and `no_proxy` for hosts that need none"
            }
            Self::ProxyCredential => "name the variable with user:password in `proxy_auth_env`",
            Self::ProxyRefused => "let the egress proxy pass this host, or list it in `no_proxy`",
            Self::System => target.or(
                "see the cause",
                "check host and port in {url}, and whether this machine lets the proxy connect there",
            ),
        };
        remedy.replace("{url}", target.or("`url`", "`cluster.url`"))
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

//! Why no connection could be made. The causes are told apart because each needs another action of the operator.
//!
//! Owns the closed set of causes, their names, and what a client may read of each. Must not know how a cause is
//! detected, nor any address or file name.

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum ConnectFailure {
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
    #[error("it does not speak TLS at that port, where https was asked")]
    NotTls,
    /// The server speaks TLS where plain HTTP was expected.
    #[error("it speaks TLS at that port, where plain http was asked")]
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
    /// The HTTP proxy does not connect to the registry.
    #[error("the proxy on the way to it refuses or fails to connect there")]
    ProxyRefused,
    /// The system reports another error.
    #[error("the system reports another error")]
    System,
}

impl ConnectFailure {
    /// The word used in metrics, logs and the status.
    pub(crate) fn as_str(self) -> &'static str {
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
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Name => "check the host in `url`, and the name servers of this machine (/etc/resolv.conf)",
            Self::Refused => "check host and port in `url`, and whether the registry runs",
            Self::Filtered => "let the firewall pass it, or set `proxy` if this network has an egress proxy",
            Self::NoRoute => "check the network of this machine, or set `proxy` if it has an egress proxy",
            Self::Closed => "check port and scheme of `url`, and what stands between here and there",
            Self::TlsName => "use in `url` a host that the certificate names, or have its owner renew it",
            Self::TlsExpired => {
                "have its owner renew the certificate; if the dates look right, set this machine's clock"
            }
            Self::TlsAuthority => {
                "name the PEM file of its authority (or of its own certificate) in `ca_file`, or add it to the \
                 machine's authorities (update-ca-certificates, SSL_CERT_FILE)"
            }
            Self::TlsClient => "set `client_cert` and `client_key` to an identity that the server accepts",
            Self::NotTls => "write http:// in `url`, or name the port that speaks TLS",
            Self::OnlyTls => "write https:// in `url`",
            Self::Tls => "see the cause; both sides need TLS 1.2 or 1.3",
            Self::ProxyUnreachable => {
                "check `proxy` (or HTTPS_PROXY), and `no_proxy` for hosts that need none"
            }
            Self::ProxyCredential => "name the variable with user:password in `proxy_auth_env`",
            Self::ProxyRefused => "let the egress proxy pass this host, or list it in `no_proxy`",
            Self::System => "see the cause",
        }
    }

    /// The advice for the client.
    pub(super) fn advice(self) -> &'static str {
        if self.may_pass() { "try again later" } else { "tell this proxy's operator" }
    }

    /// Whether a later attempt may succeed without anybody changing a configuration or a certificate.
    pub(super) fn may_pass(self) -> bool {
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

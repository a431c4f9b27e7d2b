//! Why no connection could be made, told apart: what an operator has to mend differs.
//!
//! Owns the closed set of causes, what each is called, and what a client may read of it. Must not know how a cause is
//! found out, nor any address or file name.

/// What stood in the way of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Cause {
    /// The name leads nowhere, or no name server says.
    #[error("its name cannot be resolved")]
    Name,
    /// Nobody listens at that port.
    #[error("it refuses connections")]
    Refused,
    /// Nothing comes back, as behind a firewall.
    #[error("nothing answers at its address")]
    Filtered,
    /// The network has no way there.
    #[error("there is no route to it")]
    NoRoute,
    /// It closed the connection before anything was said.
    #[error("it closes connections at once")]
    Closed,
    /// Its certificate is for another name.
    #[error("its certificate is for another name")]
    TlsName,
    /// Its certificate has expired, or is not valid yet.
    #[error("its certificate has expired or is not valid yet")]
    TlsExpired,
    /// Its certificate is signed by somebody unknown.
    #[error("its certificate is not signed by an authority that this proxy knows")]
    TlsAuthority,
    /// It wants another certificate of this proxy, or one at all.
    #[error("it does not accept this proxy's client certificate, or misses one")]
    TlsClient,
    /// What answers does not speak TLS.
    #[error("it does not speak TLS at that port, where https was asked")]
    NotTls,
    /// What answers speaks TLS, unasked.
    #[error("it speaks TLS at that port, where plain http was asked")]
    OnlyTls,
    /// TLS fails in another way.
    #[error("no TLS connection comes about")]
    Tls,
    /// The proxy on the way cannot be reached, or TLS with it fails.
    #[error("the proxy on the way to it cannot be reached")]
    ProxyUnreachable,
    /// The proxy on the way wants another credential, or one at all.
    #[error("the proxy on the way to it does not accept this proxy's credential, or misses one")]
    ProxyCredential,
    /// The proxy on the way makes no connection to it.
    #[error("the proxy on the way to it refuses or fails to connect there")]
    ProxyRefused,
    /// The system says something else.
    #[error("the system makes none")]
    System,
}

impl Cause {
    /// The word used in metrics, logs and the status.
    #[must_use]
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

    /// What a client can do about it.
    pub(super) fn advice(self) -> &'static str {
        if self.may_pass() { "try again later" } else { "tell this proxy's operator" }
    }

    /// Whether it may be over a moment later. What somebody has to mend is not.
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

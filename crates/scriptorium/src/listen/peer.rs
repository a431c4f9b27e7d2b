//! Which client a connection belongs to.
//!
//! Owns which proxies are trusted to name their client with the PROXY protocol, and which connections count for one
//! client. Must not know how many a client may have.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::proxy_protocol::{self, Named, NoHeader};
use super::replay::Replay;

/// Who sent a request, as far as the connection tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The other end of the connection, which may be a proxy; with the PROXY protocol, the client that the proxy names.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted, or was where the client's connection ended.
    pub tls: bool,
}

/// Why a client is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error(transparent)]
    NoHeader(#[from] NoHeader),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The addresses of proxies that are trusted to name their clients. A reload may change them.
#[derive(Clone)]
pub(crate) struct TrustedProxies(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl TrustedProxies {
    pub(crate) fn new(holds: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }

    fn includes(&self, address: IpAddr) -> bool {
        (self.0)(address.to_canonical())
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedProxies").finish_non_exhaustive()
    }
}

/// Finds out which client a connection belongs to.
#[derive(Debug, Clone)]
pub(super) struct PeerResolver {
    trusted: Option<TrustedProxies>,
    proxy_protocol: bool,
}

impl PeerResolver {
    pub(super) fn new(trusted: TrustedProxies, proxy_protocol: bool) -> Self {
        Self { trusted: Some(trusted), proxy_protocol }
    }

    /// For a port whose clients are all on one machine, and so have one address.
    pub(super) fn counting_nobody() -> Self {
        Self { trusted: None, proxy_protocol: false }
    }

    /// Whether connections from this address begin with a header of the PROXY protocol.
    pub(super) fn awaits_header(&self, address: Option<SocketAddr>) -> bool {
        self.proxy_protocol && address.is_some_and(|address| self.trusts(address.ip()))
    }

    /// Reads the header that `stream` begins with, and replaces the proxy by the client that it names.
    pub(super) async fn resolve<S: AsyncRead + Unpin>(
        &self,
        stream: &mut Replay<S>,
        peer: &mut Peer,
    ) -> Result<(), PeerError> {
        let mut read = Vec::new();
        // Bytes that cannot become a header are read no further.
        let whole = |read: &[u8], _| match proxy_protocol::length(read) {
            Ok(length) => length.is_some_and(|length| read.len() >= length),
            Err(NoHeader) => true,
        };
        if !stream.gather(&mut read, whole).await? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let length = proxy_protocol::length(&read)?.ok_or(NoHeader)?;
        if let Named::Client { address, encrypted } = proxy_protocol::parse(&read[..length])? {
            peer.address = Some(address);
            peer.tls |= encrypted;
        }
        stream.replay(read.split_off(length));
        Ok(())
    }

    /// The client for whose bound a connection counts; none where a proxy carries many clients.
    pub(super) fn counted_client(&self, peer: Peer) -> Option<IpAddr> {
        let trusted = self.trusted.as_ref()?;
        peer.address.map(|address| address.ip()).filter(|address| !trusted.includes(*address))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.as_ref().is_some_and(|trusted| trusted.includes(address))
    }
}

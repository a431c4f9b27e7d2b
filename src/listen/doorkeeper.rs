//! Whose connection it is.
//!
//! Owns who is believed to name another as the client, and whose connections are counted together. Must not know how many
//! a client may have.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::AsyncRead;

use super::Peer;
use super::proxy_protocol::{self, Named, NoHeader};
use super::replay::Replay;

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unnamed {
    /// A trusted proxy spoke otherwise than was agreed.
    #[error(transparent)]
    NoHeader(#[from] NoHeader),
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Which addresses are those of proxies that are trusted to say who their clients are. It may change meanwhile.
#[derive(Clone)]
pub struct Trust(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl Trust {
    /// Those for which it `holds`.
    pub fn new(holds: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(holds))
    }

    fn includes(&self, address: IpAddr) -> bool {
        (self.0)(address.to_canonical())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// Hears whose a connection is.
#[derive(Debug, Clone)]
pub(super) struct Doorkeeper {
    trusted: Option<Trust>,
    proxy_protocol: bool,
}

impl Doorkeeper {
    pub(super) fn new(trusted: Trust, proxy_protocol: bool) -> Self {
        Self { trusted: Some(trusted), proxy_protocol }
    }

    /// For a port whose clients share one machine, and thus one address.
    pub(super) fn counting_nobody() -> Self {
        Self { trusted: None, proxy_protocol: false }
    }

    /// Whether a header comes first on the connections of this address.
    pub(super) fn awaits_header(&self, address: Option<SocketAddr>) -> bool {
        self.proxy_protocol && address.is_some_and(|address| self.trusts(address.ip()))
    }

    /// Reads the header that `stream` begins with, and puts the client it names in the place of its proxy.
    pub(super) async fn hear<S: AsyncRead + Unpin>(
        &self,
        stream: &mut Replay<S>,
        peer: &mut Peer,
    ) -> Result<(), Unnamed> {
        let mut read = Vec::new();
        // What cannot become a header any more is enough, too.
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

    /// Whose bound a connection counts against: nobody's where a proxy carries many.
    pub(super) fn counts(&self, peer: Peer) -> Option<IpAddr> {
        let trusted = self.trusted.as_ref()?;
        peer.address.map(|address| address.ip()).filter(|address| !trusted.includes(*address))
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.as_ref().is_some_and(|trusted| trusted.includes(address))
    }
}

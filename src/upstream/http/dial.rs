//! A new connection, step by step, and which step failed.
//!
//! ```text
//!  direct          name → addresses → the guard → TCP ─────────────────── (https) TLS
//!  through a proxy the guard, by name → the proxy's name → TCP → (https proxy) TLS ─ (https) CONNECT → TLS
//! ```
//! Each step has until `connect_timeout` is over for all of them. Owns that order and the cause that each failure is. Must not
//! know what is sent over a connection, nor when one is made.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderValue, Uri};
use data_encoding::BASE64;
use hyper_util::client::legacy::connect::HttpConnector;
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;
use url::Url;

use super::super::cause::Cause;
use super::super::guard::{Guard, Rule};
use super::connection::{Bytestream, Connection, Plain};
use super::resolve::{self, Known};
use super::tls::{self, NoHandshake, Tls};
use super::tunnel::{self, NoTunnel};
use super::{NoTransport, cause};
use crate::config::address::Listeners;
use crate::config::{self, Credential, Egress};

/// Idle connections are looked at so often, and given up after as many looks without an answer as fill a minute.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_LOOKS: u32 = 3;
#[cfg(target_os = "linux")]
const KERNEL_PATIENCE: Duration = Duration::from_secs(30);

/// Makes connections to a registry and to the hosts it points to.
#[derive(Clone)]
pub(super) struct Dialler(Arc<Ways>);

struct Ways {
    guard: Guard,
    egress: Egress,
    credential: Option<HeaderValue>,
    tls: Tls,
    proxy_tls: Tls,
    connect_timeout: Duration,
    #[cfg(target_os = "linux")]
    user_timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDialled {
    /// The guard does not let anybody dial that.
    #[error("{host} is not dialled: {rule}")]
    Forbidden {
        /// Whom.
        host: String,
        /// Why not.
        rule: Rule,
    },
    /// A step failed.
    #[error("{step} {place} failed")]
    Failed {
        /// What was being done.
        step: &'static str,
        /// Whom it was about: host and port.
        place: String,
        /// What it comes to.
        cause: Cause,
        /// What the system or a library says.
        #[source]
        error: Box<dyn Error + Send + Sync>,
    },
}

impl NotDialled {
    /// Takes a failure on the way to a proxy for what it is: nothing that the registry did.
    fn at_proxy(self) -> Self {
        match self {
            Self::Failed { step, place, error, .. } => {
                Self::Failed { step, place, cause: Cause::ProxyUnreachable, error }
            }
            Self::Forbidden { .. } => self,
        }
    }
}

/// A host and port to connect to, and until when.
#[derive(Clone, Copy)]
struct Place<'a> {
    host: &'a str,
    port: u16,
    due: Instant,
}

impl Place<'_> {
    /// One step about it.
    async fn step<T, E: Into<Box<dyn Error + Send + Sync>>>(
        &self,
        (step, late): (&'static str, Cause),
        work: impl Future<Output = Result<T, E>>,
        cause: impl FnOnce(&E) -> Cause,
    ) -> Result<T, NotDialled> {
        let failed = |cause, error| NotDialled::Failed { step, place: self.to_string(), cause, error };
        match timeout_at(self.due, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(failed(cause(&error), error.into())),
            Err(elapsed) => Err(failed(late, elapsed.into())),
        }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Dialler {
    pub(super) fn new(config: &config::Upstream, listeners: Listeners) -> Result<Self, NoTransport> {
        let tls = Tls::new(&config.egress)?;
        Ok(Self(Arc::new(Ways {
            guard: Guard::new(config, listeners),
            credential: config.egress.proxy_auth_env.as_ref().and_then(basic),
            egress: config.egress.clone(),
            proxy_tls: tls.with_proxy(),
            tls,
            connect_timeout: config.connect_timeout,
            // The kernel's own patience with who takes no bytes must not be the shorter one.
            #[cfg(target_os = "linux")]
            user_timeout: config.read_timeout.max(KERNEL_PATIENCE),
        })))
    }

    /// What a request to `url` must carry for the proxy that reads it.
    pub(super) fn credential_for(&self, url: &Url) -> Option<&HeaderValue> {
        self.0.credential.as_ref().filter(|_| self.is_read_by_proxy(url))
    }

    /// Whether a proxy reads requests to `url` and answers them, rather than passing on what is encrypted.
    pub(super) fn is_read_by_proxy(&self, url: &Url) -> bool {
        url.scheme() == "http" && url.host_str().is_some_and(|host| self.0.egress.proxy_for(host).is_some())
    }
}

impl Service<Uri> for Dialler {
    type Response = Connection;
    type Error = NotDialled;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, NotDialled>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NotDialled>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let ways = Arc::clone(&self.0);
        Box::pin(async move { ways.dial(&uri).await })
    }
}

impl Ways {
    async fn dial(&self, uri: &Uri) -> Result<Connection, NotDialled> {
        let is_https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let place =
            Place { host: uri.host().unwrap_or_default(), port, due: Instant::now() + self.connect_timeout };
        match self.egress.proxy_for(place.host) {
            None => {
                let tcp = self.direct(place).await?;
                if is_https { self.encrypted(place, tcp).await } else { Ok(plain(tcp, false)) }
            }
            Some(proxy) => self.through(proxy, place, is_https).await,
        }
    }

    async fn direct(&self, place: Place<'_>) -> Result<TcpStream, NotDialled> {
        let looked_up = resolve::look_up(place.host, place.port);
        let found = place.step(("the look-up of", Cause::Name), looked_up, |_| Cause::Name).await?;
        // One address that is not allowed among others that are is an attack as well.
        for address in &found {
            let judged = self.guard.judge(place.host, (address.ip(), place.port), resolve::is_ours);
            judged.map_err(|rule| NotDialled::Forbidden { host: place.host.to_owned(), rule })?;
        }
        self.connect(place, found).await
    }

    /// Through the `proxy`, which resolves names: what it connects to is judged by its name.
    async fn through(&self, proxy: &Url, place: Place<'_>, is_https: bool) -> Result<Connection, NotDialled> {
        let judged = self.guard.judge_by_name(place.host, place.port, resolve::is_ours);
        judged.map_err(|rule| NotDialled::Forbidden { host: place.host.to_owned(), rule })?;
        let by_proxy = self.to_proxy(proxy, place.due).await.map_err(NotDialled::at_proxy)?;
        if !is_https {
            return Ok(plain(by_proxy, true));
        }
        let target = (place.host, place.port);
        let tunnel = tunnel::through(by_proxy, target, self.credential.as_ref());
        let tunnel = place.step(("the tunnel to", Cause::ProxyRefused), tunnel, refused).await?;
        self.encrypted(place, tunnel).await
    }

    async fn to_proxy(&self, proxy: &Url, due: Instant) -> Result<Box<dyn Bytestream>, NotDialled> {
        let (host, port) =
            (proxy.host_str().unwrap_or_default(), proxy.port_or_known_default().unwrap_or(80));
        let place = Place { host, port, due };
        let looked_up = resolve::look_up(host, port);
        let found = place.step(("the look-up of the proxy", Cause::Name), looked_up, |_| Cause::Name).await?;
        let tcp = self.connect(place, found).await?;
        if proxy.scheme() != "https" {
            return Ok(Box::new(tcp));
        }
        let shaken = self.proxy_tls.shake(bare(host), tcp);
        let step = ("the TLS handshake with the proxy", Cause::Tls);
        Ok(Box::new(place.step(step, shaken, handshake).await?))
    }

    async fn connect(&self, place: Place<'_>, found: Vec<SocketAddr>) -> Result<TcpStream, NotDialled> {
        let mut connector = HttpConnector::new_with_resolver(Known(found));
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_keepalive_interval(Some(KEEPALIVE));
        connector.set_keepalive_retries(Some(KEEPALIVE_LOOKS));
        connector.set_connect_timeout(Some(place.due.saturating_duration_since(Instant::now())));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(self.user_timeout));
        let connected = async {
            let uri =
                Uri::builder().scheme("http").authority(place.to_string()).path_and_query("/").build()?;
            Ok::<_, Box<dyn Error + Send + Sync>>(connector.call(uri).await?)
        };
        let step = ("the connection to", Cause::Filtered);
        let stream = place.step(step, connected, |error| cause::of_connecting(&**error)).await?;
        Ok(stream.into_inner())
    }

    async fn encrypted<S: Bytestream>(&self, place: Place<'_>, stream: S) -> Result<Connection, NotDialled> {
        let shaken = self.tls.shake(bare(place.host), stream);
        let stream = place.step(("the TLS handshake with", Cause::Tls), shaken, handshake).await?;
        let speaks_h2 = tls::speaks_h2(&stream);
        Ok(Connection::new(Box::new(stream), speaks_h2, false))
    }
}

fn plain<S: Bytestream>(stream: S, to_proxy: bool) -> Connection {
    Connection::new(Box::new(Plain::new(stream)), false, to_proxy)
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn handshake(failed: &NoHandshake) -> Cause {
    cause::of_handshake(&failed.error, failed.misses_identity)
}

fn refused(why: &NoTunnel) -> Cause {
    match why {
        NoTunnel::Credential => Cause::ProxyCredential,
        NoTunnel::Refused(_) | NoTunnel::Host => Cause::ProxyRefused,
        NoTunnel::Broken(_) => Cause::ProxyUnreachable,
    }
}

/// `Basic`, as proxies take it (RFC 7617).
fn basic(held: &Credential) -> Option<HeaderValue> {
    let pair = BASE64.encode(held.token.expose_secret().as_bytes());
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

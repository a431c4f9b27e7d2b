//! The two ports: from an accepted connection to a response, and from a signal to a clean stop.
//!
//! Owns sockets, TLS, HTTP framing, signals and the order of a shutdown. Must not know what a request means.
//!
//! 1. `tls` holds the certificate, which a reload replaces; `own_certificate` reads its dates and hosts. `socket` binds both
//!    ports, or takes them over from the process that this one replaces (`hand_over`).
//! 2. `server` starts a `worker` for each thread of a port. `accept` takes connections for both ports, and each is served
//!    by one worker: the one that has the fewest (`loads`).
//! 3. `connections` gives each accepted connection a slot, and closes inactive ones where none is left; `activity` says
//!    which are inactive, `memory` how much memory they use.
//! 4. `peer` finds out which client a connection belongs to, which a load balancer may say with the PROXY protocol.
//! 5. `connection` speaks HTTP on it, once the `head` of a request is there. `stream` and `http2` notice clients that
//!    take nothing, `idle_timeout` those that send no request.
//! 6. `signals` says when to stop; requests in flight are finished within the grace period. `service_manager` is told of all
//!    that.

mod accept;
mod activity;
mod background;
mod connection;
mod connections;
mod error;
mod hand_over;
mod head;
mod holder;
mod http2;
mod idle_timeout;
mod loads;
mod memory;
mod own_certificate;
mod peer;
mod proxy_protocol;
mod replay;
mod server;
mod service_manager;
mod signals;
mod socket;
mod stream;
mod tcp_info;
mod tls;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use tokio::runtime;

use self::connections::ConnectionLimits;
pub(crate) use self::error::ListenError;
use self::hand_over::BoundListener;
pub(crate) use self::hand_over::HandOver;
pub(crate) use self::holder::port_holder;
pub(crate) use self::own_certificate::CertificateStanding;
pub(crate) use self::peer::Peer;
use self::peer::PeerResolver;
pub(crate) use self::peer::TrustedProxies;
use self::server::{Port, RunningServer};
use self::signals::{Signals, Stop};
use self::socket::Sockets;
pub(crate) use self::tls::Certificates;
use crate::telemetry::Metrics;

/// How long background work may take to notice that it was aborted.
const ABORT: Duration = Duration::from_millis(200);

/// What the admin port grants, whatever the public port does.
const ADMIN: PortTerms = PortTerms {
    connections: ConnectionLimits { all: 256, each: 256, bytes: 32 << 20 },
    // A monitor asks again anyway, and an attacker should not keep all connections.
    header_timeout: Duration::from_secs(5),
    send_timeout: Duration::from_secs(60),
};

/// What a port grants its connections.
#[derive(Debug, Clone, Copy)]
struct PortTerms {
    connections: ConnectionLimits,
    /// For a handshake, for a request's head, and between requests.
    header_timeout: Duration,
    /// Without a byte of an answer taken.
    send_timeout: Duration,
}

/// Answers the requests of one port.
///
/// Runs on threads that serve many connections each: blocking work belongs on the runtime's blocking pool.
pub(crate) trait RequestHandler: Send + Sync + 'static {
    /// An error in a body cuts the connection, so that no client takes a part for the whole.
    type Body: Body<Data = Bytes, Error = io::Error> + Unpin + Send + 'static;

    /// Answers one request. Dropped when the client goes away first.
    fn answer(
        &self,
        request: http::Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = http::Response<Self::Body>> + Send;
}

/// Where to listen and how to stop.
#[derive(Debug, Clone)]
pub(crate) struct ListenSettings {
    /// The public port.
    pub(crate) listen: SocketAddr,
    /// The admin port; always plain HTTP.
    pub(crate) admin_listen: SocketAddr,
    /// What an operator changes to have either elsewhere: a key or a flag.
    pub(crate) given_by: [&'static str; 2],
    /// Threads that serve the public port; 0 is one per core.
    pub(crate) threads: usize,
    /// The certificate of the public port.
    pub(crate) tls: Option<Certificates>,
    /// Connections of the public port open at once. For another one, an inactive one is closed.
    pub(crate) max_connections: usize,
    /// Those of one client, where an IPv6 /64 is one client. A trusted proxy may have any number.
    pub(crate) max_connections_per_client: usize,
    /// Bytes of memory that they use together.
    pub(crate) max_connection_memory: usize,
    pub(crate) trusted: TrustedProxies,
    /// Whether trusted proxies name their clients with the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// How long a handshake, a request's head, or the wait for the next request may take.
    pub(crate) header_timeout: Duration,
    /// How long a client may take no byte of an answer.
    pub(crate) send_timeout: Duration,
    /// How long requests in flight may take after a signal to stop.
    pub(crate) shutdown_grace: Duration,
    /// Whether to take the listening sockets over from the running process.
    pub(crate) upgrade: bool,
    pub(crate) hand_over: HandOver,
}

impl ListenSettings {
    fn public_terms(&self) -> PortTerms {
        PortTerms {
            connections: ConnectionLimits {
                all: self.max_connections,
                each: self.max_connections_per_client,
                bytes: self.max_connection_memory,
            },
            header_timeout: self.header_timeout,
            send_timeout: self.send_timeout,
        }
    }
}

/// The work of a process besides answering.
pub(crate) struct ProcessWork<S, P> {
    /// What answers depend on: room in the storage, records, keys.
    pub(crate) steady: S,
    /// What can wait as long as clients want the processor.
    pub(crate) patient: P,
}

/// Work that a runtime can do until the process ends.
pub(crate) trait Work: Future<Output = ()> + Send + 'static {}

impl<F: Future<Output = ()> + Send + 'static> Work for F {}

/// Serves both ports until a signal to stop. Blocks the calling thread, which must not belong to a runtime.
///
/// SIGTERM and SIGINT stop: nothing new is accepted, idle connections are closed, and this returns once the last request
/// in flight is answered or the grace period is over. A second signal returns at once. SIGQUIT does the same after
/// handing the listening sockets to a process started with [`ListenSettings::upgrade`]. SIGHUP calls `reload`.
/// `background` is aborted at the end. `started` is called once both ports are served.
pub(crate) fn run<P: RequestHandler, A: RequestHandler>(
    settings: ListenSettings,
    public: Arc<P>,
    admin: Arc<A>,
    metrics: Arc<Metrics>,
    background: ProcessWork<impl Work, impl Work>,
    reload: impl Fn() + Send + 'static,
    started: impl FnOnce(),
) -> Result<(), ListenError> {
    let tls = settings.tls.as_ref().map(Certificates::acceptor).transpose()?;
    let mut sockets = Sockets::new(settings.upgrade.then_some(&settings.hand_over))?;
    let public_port = Port {
        name: "public",
        listener: sockets.claim(settings.given_by[0], settings.listen)?,
        threads: threads(settings.threads),
        terms: settings.public_terms(),
        tls,
        peers: PeerResolver::new(settings.trusted.clone(), settings.proxy_protocol),
        metrics: metrics.clone(),
        handler: public,
    };
    let admin_port = Port {
        name: "admin",
        listener: sockets.claim(settings.given_by[1], settings.admin_listen)?,
        threads: 1,
        terms: ADMIN,
        tls: None,
        peers: PeerResolver::counting_nobody(),
        metrics,
        handler: admin,
    };
    let listeners = sockets.into_claimed();
    let control = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(ListenError::Start)?;
    let idle = background::idle_threads().map_err(ListenError::Start)?;
    let mut signals = control
        .block_on(async { Signals::new(move || service_manager::reloading(&reload)) })
        .map_err(ListenError::Start)?;
    let mut server = RunningServer::start().map_err(ListenError::Start)?;
    server.serve(public_port).and_then(|()| server.serve(admin_port)).map_err(ListenError::Start)?;
    started();
    let outcome = control.block_on(async {
        tokio::spawn(background.steady);
        idle.spawn(background.patient);
        serve(server, &mut signals, listeners, &settings).await
    });
    idle.shutdown_timeout(ABORT);
    control.shutdown_timeout(ABORT);
    outcome
}

async fn serve(
    mut server: RunningServer,
    signals: &mut Signals,
    listeners: Vec<BoundListener>,
    settings: &ListenSettings,
) -> Result<(), ListenError> {
    service_manager::ready();
    let threads = server.threads();
    let stop = tokio::select! {
        stop = signals.stop(|| settings.hand_over.hand_over(&listeners)) => stop,
        () = server.failed() => return Err(ListenError::Ended),
        () = service_manager::watched(&threads) => return Err(ListenError::Ended),
    };
    match stop {
        Stop::Finish => {
            service_manager::stopping();
            tracing::info!("stopping: no new connections, requests in flight are finished");
        }
        Stop::HandedOver(next) => {
            service_manager::handed_over(next);
            tracing::info!(next, "stopping: the next process has the listening sockets");
        }
    }
    // Clients could still connect to them, and would never be accepted.
    drop(listeners);
    server.stop().await;
    tokio::select! {
        finished = server.finished(settings.shutdown_grace) => match finished {
            Ok(()) => tracing::info!("stopped: every request was answered"),
            Err(_) => tracing::warn!("stopped: the grace period is over, the last requests are cut off"),
        },
        () = signals.terminate() => tracing::warn!("stopped by a second signal: requests in flight are cut off"),
    }
    Ok(())
}

fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

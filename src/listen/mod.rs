//! The two ports: from an accepted connection to an [`Answer`], and from a signal to a clean stop.
//!
//! Owns sockets, TLS, HTTP framing, signals and the order of a shutdown. Must not know what a request means. The server
//! library is named in this room only.
//!
//! 1. `tls` holds the certificate, which a reload replaces; `socket` binds both ports, or takes them over from the process being replaced (`hand_over`).
//! 2. `server` runs a service for each port on threads of its own.
//! 3. `connections` gives each accepted connection a place, and takes it from one that waited longer where there is none;
//!    `standing` says how a connection stands, `room` how much memory all of them keep.
//! 4. `doorkeeper` hears whose connection it is, from a balancer that says so with the PROXY protocol.
//! 5. `connection` speaks HTTP on it; `stall` and `traffic` notice clients that take nothing, `rest` and `quiet` those that
//!    ask nothing.
//! 6. `signals` says when to stop; what is in flight is finished, within the grace period.

mod connection;
mod connections;
mod doorkeeper;
mod error;
mod hand_over;
mod observer;
mod proxy_protocol;
mod quiet;
mod replay;
mod rest;
mod room;
mod server;
mod signals;
mod socket;
mod stall;
mod standing;
mod tls;
mod traffic;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use tokio::runtime;

use self::connections::Places;
use self::doorkeeper::Doorkeeper;
pub use self::doorkeeper::Trust;
pub use self::error::ListenError;
pub use self::hand_over::Meeting;
use self::hand_over::Offer;
pub use self::observer::{Cause, Fate, Observer};
use self::server::Server;
use self::signals::{Signals, Stop};
use self::socket::Sockets;
pub use self::tls::Certificates;

/// How long work behind the requests may take to notice that it was aborted.
const ABORT: Duration = Duration::from_millis(200);

/// What the admin port grants, whatever the public one does.
const ADMIN: Terms = Terms {
    places: Places { all: 256, each: 256, bytes: 32 << 20 },
    // Whoever watches the process asks again anyway; whoever wants all places must not keep them.
    header_timeout: Duration::from_secs(5),
    send_timeout: Duration::from_secs(60),
};

/// What a port grants its connections.
#[derive(Debug, Clone, Copy)]
struct Terms {
    /// How many, and how much they may keep.
    places: Places,
    /// For a handshake, for a request's head, and between requests.
    header_timeout: Duration,
    /// Without a byte of its answer taken.
    send_timeout: Duration,
}

/// Who sent a request, as far as the connection tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection, which may be a proxy's; with the PROXY protocol, the client that it names.
    pub address: Option<SocketAddr>,
    /// Whether the connection is encrypted, or was where the client's ended.
    pub tls: bool,
}

/// What answers the requests of one port.
///
/// Runs on threads that serve many connections each: what blocks belongs on the runtime's blocking pool.
pub trait Answer: Send + Sync + 'static {
    /// The body of an answer. An error in it cuts the connection, so that a client never takes a part for the whole.
    type Body: Body<Data = Bytes, Error = io::Error> + Unpin + Send + 'static;

    /// Answers one request. Dropped when the client goes away first.
    fn answer(
        self: Arc<Self>,
        request: http::Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = http::Response<Self::Body>> + Send;
}

/// Where to listen and how to stop.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The public port.
    pub listen: SocketAddr,
    /// The admin port; always plain HTTP.
    pub admin_listen: SocketAddr,
    /// Threads that serve the public port; 0 is one per core.
    pub threads: usize,
    /// The certificate of the public port, which the caller may replace while it is served.
    pub tls: Option<Certificates>,
    /// Connections of the public port open at once. For one more, whoever waited the longest goes.
    pub max_connections: usize,
    /// Those of one client, an IPv6 /64 counting as one; trusted proxies have as many as they like.
    pub max_connections_per_client: usize,
    /// Bytes that they may keep together.
    pub max_connection_memory: usize,
    /// Who may speak for others.
    pub trusted: Trust,
    /// Whether those say who their clients are with the PROXY protocol.
    pub proxy_protocol: bool,
    /// How long a handshake, a request's head, or a connection's next request may take.
    pub header_timeout: Duration,
    /// How long a client may take no byte of its answer.
    pub send_timeout: Duration,
    /// How long requests in flight may take once asked to stop.
    pub shutdown_grace: Duration,
    /// Whether the listening sockets come from the running process that this one replaces.
    pub upgrade: bool,
    /// Where the sockets change hands.
    pub meeting: Meeting,
}

/// Serves both ports until told to stop, blocking the calling thread, which must not belong to a runtime.
///
/// SIGTERM and SIGINT stop: nothing new is accepted, idle connections are closed, and this returns as soon as the last
/// request in flight is answered or the grace period is over. A second one returns at once. SIGQUIT does the same after
/// handing the listening sockets to a process started with [`Settings::upgrade`]. SIGHUP calls `reload`. `background`
/// is aborted at the end.
pub fn run<P: Answer, A: Answer>(
    settings: Settings,
    public: Arc<P>,
    admin: Arc<A>,
    [public_observer, admin_observer]: [Arc<dyn Observer>; 2],
    background: impl Future<Output = ()> + Send + 'static,
    reload: impl Fn() + Send + 'static,
) -> Result<(), ListenError> {
    let tls = settings.tls.as_ref().map(Certificates::acceptor).transpose()?;
    let mut sockets = Sockets::new(settings.upgrade.then_some(&settings.meeting))?;
    let public_socket = sockets.claim("server.listen", settings.listen)?;
    let admin_socket = sockets.claim("server.admin_listen", settings.admin_listen)?;
    let offers = sockets.into_claimed();

    let control = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(ListenError::Start)?;
    let outcome = control.block_on(async {
        let mut signals = Signals::new(reload).map_err(ListenError::Start)?;
        let mut server = Server::new(&settings);
        let terms = Terms {
            places: Places {
                all: settings.max_connections,
                each: settings.max_connections_per_client,
                bytes: settings.max_connection_memory,
            },
            header_timeout: settings.header_timeout,
            send_timeout: settings.send_timeout,
        };
        let public_door =
            (Doorkeeper::new(settings.trusted.clone(), settings.proxy_protocol), public_observer);
        let admin_door = (Doorkeeper::counting_nobody(), admin_observer);
        server.add("public", (public_socket, threads(settings.threads)), terms, tls, public_door, public);
        server.add("admin", (admin_socket, 1), ADMIN, None, admin_door, admin);
        let server = server.start()?;
        tokio::spawn(background);
        serve(server, &mut signals, offers, &settings).await
    });
    control.shutdown_timeout(ABORT);
    outcome
}

async fn serve(
    mut server: server::Running,
    signals: &mut Signals,
    offers: Vec<Offer>,
    settings: &Settings,
) -> Result<(), ListenError> {
    let stop = tokio::select! {
        stop = signals.stop(|| settings.meeting.hand_over(&offers)) => stop,
        () = server.failed() => return Err(ListenError::Ended),
    };
    match stop {
        Stop::Finish => tracing::info!("stopping: no new connections, requests in flight are finished"),
        Stop::HandedOver => tracing::info!("the next process has the listening sockets; stopping"),
    }
    // Else they would take connections that nobody accepts.
    drop(offers);
    server.stop();
    tokio::select! {
        finished = server.finished(settings.shutdown_grace) => match finished {
            Ok(()) => tracing::info!("stopped: every request was answered"),
            Err(_) => tracing::warn!("stopped: the grace period is over, the last requests are cut off"),
        },
        () = signals.terminate() => tracing::warn!("told to stop again: requests in flight are cut off"),
    }
    Ok(())
}

fn threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

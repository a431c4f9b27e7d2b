//! Accepting connections.
//!
//! Owns the wait for the next connection, and the pause while the system cannot give one. Must not know who serves it.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{self, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

/// How long accepting pauses after an error; twice as long after each further one in a row.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often the log says that nothing can be accepted.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A connection that no runtime knows, and its other end.
pub(super) type NewConnection = (net::TcpStream, SocketAddr);

/// Gives every connection to `take`, and never ends: without descriptors or memory it pauses and tries again.
pub(super) async fn accept_all(
    poll: impl Fn(&mut Context<'_>) -> Poll<io::Result<NewConnection>>,
    take: impl Fn(NewConnection),
) {
    let (mut pause, mut logged) = (SHORTEST_PAUSE, None::<Instant>);
    loop {
        match poll_fn(&poll).await {
            Ok(new) => {
                pause = SHORTEST_PAUSE;
                take(new);
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) =>
            {
                tracing::debug!(%error, "connection lost before it was accepted")
            }
            Err(error) => {
                if logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
                    tracing::warn!(%error, "no connection can be accepted; it is tried again");
                    logged = Some(Instant::now());
                }
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(2 * pause);
            }
        }
    }
}

/// Takes the next connection off the runtime that accepts, since another one serves it.
pub(super) fn poll_accept(
    listener: &TcpListener,
    context: &mut Context<'_>,
) -> Poll<io::Result<NewConnection>> {
    let (stream, address) = ready!(listener.poll_accept(context))?;
    Poll::Ready(stream.into_std().map(|stream| (stream, address)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::sync::Mutex;

    use rustix::io::Errno;
    use rustix::net::sockopt::{socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_nodelay};
    use tokio::sync::mpsc;

    use super::super::socket::Sockets;
    use super::*;

    fn listening() -> TcpListener {
        let any = "127.0.0.1:0".parse().unwrap();
        TcpListener::from_std(Sockets::new(None).unwrap().claim("server.listen", any).unwrap()).unwrap()
    }

    /// How many attempts it took to accept one connection, and how long the pauses were.
    async fn after(errors: &[Errno]) -> (usize, Duration) {
        let listener = listening();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (sender, mut taken) = mpsc::unbounded_channel();
        let (attempts, began) = (Mutex::new(0), Instant::now());
        let accepting = accept_all(
            |context| {
                let mut attempts = attempts.lock().unwrap();
                let Some(error) = errors.get(*attempts) else { return poll_accept(&listener, context) };
                *attempts += 1;
                Poll::Ready(Err((*error).into()))
            },
            |new| sender.send(new).unwrap(),
        );
        let (_, address) = tokio::select! {
            () = accepting => unreachable!("it never ends"),
            new = taken.recv() => new.unwrap(),
        };
        assert_eq!(address, client.local_addr().unwrap());
        let failed = *attempts.lock().unwrap();
        (failed, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_system_lacks_is_waited_for_longer_each_time_but_never_long() {
        let (failed, paused) = after(&[Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]).await;
        assert_eq!((failed, paused.as_millis()), (4, 10 + 20 + 40 + 80));
        let (failed, paused) = after(&[Errno::MFILE; 100]).await;
        assert_eq!((failed, paused.as_secs()), (100, 94));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_lost_holds_nobody_up() {
        assert_eq!(after(&[Errno::CONNABORTED, Errno::CONNRESET]).await, (2, Duration::ZERO));
    }

    #[tokio::test]
    async fn what_is_accepted_never_blocks_and_notices_a_client_that_is_gone() {
        let listener = listening();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = poll_fn(|context| poll_accept(&listener, context)).await.unwrap();
        assert_eq!(stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(tcp_nodelay(&stream).unwrap() && socket_keepalive(&stream).unwrap());
        let times = [tcp_keepidle(&stream).unwrap(), tcp_keepintvl(&stream).unwrap()];
        assert_eq!((times.map(|time| time.as_secs()), tcp_keepcnt(&stream).unwrap()), ([60, 10], 6));
    }
}

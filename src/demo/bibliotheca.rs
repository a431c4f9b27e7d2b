//! The server: accepts connections, answers from the shelf.
//!
//! Owns sockets and their bounds. Must not know what is answered; that is `documents`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::answer::Answer;
use super::documents::Shelf;
use super::{Catalogue, DemoError};
use crate::domain::Problem;

/// Connections held at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 256;
/// A connection that sends no whole request head for this long is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failed accept: running out of descriptors is not cured by trying at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the catalogue on `listener` until the future is dropped, which ends every connection too.
///
/// # Errors
/// [`DemoError::Listener`] when the listener has no address to derive links from.
pub async fn serve(listener: TcpListener, catalogue: Arc<Catalogue>) -> Result<Infallible, DemoError> {
    let address = listener.local_addr().map_err(DemoError::Listener)?;
    let shelf = Arc::new(Shelf::new(catalogue, &format!("http://{address}")));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&shelf)));
            }
            Err(error) => {
                tracing::warn!(%error, "the sample bibliotheca could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, shelf: Arc<Shelf>) {
    let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(respond(&shelf, &request))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the sample bibliotheca broke");
    }
}

fn respond(shelf: &Shelf, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let uri = request.uri();
    let answer = match *request.method() {
        Method::GET | Method::HEAD => shelf.answer(uri.path(), uri.query().unwrap_or_default()),
        _ => Answer::problem(
            &Problem::blank(405, "Method Not Allowed", "This bibliotheca is read-only: use GET or HEAD."),
            uri.path(),
        ),
    };
    answer.respond(request.headers())
}

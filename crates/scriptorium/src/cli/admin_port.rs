//! Asking the admin port of a running proxy, for commands that work beside it.
//!
//! Owns the exchange, the token's variable, and where a port that listens on every address is asked. Must not know what is
//! asked.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The variable with the token of the admin port.
pub(super) const TOKEN: &str = "SCRIPTORIUM_ADMIN_TOKEN";
/// An admin port on this machine or network answers sooner, or not at all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the admin port gave no answer.
pub(super) type AdminPortError = Box<dyn Error + Send + Sync>;

/// Asks `target` of the admin port that listens on `admin`; `None` when nothing listens there. An answer has at most
/// `longest` bytes.
pub(super) async fn ask(
    admin: SocketAddr,
    method: Method,
    target: &str,
    longest: usize,
) -> Result<Option<(StatusCode, Bytes)>, AdminPortError> {
    let mut request = request(admin, method, target)?;
    if let Ok(token) = std::env::var(TOKEN) {
        let credential = HeaderValue::from_str(&format!("Bearer {token}"));
        let no_token = || format!("{TOKEN} has characters that no token has; set it to the admin token");
        request.headers_mut().insert(AUTHORIZATION, credential.map_err(|_| no_token())?);
    }
    send(admin, request, longest).await
}

/// The same for a question that anybody may ask. No token is sent.
pub(super) async fn probe(
    admin: SocketAddr,
    target: &str,
    longest: usize,
) -> Result<Option<(StatusCode, Bytes)>, AdminPortError> {
    send(admin, request(admin, Method::GET, target)?, longest).await
}

fn request(admin: SocketAddr, method: Method, target: &str) -> Result<Request<Empty<Bytes>>, http::Error> {
    let request = Request::builder().method(method).uri(target);
    request.header(HOST, reachable(admin).to_string()).body(Empty::new())
}

async fn send(
    admin: SocketAddr,
    request: Request<Empty<Bytes>>,
    longest: usize,
) -> Result<Option<(StatusCode, Bytes)>, AdminPortError> {
    let connected = timeout(TIMEOUT, TcpStream::connect(reachable(admin))).await;
    let Ok(Ok(stream)) = connected else { return Ok(None) };
    timeout(TIMEOUT, exchange(stream, request, longest)).await?.map(Some)
}

/// Why an answer with `status` is none, in words for the operator.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> String {
    match status {
        StatusCode::UNAUTHORIZED => format!("set {TOKEN} to the admin token"),
        _ => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

async fn exchange(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
    longest: usize,
) -> Result<(StatusCode, Bytes), AdminPortError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    Ok((head.status, Limited::new(body, longest).collect().await?.to_bytes()))
}

/// A port on every address is asked at loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) | IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_on_every_address_is_asked_here() {
        for (listen, asked) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "127.0.0.1:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}

//! A tunnel through an HTTP proxy: `CONNECT` (RFC 9110, section 9.3.6).
//!
//! Owns that exchange. Must not know what goes through the tunnel.

use ::http::header::{HOST, PROXY_AUTHORIZATION, USER_AGENT};
use ::http::{HeaderValue, Method, Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::{self, Upgraded};
use hyper_util::rt::TokioIo;

use super::connection::Bytestream;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTunnel {
    /// The proxy requires a credential, or another one.
    #[error("the proxy wants a credential, or another one (407)")]
    Credential,
    /// The proxy refuses.
    #[error("the proxy answers CONNECT with {0}")]
    Refused(StatusCode),
    /// The proxy does not speak HTTP, or breaks the connection.
    #[error("the proxy does not answer CONNECT")]
    Broken(#[source] hyper::Error),
    /// The host cannot be written in a request.
    #[error("the host cannot be written in a request to a proxy")]
    Host,
}

/// Makes the proxy at the other end of `stream` connect to `host` and `port`.
pub(super) async fn through<S: Bytestream>(
    stream: S,
    host: &str,
    port: u16,
    credential: Option<&HeaderValue>,
) -> Result<TokioIo<Upgraded>, NoTunnel> {
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(NoTunnel::Broken)?;
    // The task ends with the tunnel, or when the caller stops waiting for it.
    tokio::spawn(connection.with_upgrades());
    let authority = format!("{host}:{port}");
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = authority.parse::<Uri>().map_err(|_| NoTunnel::Host)?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(&authority).map_err(|_| NoTunnel::Host)?);
    headers.insert(USER_AGENT, super::USER_AGENT);
    if let Some(credential) = credential {
        headers.insert(PROXY_AUTHORIZATION, credential.clone());
    }
    let response = sender.send_request(request).await.map_err(NoTunnel::Broken)?;
    match response.status() {
        status if status.is_success() => {
            upgrade::on(response).await.map(TokioIo::new).map_err(NoTunnel::Broken)
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(NoTunnel::Credential),
        status => Err(NoTunnel::Refused(status)),
    }
}

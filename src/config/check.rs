//! What no key can judge alone: sockets against one another, the certificate against its key, the need of an upstream.
//!
//! Owns the rules between keys, and the reading of TLS files. Must not know how values are written down.

use std::net::SocketAddr;
use std::path::Path;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

mod egress;

use super::model::{Config, Server, Tls};
use super::read::Reader;

/// Adds what is wrong between keys to the reader's errors. Only who `asks` a registry must name one.
pub(super) fn check(config: &Config, asks: bool, reader: &mut Reader<'_>) {
    let unnamed = asks && config.upstreams.is_empty();
    if unnamed && !reader.errors.iter().any(|error| error.key.starts_with("upstreams")) {
        let message = "expected at least one [[upstreams]] table with name and url, or --upstream URL";
        reader.error(reader.origin("upstreams"), "upstreams", message);
    }
    sockets(&config.server, reader);
    egress::check(config, reader);
    if let Some(tls) = &config.server.tls {
        certificate(tls, reader);
    }
}

fn sockets(server: &Server, reader: &mut Reader<'_>) {
    if collide(server.listen, server.admin_listen) {
        reader.error(
            reader.origin("server.admin_listen"),
            "server.admin_listen",
            "expected another port than server.listen, which it must never share",
        );
    }
    // Asked of the sources, so that a digest that is there but malformed is told about once.
    let guarded = reader.was_given("server.admin_token_sha256");
    if !server.admin_listen.ip().is_loopback() && !guarded {
        let message = "missing; expected the output of `scriptorium token hash`, since server.admin_listen is not loopback";
        reader.error(reader.origin("server.admin_listen"), "server.admin_token_sha256", message);
    }
}

/// Whether both cannot be bound. Port 0 is a free one, another each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_host
}

fn certificate(tls: &Tls, reader: &mut Reader<'_>) {
    let chain = CertificateDer::pem_file_iter(&tls.cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain =
        chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
    let key = PrivateKeyDer::from_pem_file(&tls.key);
    if let Err(error) = &chain {
        reader.error(
            reader.origin("server.tls.cert"),
            "server.tls.cert",
            unusable("certificate", &tls.cert, error),
        );
    }
    if let Err(error) = &key {
        reader.error(
            reader.origin("server.tls.key"),
            "server.tls.key",
            unusable("private key", &tls.key, error),
        );
    }
    if let (Ok(chain), Ok(key)) = (chain, key)
        && let Err(error) = CertifiedKey::from_der(chain, key, &ring::default_provider())
    {
        reader.error(
            reader.origin("server.tls.key"),
            "server.tls.key",
            format!("expected the private key of server.tls.cert: {error}"),
        );
    }
}

fn unusable(what: &str, path: &Path, error: &pem::Error) -> String {
    format!("expected a PEM file with a {what} at {}: {error}", path.display())
}

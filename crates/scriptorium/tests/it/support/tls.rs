//! TLS as a client speaks it that takes every certificate.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};
use toml::Table;

use super::Setup;

/// A proxy that shows a certificate nobody has to trust.
pub(crate) fn encrypted(setup: Setup) -> Setup {
    let pem = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata").join(name);
        file.display().to_string().into()
    };
    let files = [("cert", pem("server-cert.pem")), ("key", pem("server-key.pem"))];
    setup.set("server.tls", Table::from_iter(files.map(|(key, file)| (key.to_owned(), file))))
}

/// Shakes hands to speak `protocol`.
pub(crate) fn shake_hands(
    mut stream: TcpStream,
    protocol: &[u8],
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// Takes every certificate: who is attacked does not matter.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Gets `target` with HTTP/1.1 over TLS; all that the proxy said until it hung up.
pub(crate) fn get(stream: TcpStream, target: &str) -> Vec<u8> {
    let said = try_get(stream, target).unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&said));
    said
}

/// The same, of which the proxy may close the connection at any moment.
pub(crate) fn try_get(stream: TcpStream, target: &str) -> io::Result<Vec<u8>> {
    let mut stream = shake_hands(stream, b"http/1.1")?;
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(said)
}

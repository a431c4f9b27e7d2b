//! Certificates made on the spot, and a door of TLS before whatever listens on this machine.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

/// A certificate authority with a folder of its own.
pub(crate) struct Authority(TempDir);

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Identity {
    /// As `server.tls` names it.
    pub(crate) fn keys(&self) -> toml::Table {
        let [cert, key] = [&self.cert, &self.key].map(|path| path.display().to_string().into());
        toml::Table::from_iter([("cert".to_owned(), cert), ("key".to_owned(), key)])
    }
}

impl Authority {
    /// `None` where there is no openssl to make one.
    pub(crate) fn new() -> Option<Self> {
        Command::new("openssl").arg("version").output().ok()?;
        let folder = TempDir::new().unwrap();
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let files = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority", "-days", "2"];
        openssl(folder.path(), &[&["req", "-x509"][..], &key, &files].concat());
        Some(Self(folder))
    }

    pub(crate) fn certificate(&self) -> String {
        self.0.path().join("ca.pem").display().to_string()
    }

    /// An identity for these names, such as `DNS:registry.localhost` or `IP:127.0.0.1`.
    pub(crate) fn issue(&self, file: &str, names: &str) -> Identity {
        self.issue_for(file, names, "2")
    }

    /// The same, over since long ago.
    pub(crate) fn issue_expired(&self, file: &str, names: &str) -> Identity {
        self.issue_between(file, names, "20200101000000Z", "20210101000000Z")
    }

    /// The same, long before its first moment.
    pub(crate) fn issue_early(&self, file: &str, names: &str) -> Identity {
        self.issue_between(file, names, "20900101000000Z", "21000101000000Z")
    }

    /// The same, from one moment to another. Only `openssl ca` takes moments.
    fn issue_between(&self, file: &str, names: &str, begins: &str, ends: &str) -> Identity {
        let (folder, [key, request, cert, extensions]) = (self.0.path(), self.request(file, names));
        let settings = "[ca]\ndefault_ca = own\n[own]\ndatabase = issued.txt\nrand_serial = yes\nunique_subject = no\n\
                        new_certs_dir = .\ndefault_md = sha256\npolicy = names\n[names]\ncommonName = supplied\n";
        fs::write(folder.join("ca.cnf"), settings).unwrap();
        fs::write(folder.join("issued.txt"), "").unwrap();
        let sign = ["ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"];
        let dates = ["-startdate", begins, "-enddate", ends];
        let files = ["-in", &request, "-out", &cert, "-extfile", &extensions];
        openssl(folder, &[&sign[..], &dates, &files].concat());
        Identity { cert: folder.join(cert), key: folder.join(key) }
    }

    /// A key and a request for a certificate; the names of the files of both, the certificate and its extensions.
    fn request(&self, file: &str, names: &str) -> [String; 4] {
        let files = ["key", "csr", "pem", "ext"].map(|kind| format!("{file}.{kind}"));
        let [key, request, _, extensions] = &files;
        fs::write(self.0.path().join(extensions), format!("subjectAltName={names}\n")).unwrap();
        let make =
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"];
        openssl(self.0.path(), &[&make[..], &["-keyout", key, "-out", request]].concat());
        files
    }

    /// The same, for so many days.
    pub(crate) fn issue_for(&self, file: &str, names: &str, days: &str) -> Identity {
        let (folder, [key, request, cert, extensions]) = (self.0.path(), self.request(file, names));
        let sign = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(folder, &[&sign[..], &["-days", days, "-extfile", &extensions, "-out", &cert]].concat());
        Identity { cert: folder.join(cert), key: folder.join(key) }
    }

    /// An identity that is signed by nobody but itself.
    pub(crate) fn self_signed(&self, file: &str, names: &str) -> Identity {
        let [key, cert] = ["key", "pem"].map(|kind| format!("{file}.{kind}"));
        let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2"];
        let names = format!("subjectAltName={names}");
        openssl(self.0.path(), &[&make[..], &["-addext", &names, "-keyout", &key, "-out", &cert]].concat());
        Identity { cert: self.0.path().join(cert), key: self.0.path().join(key) }
    }
}

/// TLS before `behind`, with this identity; with `clients`, for those whom that authority knows.
pub(crate) fn door(identity: &Identity, clients: Option<&Authority>, behind: SocketAddr) -> SocketAddr {
    door_to(identity, clients, behind, None)
}

/// TLS before a server of HTTP/2 alone.
pub(crate) fn door_to_http2(identity: &Identity, behind: SocketAddr) -> SocketAddr {
    door_to(identity, None, behind, Some("h2"))
}

fn door_to(
    identity: &Identity,
    clients: Option<&Authority>,
    behind: SocketAddr,
    protocol: Option<&str>,
) -> SocketAddr {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = match clients {
        None => builder.unwrap().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(authority.certificate()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_file(&identity.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols.extend(protocol.map(Into::into));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await.ok()?;
                    let mut inner = TcpStream::connect(behind).await.ok()?;
                    copy_bidirectional(&mut stream, &mut inner).await.ok()
                });
            }
        });
    });
    address
}

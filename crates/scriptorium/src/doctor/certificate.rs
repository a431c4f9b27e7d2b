//! The certificate of the public port: its dates, and whether it names the hosts by which clients ask.
//!
//! Owns these checks. Must not know how a certificate is read.

use super::{CheckOutcome, Diagnosis};
use crate::clock::Timestamp;
use crate::config::Server;
use crate::listen::{CertificateStanding, Certificates};

const CHECK: &str = "certificate";

pub(super) fn examine(server: &Server, now: Timestamp) -> Vec<Diagnosis> {
    let Some(tls) = &server.tls else { return Vec::new() };
    let about = tls.cert.path().display().to_string();
    match Certificates::read(tls.cert.path(), tls.key.path()) {
        Err(error) => vec![Diagnosis::bad(CHECK, about, error.to_string())],
        Ok(certificates) => {
            let mut found = vec![dates(&certificates, about.clone(), now)];
            found.extend(names(&certificates, about, server));
            found
        }
    }
}

fn dates(certificates: &Certificates, about: String, now: Timestamp) -> Diagnosis {
    let standing = certificates.standing(now);
    let outcome = match standing {
        CertificateStanding::Holds(_) => CheckOutcome::Good,
        CertificateStanding::EndsSoon(_) => CheckOutcome::Doubtful,
        CertificateStanding::Expired(_)
        | CertificateStanding::NotYet(_)
        | CertificateStanding::Unreadable => CheckOutcome::Bad,
    };
    let advice = standing.remedy().map(str::to_owned);
    Diagnosis { check: CHECK, about, outcome, found: standing.to_string(), advice }
}

/// The hosts that the configuration names and the certificate does not.
fn names(certificates: &Certificates, about: String, server: &Server) -> Option<Diagnosis> {
    let own = server.public_url.iter().filter_map(|url| url.host_str());
    let mut hosts: Vec<_> = own.chain(server.hosts.iter().map(|named| &*named.host)).collect();
    hosts.dedup();
    let missing: Vec<_> = hosts.iter().copied().filter(|host| !certificates.names(host)).collect();
    if hosts.is_empty() {
        return None;
    }
    if missing.is_empty() {
        return Some(Diagnosis::good(CHECK, about, format!("names {}", hosts.join(", "))));
    }
    let found = format!("does not name {}, which server.public_url or server.hosts does", missing.join(", "));
    let advice = "have it issued for them as well (as subject alternative names), unless TLS of clients ends before this proxy";
    Some(Diagnosis::doubtful(CHECK, about, found).advise(advice))
}

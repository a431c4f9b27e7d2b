//! What the certificate of the public port says of itself: from when until when it holds, and for which hosts.
//!
//! Clients refuse a certificate outside its dates, and this proxy serves it all the same: some client's clock may be right where ours
//! is not. So nothing here prevents a start; it is told. Owns the reading of dates and names. Must not know who is told.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::Certificates;
use crate::clock::Timestamp;
use crate::telemetry::CERTIFICATE_ENDS_SOON;

/// How the dates of a certificate chain stand at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateStanding {
    #[error("holds until {0}")]
    Holds(Timestamp),
    #[error("ends soon: it holds until {0}")]
    EndsSoon(Timestamp),
    #[error("has expired: it held until {0}")]
    Expired(Timestamp),
    #[error("does not hold yet: its first moment is {0}")]
    NotYet(Timestamp),
    #[error("has dates that cannot be read, or that end before they begin")]
    Unreadable,
}

impl Certificates {
    /// How the chain stands at `now`: it holds while each of its certificates does.
    pub(crate) fn standing(&self, now: Timestamp) -> CertificateStanding {
        let Some(dates) = self.current().cert.iter().map(dates).collect::<Option<Vec<_>>>() else {
            return CertificateStanding::Unreadable;
        };
        let begins = dates.iter().map(|(begins, _)| *begins).max().unwrap_or(now);
        let ends = dates.iter().map(|(_, ends)| *ends).min().unwrap_or(now);
        if ends < begins {
            CertificateStanding::Unreadable
        } else if now > ends {
            CertificateStanding::Expired(ends)
        } else if now < begins {
            CertificateStanding::NotYet(begins)
        } else if now.after(CERTIFICATE_ENDS_SOON) > ends {
            CertificateStanding::EndsSoon(ends)
        } else {
            CertificateStanding::Holds(ends)
        }
    }

    /// Whether clients that ask for `host`, in a URL's form, accept the certificate.
    pub(crate) fn names(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let current = self.current();
        let (Some(own), Ok(name)) = (current.cert.first(), ServerName::try_from(host)) else { return false };
        EndEntityCert::try_from(own).is_ok_and(|own| own.verify_is_valid_for_subject_name(&name).is_ok())
    }
}

impl CertificateStanding {
    /// What an operator does about it, where something is to be done.
    pub(crate) fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Holds(_) => None,
            Self::EndsSoon(_) => Some("renew it, and send SIGHUP"),
            Self::Expired(_) | Self::NotYet(_) => Some(
                "clients refuse it: renew it and send SIGHUP, or set this machine's clock if that is wrong",
            ),
            Self::Unreadable => Some("clients refuse it: have it issued anew"),
        }
    }

    /// The last moment, where it is known.
    pub(crate) fn ends(self) -> Option<Timestamp> {
        match self {
            Self::Holds(ends) | Self::EndsSoon(ends) | Self::Expired(ends) => Some(ends),
            Self::NotYet(_) | Self::Unreadable => None,
        }
    }
}

/// The first and the last moment of a certificate. `webpki` names each in the error of a verification at the wrong time, and looks at
/// the dates before anything else.
fn dates(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let at = |seconds| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::server_auth();
        certificate.verify_for_usage(&[], &[], &[], time, usage, None, None).err()
    };
    let begins = match at(0)? {
        Error::CertNotValidYet { not_before, .. } => timestamp(not_before),
        Error::InvalidCertValidity => return None,
        _ => Timestamp(0),
    };
    match at(u64::MAX)? {
        Error::CertExpired { not_after, .. } => Some((begins, timestamp(not_after))),
        _ => None,
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp(time.as_secs().saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_certificate_tells_its_dates_and_its_hosts() {
        let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata");
        let [chain, key] = ["server-cert.pem", "server-key.pem"].map(|name| testdata.join(name));
        let certificates = Certificates::read(&chain, &key).unwrap();
        let (begins, ends) = dates(&certificates.current().cert[0]).unwrap();
        let standing = |now: u64| certificates.standing(Timestamp(now));
        let soon = u64::try_from(CERTIFICATE_ENDS_SOON.as_millis()).unwrap();
        assert_eq!(standing(begins.0 - 1), CertificateStanding::NotYet(begins));
        assert_eq!(standing(begins.0), CertificateStanding::Holds(ends));
        assert_eq!(standing(ends.0 - soon), CertificateStanding::Holds(ends));
        assert_eq!(standing(ends.0 - soon + 1), CertificateStanding::EndsSoon(ends));
        assert_eq!(standing(ends.0), CertificateStanding::EndsSoon(ends));
        assert_eq!(standing(ends.0 + 1), CertificateStanding::Expired(ends));
        assert!(certificates.names("localhost") && !certificates.names("elsewhere.example"));
        assert!(!certificates.names("[::2]") && !certificates.names("no name"));
    }
}

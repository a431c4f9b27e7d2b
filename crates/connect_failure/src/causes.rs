//! Classifies errors of connections, by their types and never by their texts.
//!
//! Owns the tables from the errors of system and TLS libraries to causes. Must not know what follows from a cause.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage, OtherError};

use crate::failure::ConnectFailure;

/// How the TLS records begin that a server sends first: an alert, a handshake.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

/// A server that answers in TLS where plain text was sent.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the server speaks TLS, and plain text was sent")]
pub struct SpeaksTls;

/// Whether an answer that begins with this byte is TLS. No answer in HTTP/1.1 or of Redis begins so.
pub fn is_tls_record(first: u8) -> bool {
    TLS_RECORDS.contains(&first)
}

/// The error in a certificate for which TLS has no name of its own.
pub fn unnamed(error: &TlsError) -> Option<&webpki::Error> {
    match error {
        TlsError::InvalidCertificate(CertificateError::Other(OtherError(why))) => why.downcast_ref(),
        _ => None,
    }
}

/// `error` and its sources, outermost first, including what an I/O error or a shared error wraps.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>().map(|shared| &**shared);
        let wrapped = shared
            .or_else(|| error.downcast_ref::<io::Error>().and_then(|error| Some(error.get_ref()? as _)));
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// The first of `error` and its sources that is a `T`.
pub fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Why a TCP connection failed.
pub fn of_connecting(error: &(dyn Error + 'static)) -> ConnectFailure {
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => ConnectFailure::Refused,
        Some(io::ErrorKind::TimedOut) => ConnectFailure::Filtered,
        Some(
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable,
        ) => ConnectFailure::NoRoute,
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => ConnectFailure::Closed,
        Some(_) | None => ConnectFailure::System,
    }
}

/// Why a handshake failed. `misses_identity`: a client certificate was requested, and there is none.
pub fn of_handshake(error: &io::Error, misses_identity: bool) -> ConnectFailure {
    match find::<TlsError>(error) {
        Some(error) => of_tls(error, misses_identity),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => ConnectFailure::Closed,
            _ => ConnectFailure::Tls,
        },
    }
}

/// Why a request failed on a connection that was made: some servers reject a certificate only then.
pub fn of_request(error: &(dyn Error + 'static)) -> Option<ConnectFailure> {
    if find::<SpeaksTls>(error).is_some() {
        return Some(ConnectFailure::OnlyTls);
    }
    find::<TlsError>(error)
        .map(|error| of_tls(error, false))
        .filter(|cause| *cause == ConnectFailure::TlsClient)
}

fn of_tls(error: &TlsError, misses_identity: bool) -> ConnectFailure {
    match error {
        TlsError::InvalidCertificate(why) => match unnamed(error) {
            Some(webpki::Error::CaUsedAsEndEntity) => ConnectFailure::TlsAuthority,
            Some(webpki::Error::InvalidCertValidity) => ConnectFailure::TlsExpired,
            Some(_) | None => of_certificate(why),
        },
        TlsError::AlertReceived(alert) if is_about_us(*alert) => ConnectFailure::TlsClient,
        TlsError::AlertReceived(AlertDescription::HandshakeFailure) if misses_identity => {
            ConnectFailure::TlsClient
        }
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => ConnectFailure::NotTls,
        _ => ConnectFailure::Tls,
    }
}

fn of_certificate(why: &CertificateError) -> ConnectFailure {
    match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ConnectFailure::TlsName
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => ConnectFailure::TlsExpired,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => ConnectFailure::TlsAuthority,
        _ => ConnectFailure::Tls,
    }
}

/// Whether the alert is about this proxy's client certificate, or the lack of one.
fn is_about_us(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaken(error: TlsError, misses_identity: bool) -> ConnectFailure {
        of_handshake(&io::Error::new(io::ErrorKind::InvalidData, error), misses_identity)
    }

    #[test]
    fn what_a_handshake_fails_of() {
        use AlertDescription::{CertificateRequired, HandshakeFailure, InternalError, UnknownCA};
        let certificate = TlsError::InvalidCertificate;
        let unnamed = |error| certificate(CertificateError::Other(OtherError(Arc::new(error))));
        for (error, cause) in [
            (certificate(CertificateError::NotValidForName), ConnectFailure::TlsName),
            (certificate(CertificateError::Expired), ConnectFailure::TlsExpired),
            (certificate(CertificateError::NotValidYet), ConnectFailure::TlsExpired),
            (unnamed(webpki::Error::InvalidCertValidity), ConnectFailure::TlsExpired),
            (certificate(CertificateError::UnknownIssuer), ConnectFailure::TlsAuthority),
            (unnamed(webpki::Error::CaUsedAsEndEntity), ConnectFailure::TlsAuthority),
            (certificate(CertificateError::Revoked), ConnectFailure::Tls),
            (unnamed(webpki::Error::UnsupportedCertVersion), ConnectFailure::Tls),
            (TlsError::AlertReceived(CertificateRequired), ConnectFailure::TlsClient),
            (TlsError::AlertReceived(UnknownCA), ConnectFailure::TlsClient),
            (TlsError::AlertReceived(HandshakeFailure), ConnectFailure::Tls),
            (TlsError::AlertReceived(InternalError), ConnectFailure::Tls),
            (TlsError::InvalidMessage(InvalidMessage::InvalidContentType), ConnectFailure::NotTls),
            (TlsError::DecryptError, ConnectFailure::Tls),
        ] {
            assert_eq!(shaken(error.clone(), false), cause, "{error:?}");
        }
        assert_eq!(shaken(TlsError::AlertReceived(HandshakeFailure), true), ConnectFailure::TlsClient);
        assert_eq!(of_handshake(&io::ErrorKind::UnexpectedEof.into(), false), ConnectFailure::Closed);
    }

    #[test]
    fn what_a_connection_fails_of() {
        for (kind, cause) in [
            (io::ErrorKind::ConnectionRefused, ConnectFailure::Refused),
            (io::ErrorKind::TimedOut, ConnectFailure::Filtered),
            (io::ErrorKind::NetworkUnreachable, ConnectFailure::NoRoute),
            (io::ErrorKind::HostUnreachable, ConnectFailure::NoRoute),
            (io::ErrorKind::ConnectionReset, ConnectFailure::Closed),
            (io::ErrorKind::PermissionDenied, ConnectFailure::System),
        ] {
            assert_eq!(of_connecting(&io::Error::from(kind)), cause, "{kind:?}");
        }
    }

    #[test]
    fn a_cause_is_found_in_what_an_error_wraps_or_shares() {
        let shared: Arc<dyn Error + Send + Sync> =
            Arc::new(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls));
        assert!(find::<SpeaksTls>(&io::Error::other(shared)).is_some());
        assert!(find::<SpeaksTls>(&io::Error::from(io::ErrorKind::InvalidData)).is_none());
    }

    #[test]
    fn what_shows_with_the_first_request_only() {
        let wrapped = |error: TlsError| io::Error::new(io::ErrorKind::InvalidData, error);
        let required = wrapped(TlsError::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(of_request(&required), Some(ConnectFailure::TlsClient));
        assert_eq!(
            of_request(&io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)),
            Some(ConnectFailure::OnlyTls)
        );
        assert_eq!(of_request(&wrapped(TlsError::DecryptError)), None, "a connection that broke");
        assert_eq!(of_request(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
    }
}

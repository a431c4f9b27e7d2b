//! Which cause an error is, found out by what it is and never by what it says.
//!
//! Owns the tables from the errors of system, TLS and HTTP libraries to causes. Must not know what a cause leads to.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError, InvalidMessage};

use super::super::cause::Cause;
use super::believing::unnamed;
use super::connection::SpeaksTls;

/// Everything that led to `error`, itself first, what an I/O error wraps included.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// The first of what led to `error` that is a `T`.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// What a TCP connection failed of.
pub(super) fn of_connecting(error: &(dyn Error + 'static)) -> Cause {
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => Cause::Refused,
        Some(io::ErrorKind::TimedOut) => Cause::Filtered,
        Some(
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable,
        ) => Cause::NoRoute,
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => Cause::Closed,
        Some(_) | None => Cause::System,
    }
}

/// What a handshake failed of; `misses_identity` where a client certificate was asked for and there is none.
pub(super) fn of_handshake(error: &io::Error, misses_identity: bool) -> Cause {
    match find::<TlsError>(error) {
        Some(error) => of_tls(error, misses_identity),
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Cause::Closed,
            _ => Cause::Tls,
        },
    }
}

/// What a connection that was made turns out to lack: some servers say so only to the first request.
pub(super) fn of_request(error: &(dyn Error + 'static)) -> Option<Cause> {
    if find::<SpeaksTls>(error).is_some() {
        return Some(Cause::OnlyTls);
    }
    find::<TlsError>(error).map(|error| of_tls(error, false)).filter(|cause| *cause == Cause::TlsClient)
}

fn of_tls(error: &TlsError, misses_identity: bool) -> Cause {
    match error {
        TlsError::InvalidCertificate(why) => match unnamed(error) {
            Some(webpki::Error::CaUsedAsEndEntity) => Cause::TlsAuthority,
            Some(webpki::Error::InvalidCertValidity) => Cause::TlsExpired,
            Some(_) | None => of_certificate(why),
        },
        TlsError::AlertReceived(alert) if is_about_us(*alert) => Cause::TlsClient,
        TlsError::AlertReceived(AlertDescription::HandshakeFailure) if misses_identity => Cause::TlsClient,
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => Cause::NotTls,
        _ => Cause::Tls,
    }
}

fn of_certificate(why: &CertificateError) -> Cause {
    match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Cause::TlsName,
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Cause::TlsExpired,
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Cause::TlsAuthority,
        _ => Cause::Tls,
    }
}

/// Whether the other side says something of the certificate that it was shown, or was not.
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
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    fn shaken(error: TlsError, misses_identity: bool) -> Cause {
        of_handshake(&io::Error::new(io::ErrorKind::InvalidData, error), misses_identity)
    }

    #[test]
    fn what_a_handshake_fails_of() {
        use AlertDescription::{CertificateRequired, HandshakeFailure, InternalError, UnknownCA};
        let certificate = TlsError::InvalidCertificate;
        let unnamed = |error| certificate(CertificateError::Other(OtherError(Arc::new(error))));
        for (error, cause) in [
            (certificate(CertificateError::NotValidForName), Cause::TlsName),
            (certificate(CertificateError::Expired), Cause::TlsExpired),
            (certificate(CertificateError::NotValidYet), Cause::TlsExpired),
            (unnamed(webpki::Error::InvalidCertValidity), Cause::TlsExpired),
            (certificate(CertificateError::UnknownIssuer), Cause::TlsAuthority),
            (unnamed(webpki::Error::CaUsedAsEndEntity), Cause::TlsAuthority),
            (certificate(CertificateError::Revoked), Cause::Tls),
            (unnamed(webpki::Error::UnsupportedCertVersion), Cause::Tls),
            (TlsError::AlertReceived(CertificateRequired), Cause::TlsClient),
            (TlsError::AlertReceived(UnknownCA), Cause::TlsClient),
            (TlsError::AlertReceived(HandshakeFailure), Cause::Tls),
            (TlsError::AlertReceived(InternalError), Cause::Tls),
            (TlsError::InvalidMessage(InvalidMessage::InvalidContentType), Cause::NotTls),
            (TlsError::DecryptError, Cause::Tls),
        ] {
            assert_eq!(shaken(error.clone(), false), cause, "{error:?}");
        }
        assert_eq!(shaken(TlsError::AlertReceived(HandshakeFailure), true), Cause::TlsClient);
        assert_eq!(of_handshake(&io::ErrorKind::UnexpectedEof.into(), false), Cause::Closed);
    }

    #[test]
    fn what_a_connection_fails_of() {
        for (kind, cause) in [
            (io::ErrorKind::ConnectionRefused, Cause::Refused),
            (io::ErrorKind::TimedOut, Cause::Filtered),
            (io::ErrorKind::NetworkUnreachable, Cause::NoRoute),
            (io::ErrorKind::HostUnreachable, Cause::NoRoute),
            (io::ErrorKind::ConnectionReset, Cause::Closed),
            (io::ErrorKind::PermissionDenied, Cause::System),
        ] {
            assert_eq!(of_connecting(&io::Error::from(kind)), cause, "{kind:?}");
        }
    }

    #[test]
    fn what_shows_with_the_first_request_only() {
        let wrapped = |error: TlsError| io::Error::new(io::ErrorKind::InvalidData, error);
        let required = wrapped(TlsError::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(of_request(&required), Some(Cause::TlsClient));
        assert_eq!(of_request(&io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)), Some(Cause::OnlyTls));
        assert_eq!(of_request(&wrapped(TlsError::DecryptError)), None, "a connection that broke");
        assert_eq!(of_request(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
    }
}

//! The formats of PEM files, each read and judged at once.
//!
//! Owns what each must hold. Must not know any key, nor which files belong together.

use super::super::format::ValueFormat;
use super::super::value::PemFile;

/// A certificate with those that prove it.
pub(in crate::config) fn certificate() -> ValueFormat<PemFile> {
    pem("the path of a PEM file with a certificate", |file| file.certificates().map(drop))
}

/// The private key of a certificate.
pub(in crate::config) fn private_key() -> ValueFormat<PemFile> {
    pem("the path of a PEM file with a private key", |file| file.private_key().map(drop))
}

/// Certificates of those who may sign others.
pub(in crate::config) fn authorities() -> ValueFormat<PemFile> {
    pem("the path of a PEM file with certificates of authorities", PemFile::hold_authorities)
}

fn pem(expected: &'static str, judge: fn(&PemFile) -> Result<(), String>) -> ValueFormat<PemFile> {
    let open = move |path| PemFile::read(path).and_then(|file| judge(&file).map(|()| file));
    ValueFormat::file(expected, open, PemFile::path)
}

//! Types of values that only a configuration has: rates, hosts, locations of a storage, credentials from the
//! environment.
//!
//! Owns their text forms, each of which parses back. Must not know which key has them.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

mod bounded_file;
mod claim_pattern;
mod jwks_file;
mod last_day;
mod no_proxy;
mod pem;
mod policy_file;
mod readers;
mod root_list;

pub(crate) use claim_pattern::ExpectedClaim;
pub(crate) use jwks_file::{JwksFile, LONGEST_JWKS};
pub(crate) use last_day::LastDay;
pub(crate) use no_proxy::NoProxyEntry;
pub(crate) use pem::PemFile;
pub(crate) use policy_file::{PolicyFile, PolicyTables};
pub(crate) use readers::{ListedReader, Readers};
pub(crate) use root_list::RootListFile;

/// A text is none of these values. The format of the key says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid value")]
pub(crate) struct InvalidValue;

/// Whether `text` is a name in the configuration: of a registry, a token, a group.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

/// A number of requests per second, minute or hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    requests: NonZeroU32,
    unit: (&'static str, u64),
}

/// The units of a rate, and their seconds.
const UNITS: [(&str, u64); 3] = [("s", 1), ("min", 60), ("h", 3600)];

impl Rate {
    /// `requests` per minute; 0 counts as 1.
    #[must_use]
    pub(crate) fn per_minute(requests: u32) -> Self {
        Self { requests: NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN), unit: UNITS[1] }
    }

    /// The number of requests.
    #[must_use]
    pub(crate) fn requests(&self) -> NonZeroU32 {
        self.requests
    }

    /// The time in which they are allowed.
    #[must_use]
    pub(crate) fn per(&self) -> Duration {
        Duration::from_secs(self.unit.1)
    }
}

impl FromStr for Rate {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (requests, name) = text.split_once('/').ok_or(InvalidValue)?;
        let unit = UNITS.into_iter().find(|unit| unit.0 == name).ok_or(InvalidValue)?;
        Ok(Self { requests: requests.parse().map_err(|_| InvalidValue)?, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.unit.0)
    }
}

/// A host, with or without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HostPattern {
    /// As `Url::host_str` spells it: lowercase, an IPv6 address in brackets.
    pub(crate) host: String,
    /// Unset: the port of the URL's scheme.
    pub(crate) port: Option<u16>,
}

impl FromStr for HostPattern {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| InvalidValue)?))
            }
            Some(_) | None => (text, None),
        };
        if host.contains('*') {
            return Err(InvalidValue);
        }
        Ok(Self { host: Host::parse(host).map_err(|_| InvalidValue)?.to_string(), port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Where documents and archives are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// `file://`: an absolute folder.
    File(PathBuf),
    /// `memory:///`: lost when the process ends.
    Memory,
    /// `s3://bucket/prefix`
    S3 {
        /// At least three characters.
        bucket: String,
        /// Without slashes at its ends; it may be empty.
        prefix: String,
    },
}

impl FromStr for Location {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let url = Url::parse(text).map_err(|_| InvalidValue)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidValue);
        }
        match (url.scheme(), url.host_str()) {
            ("file", None) if url.path() != "/" => {
                url.to_file_path().map(Self::File).map_err(|()| InvalidValue)
            }
            ("memory", None | Some("")) if matches!(url.path(), "" | "/") => Ok(Self::Memory),
            ("s3", Some(bucket)) if bucket.len() >= 3 && url.authority() == bucket => {
                let prefix = url.path().trim_matches('/').to_owned();
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix })
            }
            _ => Err(InvalidValue),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => match Url::from_file_path(path) {
                Ok(url) => f.write_str(url.as_str()),
                Err(()) => write!(f, "file://{}", path.display()),
            },
            Self::Memory => f.write_str("memory:///"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A secret in an environment variable.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    /// The name of the variable, which may be shown.
    pub(crate) variable: String,
    /// The secret, which may not.
    pub(crate) token: SecretString,
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.variable == other.variable && self.token.expose_secret() == other.token.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trips<T: FromStr + fmt::Display>(texts: &[&str])
    where
        T::Err: fmt::Debug,
    {
        for text in texts {
            assert_eq!(text.parse::<T>().unwrap().to_string(), *text);
        }
    }

    fn refuses<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        round_trips::<Rate>(&["60/min", "1/s", "4294967295/h"]);
        refuses::<Rate>(&["", "60", "0/min", "-1/s", "60/day", "60/ min", "4294967296/s"]);
        let rate: Rate = "5/h".parse().unwrap();
        assert_eq!((rate.requests().get(), rate.per()), (5, Duration::from_secs(3600)));
    }

    #[test]
    fn hosts() {
        round_trips::<HostPattern>(&[
            "cdn.example.com",
            "cdn.example.com:8443",
            "[::1]",
            "[::1]:80",
            "10.0.0.1:1",
        ]);
        refuses::<HostPattern>(&[
            "",
            ":80",
            "a:",
            "a:b",
            "a:65536",
            "::1",
            "https://a",
            "a/b",
            "*.example.com",
            "a b",
        ]);
        assert_eq!("CDN.Example.com".parse::<HostPattern>().unwrap().host, "cdn.example.com");
    }

    #[test]
    fn locations() {
        round_trips::<Location>(&[
            "file:///var/lib/x",
            "file:///a%20b",
            "memory:///",
            "s3://bucket/a/b",
            "s3://bucket/",
        ]);
        refuses::<Location>(&[
            "",
            "/var/lib",
            "file://host/x",
            "memory://x/y",
            "s3://",
            "s3://ab/x",
            "s3://k:s@bucket/",
            "http://x/",
            "file:///x?y",
            "file:///",
            "s3://bucket:1/",
        ]);
    }

    #[test]
    fn a_credential_is_not_printed() {
        let credential = Credential { variable: "READ".into(), token: "hunter2".into() };
        assert!(!format!("{credential:?}").contains("hunter2"));
    }
}

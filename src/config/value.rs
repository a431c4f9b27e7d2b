//! Values that only a configuration holds: rates, hosts, storage places and a credential from the environment.
//!
//! Owns their text forms, each of which parses back. Must not know which key holds them.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

mod exempt;
mod pem;

pub use exempt::Exempt;
pub use pem::PemFile;

/// Why a text is none of these values; the key that holds it says what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid value")]
pub struct InvalidValue;

/// So many requests in a second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    requests: NonZeroU32,
    period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
    Hour,
}

impl Rate {
    /// `requests` in a minute; at least one.
    #[must_use]
    pub const fn per_minute(requests: u32) -> Self {
        let requests = match NonZeroU32::new(requests) {
            Some(requests) => requests,
            None => NonZeroU32::MIN,
        };
        Self { requests, period: Period::Minute }
    }

    /// How many.
    #[must_use]
    pub fn requests(&self) -> NonZeroU32 {
        self.requests
    }

    /// In how long.
    #[must_use]
    pub fn per(&self) -> Duration {
        Duration::from_secs(match self.period {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3600,
        })
    }
}

impl FromStr for Rate {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (requests, period) = text.split_once('/').ok_or(InvalidValue)?;
        let period = match period {
            "s" => Period::Second,
            "min" => Period::Minute,
            "h" => Period::Hour,
            _ => return Err(InvalidValue),
        };
        Ok(Self { requests: requests.parse().map_err(|_| InvalidValue)?, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = match self.period {
            Period::Second => "s",
            Period::Minute => "min",
            Period::Hour => "h",
        };
        write!(f, "{}/{period}", self.requests)
    }
}

/// A host that archives may come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// As `Url::host_str` spells it: lowercase, an IPv6 address in brackets.
    pub host: String,
    /// That port only; unset, the one of the URL's scheme.
    pub port: Option<u16>,
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
pub enum Location {
    /// `file://`: an absolute folder.
    File(PathBuf),
    /// `memory:///`: gone with the process.
    Memory,
    /// `s3://bucket/prefix`
    S3 {
        /// Three characters or more.
        bucket: String,
        /// Without slashes at its ends; may be empty.
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

/// A token that an environment variable holds.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The variable's name, which may be shown.
    pub variable: String,
    /// The token, which may not.
    pub token: SecretString,
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

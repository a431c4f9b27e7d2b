//! What a key can hold: how it is read, how it is printed, and the words that say what was expected.
//!
//! Owns the ranges of single values. Must not know keys, nor how values depend on one another.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use toml::Value;
use url::Url;

use super::model::{
    CacheControl, ClientAddress, Durability, LogFormat, LogLevel, OfflineRows, OnDivergence, RelayKind,
    TokenClass, WritesCheck,
};
use super::source::Scalar;
use super::value::{Credential, HostPattern, Location, Rate};
use crate::domain::pattern::VolumePattern;
use crate::domain::{Sha256, percent};

mod egress;

pub(super) use egress::{EXEMPT, PEM, PROXY, PROXY_CREDENTIAL, is_proxy, user_and_password};

const LONGEST: Duration = Duration::from_secs(10 * 31_557_600);
const HOUR: Duration = Duration::from_secs(3600);
const EXBIBYTE: u64 = 1 << 60;
const REDACTED: &str = "<redacted>";

/// How a value of type `T` is written down.
pub(super) struct Kind<T> {
    /// Completes "expected …".
    pub(super) expected: &'static str,
    /// `None` where the scalar is not what was expected.
    pub(super) read: fn(&Scalar, &Scope<'_>) -> Option<T>,
    pub(super) print: fn(&T) -> Value,
}

/// What a value may refer to.
pub(super) struct Scope<'a> {
    /// What relative paths start from.
    pub(super) folder: &'a Path,
    /// What `token_env` names.
    pub(super) env: &'a BTreeMap<String, String>,
}

pub(super) const FLAG: Kind<bool> = Kind {
    expected: "true or false",
    read: |scalar, _| match scalar {
        Scalar::Bool(flag) => Some(*flag),
        Scalar::Integer(_) | Scalar::Text(_) | Scalar::Other => None,
    },
    print: |flag| Value::Boolean(*flag),
};

pub(super) const THREADS: Kind<usize> = Kind {
    expected: "a number of threads from 0 (one per core) to 1024",
    read: |scalar, _| whole(scalar, 0, 1024),
    print: print_whole,
};

pub(super) const RETRIES: Kind<u32> = Kind {
    expected: "a number of retries from 0 to 10",
    read: |scalar, _| whole(scalar, 0, 10),
    print: print_whole,
};

pub(super) const CONCURRENCY: Kind<usize> = Kind {
    expected: "a number of requests from 1 to 100000",
    read: |scalar, _| whole(scalar, 1, 100_000),
    print: print_whole,
};

pub(super) const CONNECTIONS: Kind<usize> = Kind {
    expected: "a number of connections from 1 to 1000000",
    read: |scalar, _| whole(scalar, 1, 1_000_000),
    print: print_whole,
};

pub(super) const BUDGET: Kind<u32> = Kind {
    expected: "a number of requests from 0 (no budget) to 1000000",
    read: |scalar, _| whole(scalar, 0, 1_000_000),
    print: print_whole,
};

pub(super) const ENTRIES: Kind<u64> = Kind {
    expected: "a number of entries from 1 to 1000000000",
    read: |scalar, _| whole(scalar, 1, 1_000_000_000),
    print: print_whole,
};

pub(super) const PERIOD: Kind<Duration> = Kind {
    expected: "a duration of at most 10 years such as \"90s\" or \"7d\"",
    read: |scalar, _| duration(scalar).filter(|period| *period <= LONGEST),
    print: print_duration,
};

pub(super) const TIMEOUT: Kind<Duration> = Kind {
    expected: "a duration from \"1ms\" to \"1h\" such as \"5s\"",
    read: |scalar, _| duration(scalar).filter(|wait| (Duration::from_millis(1)..=HOUR).contains(wait)),
    print: print_duration,
};

pub(super) const SIZE: Kind<u64> = Kind {
    expected: "a size from 1 byte to 1 EiB such as \"64MiB\"",
    read: |scalar, _| size(scalar).filter(|bytes| is_size(*bytes)),
    print: |bytes| Value::String(print_size(*bytes)),
};

pub(super) const CONNECTION_MEMORY: Kind<u64> = Kind {
    expected: "a size from 1MiB to 1 EiB such as \"96MiB\"",
    read: |scalar, _| size(scalar).filter(|bytes| is_size(*bytes) && *bytes >= 1 << 20),
    print: |bytes| Value::String(print_size(*bytes)),
};

pub(super) const PACE: Kind<u64> = Kind {
    expected: "so many bytes a second such as \"8MiB\", at most 1 EiB, or \"0B\" for never",
    read: |scalar, _| size(scalar).filter(|bytes| *bytes <= EXBIBYTE),
    print: |bytes| Value::String(print_size(*bytes)),
};

pub(super) const ADDRESS: Kind<SocketAddr> = Kind {
    expected: "an address and a port such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    read: parsed,
    print: printed,
};

pub(super) const BASE_URL: Kind<Url> = Kind {
    expected: "an http:// or https:// URL without user, password, query or fragment",
    read: |scalar, _| base_url(text(scalar)?),
    print: printed,
};

pub(super) const NETWORK: Kind<IpNet> = Kind {
    expected: "a network such as \"10.0.0.0/8\" or an address",
    read: |scalar, _| {
        let text = text(scalar)?;
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    },
    print: printed,
};

pub(super) const PATTERN: Kind<VolumePattern> = Kind {
    expected: "\"*\", a volume name, or the start of one and a star such as \"@acme/*\" or \"tools-*\"",
    read: parsed,
    print: printed,
};

pub(super) const HOST: Kind<HostPattern> = Kind {
    expected: "a host or host:port such as \"cdn.example.com\", without scheme, path or star",
    read: parsed,
    print: printed,
};

pub(super) const RATE: Kind<Rate> = Kind {
    expected: "a rate of at least one such as \"60/min\" (/s, /min, /h)",
    read: parsed,
    print: printed,
};

pub(super) const LOCATION: Kind<Location> = Kind {
    expected: "file:///folder, file://./folder, memory:/// or s3://bucket/prefix",
    read: |scalar, scope| {
        let text = text(scalar)?;
        match text.strip_prefix("file://").filter(|path| path.starts_with('.')) {
            Some(relative) => Some(Location::File(scope.resolve(&*percent::decode(relative)?)?)),
            None => text.parse().ok(),
        }
    },
    print: printed,
};

pub(super) const FILE: Kind<PathBuf> = Kind {
    expected: "the path of a file",
    read: |scalar, scope| scope.resolve(text(scalar).filter(|path| !path.is_empty())?),
    print: |path| Value::String(path.display().to_string()),
};

pub(super) const FOLDER: Kind<PathBuf> = Kind { expected: "the path of a folder", ..FILE };

pub(super) const NAME: Kind<String> = Kind {
    expected: "a name of 1 to 64 ASCII letters, digits, dots, hyphens or underscores",
    read: |scalar, _| {
        text(scalar)
            .filter(|name| (1..=64).contains(&name.len()) && name.bytes().all(is_plain))
            .map(str::to_owned)
    },
    print: |name| Value::String(name.clone()),
};

pub(super) const MOUNT: Kind<String> = Kind {
    expected: "a path such as \"/nullspace\" that does not start with /api, /archives or /trust-artifacts and ends without a slash",
    read: |scalar, _| text(scalar).filter(|path| is_mount(path)).map(str::to_owned),
    print: |path| Value::String(path.clone()),
};

pub(super) const SECRET_DIGEST: Kind<Sha256> = Kind {
    expected: "64 lowercase hexadecimal digits, as `scriptorium token hash` prints them",
    read: |scalar, _| Sha256::from_hex(text(scalar)?).ok(),
    print: |_| Value::String(REDACTED.to_owned()),
};

pub(super) const CREDENTIAL: Kind<Credential> = Kind {
    expected: "the name of an environment variable that is set to a token of visible ASCII characters",
    read: |scalar, scope| {
        let variable = text(scalar)?;
        let token = scope.env.get(variable)?.trim();
        let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        visible.then(|| Credential { variable: variable.to_owned(), token: token.into() })
    },
    print: |credential| Value::String(credential.variable.clone()),
};

/// A [`Kind`] of a few words; the pairs stand for both directions.
macro_rules! words {
    ($name:ident: $type:ident, $expected:literal, $($word:literal = $variant:ident),+) => {
        pub(super) const $name: Kind<$type> = Kind {
            expected: $expected,
            read: |scalar, _| match text(scalar)? {
                $($word => Some($type::$variant),)+
                _ => None,
            },
            print: |value| Value::String(match value { $($type::$variant => $word),+ }.to_owned()),
        };
    };
}

words!(
    CLIENT_ADDRESS: ClientAddress, "\"x-forwarded-for\", \"forwarded\", \"proxy-protocol\" or \"peer\"",
    "x-forwarded-for" = XForwardedFor, "forwarded" = Forwarded, "proxy-protocol" = ProxyProtocol, "peer" = Peer
);
words!(WRITES_CHECK: WritesCheck, "\"strict\" or \"relay\"", "strict" = Strict, "relay" = Relay);
words!(CACHE_CONTROL: CacheControl, "\"obey\" or \"ignore\"", "obey" = Obey, "ignore" = Ignore);
words!(DURABILITY: Durability, "\"commit\" or \"relaxed\"", "commit" = Commit, "relaxed" = Relaxed);
words!(CLASS: TokenClass, "\"authenticated\" or \"ci\"", "authenticated" = Authenticated, "ci" = Ci);
words!(ON_DIVERGENCE: OnDivergence, "\"quarantine\" or \"fail\"", "quarantine" = Quarantine, "fail" = Fail);
words!(OFFLINE_ROWS: OfflineRows, "\"held\" or \"all\"", "held" = Held, "all" = All);
words!(RELAY: RelayKind, "\"nullspace\"", "nullspace" = Nullspace);
words!(FORMAT: LogFormat, "\"text\" or \"json\"", "text" = Text, "json" = Json);
words!(
    LEVEL: LogLevel, "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
    "error" = Error, "warn" = Warn, "info" = Info, "debug" = Debug, "trace" = Trace
);

impl Scope<'_> {
    fn resolve(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        std::path::absolute(self.folder.join(path)).ok()
    }
}

fn text(scalar: &Scalar) -> Option<&str> {
    match scalar {
        Scalar::Text(text) => Some(text),
        Scalar::Bool(_) | Scalar::Integer(_) | Scalar::Other => None,
    }
}

fn integer(scalar: &Scalar) -> Option<i64> {
    match scalar {
        Scalar::Integer(integer) => Some(*integer),
        Scalar::Bool(_) | Scalar::Text(_) | Scalar::Other => None,
    }
}

fn parsed<T: FromStr>(scalar: &Scalar, _: &Scope<'_>) -> Option<T> {
    text(scalar)?.parse().ok()
}

fn printed<T: ToString>(value: &T) -> Value {
    Value::String(value.to_string())
}

fn whole<T: TryFrom<i64>>(scalar: &Scalar, least: i64, most: i64) -> Option<T> {
    integer(scalar).filter(|number| (least..=most).contains(number)).and_then(|number| number.try_into().ok())
}

fn print_whole<T: Copy + TryInto<i64>>(number: &T) -> Value {
    Value::Integer((*number).try_into().unwrap_or(i64::MAX))
}

fn duration(scalar: &Scalar) -> Option<Duration> {
    humantime::parse_duration(text(scalar)?).ok()
}

fn print_duration(period: &Duration) -> Value {
    Value::String(humantime::format_duration(*period).to_string())
}

fn size(scalar: &Scalar) -> Option<u64> {
    match integer(scalar) {
        Some(bytes) => bytes.try_into().ok(),
        None => bytes_of(text(scalar)?),
    }
}

fn bytes_of(text: &str) -> Option<u64> {
    text.parse::<ByteSize>().ok().map(|size| size.0)
}

fn is_size(bytes: u64) -> bool {
    (1..=EXBIBYTE).contains(&bytes)
}

/// Text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {}", SIZE.expected)]
pub struct InvalidSize;

/// The bytes that `text` says, read as a size in a configuration is.
///
/// # Errors
/// [`InvalidSize`] says what was expected.
pub fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    bytes_of(text).filter(|bytes| is_size(*bytes)).ok_or(InvalidSize)
}

/// The largest unit that leaves nothing over, so that what is printed reads back exactly.
fn print_size(bytes: u64) -> String {
    let units = [("GiB", bytesize::GIB), ("MiB", bytesize::MIB), ("KiB", bytesize::KIB)];
    let exact = units.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

fn base_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn is_mount(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let whole =
        segments.split('/').all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(is_plain));
    whole && !matches!(segments.split('/').next(), Some("api" | "archives" | "trust-artifacts"))
}

//! The PROXY protocol, versions 1 and 2: the header that a load balancer sends before the first byte of its client.
//!
//! Owns the length of a header and what it says about the client. Must not know who may send one.

use std::net::SocketAddr;

use ppp::v2::{Addresses, Command, Type};
use ppp::{HeaderResult, v1};

/// Longest header that is read. Version 2 may hold addresses and names of certificates; version 1 has at most 107 bytes.
pub(super) const LONGEST: usize = 4096;

/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// What version 2 begins with.
const SIGNATURE: &[u8] = ppp::v2::PROTOCOL_PREFIX;
/// The fixed part of version 2, whose last two bytes are the length of the rest.
const FIXED: usize = 16;
/// Longest header of version 1, line break included.
const LINE: usize = 107;

/// The bit in the TLS field of version 2 that says that the client's connection was encrypted.
const CAME_ENCRYPTED: u8 = 1;

/// Which client a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The connection is the proxy's own, or the proxy does not know the client.
    Peer,
    Client {
        address: SocketAddr,
        encrypted: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trusted proxy did not send a header of the PROXY protocol first")]
pub(super) struct NoHeader;

/// The length of the header that `read` begins with; `None` while too little of it is there.
pub(super) fn length(read: &[u8]) -> Result<Option<usize>, NoHeader> {
    let length = if begins(read, SIGNATURE) {
        let Some([high, low]) = read.get(FIXED - 2..FIXED) else { return Ok(None) };
        FIXED + usize::from(u16::from_be_bytes([*high, *low]))
    } else if begins(read, WORD) {
        match read.iter().take(LINE).position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if read.len() < LINE => return Ok(None),
            None => return Err(NoHeader),
        }
    } else {
        return Err(NoHeader);
    };
    if length > LONGEST { Err(NoHeader) } else { Ok(Some(length)) }
}

/// Whether one of the two begins with the other.
fn begins(read: &[u8], with: &[u8]) -> bool {
    let common = read.len().min(with.len());
    read[..common] == with[..common]
}

/// Reads a whole header.
pub(super) fn parse(header: &[u8]) -> Result<Named, NoHeader> {
    let client = |address: SocketAddr, encrypted| Named::Client { address, encrypted };
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Unknown => Named::Peer,
            v1::Addresses::Tcp4(ip) => client((ip.source_address, ip.source_port).into(), false),
            v1::Addresses::Tcp6(ip) => client((ip.source_address, ip.source_port).into(), false),
        }),
        HeaderResult::V2(Ok(header)) => {
            let encrypted = came_encrypted(&header);
            Ok(match (header.command, header.addresses) {
                (Command::Local, _) | (Command::Proxy, Addresses::Unspecified | Addresses::Unix(_)) => {
                    Named::Peer
                }
                (Command::Proxy, Addresses::IPv4(ip)) => {
                    client((ip.source_address, ip.source_port).into(), encrypted)
                }
                (Command::Proxy, Addresses::IPv6(ip)) => {
                    client((ip.source_address, ip.source_port).into(), encrypted)
                }
            })
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(NoHeader),
    }
}

fn came_encrypted(header: &ppp::v2::Header<'_>) -> bool {
    let values = header.tlvs().map_while(Result::ok);
    let mut tls = values.filter(|value| value.kind == u8::from(Type::SSL));
    tls.next().is_some_and(|tls| tls.value.first().is_some_and(|bits| bits & CAME_ENCRYPTED != 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Version 2: command, family and protocol, and what follows.
    fn second(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[0x20 | command, family], &length, payload].concat()
    }

    const FOUR: &[u8] = &[192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 1, 0xbb];

    fn client(address: &str, encrypted: bool) -> Result<Named, NoHeader> {
        Ok(Named::Client { address: address.parse().unwrap(), encrypted })
    }

    fn named(header: &[u8]) -> Result<Named, NoHeader> {
        assert_eq!(length(header), Ok(Some(header.len())));
        parse(header)
    }

    #[test]
    fn both_versions_name_the_client() {
        assert_eq!(named(b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 443\r\n"), client("192.0.2.7:8080", false));
        assert_eq!(named(b"PROXY TCP6 2001:db8::7 ::1 8080 443\r\n"), client("[2001:db8::7]:8080", false));
        assert_eq!(named(&second(1, 0x11, FOUR)), client("192.0.2.7:8080", false));
        let six =
            [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0x1f, 0x90, 0, 0]];
        assert_eq!(named(&second(1, 0x21, &six.concat())), client("[2001:db8::7]:8080", false));
    }

    #[test]
    fn who_speaks_for_itself_is_the_peer() {
        assert_eq!(named(b"PROXY UNKNOWN\r\n"), Ok(Named::Peer));
        assert_eq!(named(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Ok(Named::Peer));
        assert_eq!(named(&second(0, 0, &[])), Ok(Named::Peer));
        assert_eq!(named(&second(0, 0x11, FOUR)), Ok(Named::Peer));
        assert_eq!(named(&second(1, 0x31, &[0; 216])), Ok(Named::Peer));
    }

    #[test]
    fn the_second_version_says_whether_the_client_came_encrypted() {
        let with = |values: &[u8]| named(&second(1, 0x11, &[FOUR, values].concat()));
        assert_eq!(with(&[0x20, 0, 5, 1, 0, 0, 0, 0]), client("192.0.2.7:8080", true));
        assert_eq!(with(&[0x20, 0, 5, 6, 0, 0, 0, 0]), client("192.0.2.7:8080", false));
        assert_eq!(with(&[4, 0, 2, 0, 0, 0x20, 0, 5, 7, 0, 0, 0, 0]), client("192.0.2.7:8080", true));
        assert_eq!(
            with(&[0x20, 0, 9, 1]),
            client("192.0.2.7:8080", false),
            "a value that is cut says nothing"
        );
        assert_eq!(with(&[0x20, 0, 0]), client("192.0.2.7:8080", false));
    }

    #[test]
    fn what_is_no_header_is_seen_as_soon_as_that_is_certain() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PROXY_", b"\x16\x03\x01", b"\r\n\r\n\0\r\nX", &[0; 16]] {
            assert_eq!(length(bytes), Err(NoHeader), "{bytes:?}");
        }
        assert_eq!(length(&[b"PROXY ", &[b'x'; LINE][..]].concat()), Err(NoHeader));
        assert_eq!(length(&[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat()), Err(NoHeader));
        for header in [
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        ] {
            assert_eq!(parse(header.as_bytes()), Err(NoHeader), "{header}");
        }
        assert_eq!(parse(&second(2, 0x11, FOUR)), Err(NoHeader));
        assert_eq!(parse(&second(1, 0x11, &FOUR[..11])), Err(NoHeader));
    }

    fn headers() -> impl Strategy<Value = Vec<u8>> {
        let values = prop::collection::vec(any::<u8>(), 0..300);
        let second =
            (0..3_u8, any::<u8>(), values).prop_map(|(command, family, rest)| second(command, family, &rest));
        let first = "PROXY (TCP4|TCP6|UNKNOWN)( [0-9a-f.:]{0,15}){0,5}\r\n".prop_map(String::into_bytes);
        prop_oneof![second, first, prop::collection::vec(any::<u8>(), 0..600)]
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike_however_they_are_split(bytes in headers(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
            let whole = [&bytes[..], &rest].concat();
            let judged = length(&whole);
            for cut in 0..=whole.len() {
                match length(&whole[..cut]) {
                    // Too early to say.
                    Ok(None) => {}
                    sooner => prop_assert_eq!(sooner, judged, "cut at {}", cut),
                }
            }
            if let Ok(Some(length)) = judged {
                prop_assert!(length <= LONGEST);
                if let Some(header) = whole.get(..length) {
                    // Neither panics nor reads beyond its end.
                    let _ = parse(header);
                }
            }
        }
    }
}

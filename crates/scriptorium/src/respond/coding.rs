//! Which content codings a client takes (RFC 9110, section 12.5.3).
//!
//! Owns the reading of `Accept-Encoding`. Must not know which codings are made.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::read::rendition::BodyCoding;

/// A weight, in thousandths; 0 is "not acceptable".
type Weight = u16;

const FULL: Weight = 1000;

/// The weight that a client gives each coding; 0 for all without the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Accepted {
    zstd: Weight,
    gzip: Weight,
    identity: Weight,
}

impl Accepted {
    /// Reads all `Accept-Encoding` fields.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (mut zstd, mut gzip, mut identity, mut any) = (None, None, None, None);
        let fields = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
        for member in fields.flat_map(|field| field.split(',')) {
            let (name, weight) = member.split_once(';').map_or((member, FULL), |(name, weight)| {
                // A weight that cannot be parsed counts as 0: the client might not be able to read the coding.
                (name, parse(weight).unwrap_or(0))
            });
            let name = name.trim();
            let is = |token: &str| name.eq_ignore_ascii_case(token);
            let place = match () {
                () if is("gzip") || is("x-gzip") => &mut gzip,
                () if is("zstd") => &mut zstd,
                () if is("identity") => &mut identity,
                () if is("*") => &mut any,
                () => continue,
            };
            *place = Some(weight);
        }
        // `*` is taken to mean gzip only: clients that can read zstd name it.
        let of_any = |named: Option<Weight>| named.or(any).unwrap_or(0);
        Self { zstd: zstd.unwrap_or(0), gzip: of_any(gzip), identity: of_any(identity) }
    }

    /// The codings that the client prefers to the plain body, by weight, and zstd first where weights are equal. If
    /// none of them is there, the plain body is sent, even to a client that refuses it: every client can read it.
    pub(super) fn preferred(self) -> impl Iterator<Item = BodyCoding> + Clone {
        let order =
            if self.gzip > self.zstd { [BodyCoding::Gzip, BodyCoding::Zstd] } else { BodyCoding::ALL };
        order.into_iter().filter(move |coding| {
            let weight = match coding {
                BodyCoding::Zstd => self.zstd,
                BodyCoding::Gzip => self.gzip,
            };
            weight > 0 && weight >= self.identity
        })
    }
}

/// `q=` and a number from 0 to 1 with at most three decimals.
fn parse(weight: &str) -> Option<Weight> {
    let weight = weight.trim();
    let number = weight.strip_prefix("q=").or_else(|| weight.strip_prefix("Q="))?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digit = |at: usize| decimals.as_bytes().get(at).map_or(0, |digit| Weight::from(digit - b'0'));
    let fraction = digit(0) * 100 + digit(1) * 10 + digit(2);
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn preferred(fields: &[&str]) -> Vec<&'static str> {
        let fields = fields.iter().map(|field| (ACCEPT_ENCODING, HeaderValue::from_str(field).unwrap()));
        let mut headers = HeaderMap::new();
        headers.extend(fields);
        Accepted::of(&headers).preferred().map(BodyCoding::token).collect()
    }

    #[test]
    fn the_wanted_coding_comes_first() {
        let both = ["zstd", "gzip"];
        for (field, expected) in [
            ("", &[][..]),
            ("gzip", &["gzip"]),
            ("x-gzip", &["gzip"]),
            ("GZip", &["gzip"]),
            ("zstd", &["zstd"]),
            ("gzip, deflate, br, zstd", &both),
            ("zstd;q=0.5, gzip;q=0.5", &both),
            ("gzip;q=1.0, zstd;q=0.999", &["gzip", "zstd"]),
            ("gzip;q=0.001 , zstd ; q=0.002", &both),
            ("gzip;Q=0.5", &["gzip"]),
            ("gzip;q=0", &[]),
            ("gzip;q=0.000, zstd", &["zstd"]),
            ("br, deflate, compress", &[]),
            ("gzipped, zstandard", &[]),
            ("identity", &[]),
            ("identity, gzip;q=0.5", &[]),
            ("identity, gzip", &["gzip"]),
            ("identity;q=0.3, gzip;q=0.6, zstd;q=0.2", &["gzip"]),
            ("identity;q=0, gzip", &["gzip"]),
            ("identity;q=0", &[]),
            ("*", &["gzip"]),
            ("*;q=0", &[]),
            ("*;q=0, gzip", &["gzip"]),
            ("gzip;q=0, *", &[]),
            ("br;q=1.0, gzip;q=0.8, *;q=0.1", &["gzip"]),
            ("gzip;q=0.2, *;q=0.5", &[]),
            ("zstd, *;q=0.5", &both),
            (",,gzip,, ,", &["gzip"]),
        ] {
            assert_eq!(preferred(&[field]), expected, "{field}");
        }
        assert_eq!(preferred(&["br", "zstd;q=0.1", "gzip"]), ["gzip", "zstd"], "several fields are one list");
        assert_eq!(preferred(&[]), [""; 0]);
    }

    #[test]
    fn an_invalid_weight_counts_as_none() {
        for weight in [
            "q=1.1", "q=2", "q=", "q=.5", "q=-0", "q=0.0001", "q=1.0000", "q=0,5", "q=0.5x", "q", "w=1", "",
            "q = 1", "q=\"1\"", "q=1;q=1", "q=1.001", "q=00.5", "q=+1", "q=1e0",
        ] {
            assert_eq!(parse(weight), None, "{weight}");
            assert_eq!(preferred(&[&format!("gzip;{weight}")]), [""; 0], "{weight}");
        }
        for (weight, value) in [("q=1", 1000), ("q=1.", 1000), ("q=0.05", 50), (" q=0.123 ", 123)] {
            assert_eq!(parse(weight), Some(value), "{weight}");
        }
    }

    proptest! {
        #[test]
        fn no_field_is_too_odd(field in "[ -~]{0,80}") {
            preferred(&[&field]);
        }

        /// Weights decide, whatever stands between them and in whatever order.
        #[test]
        fn the_greater_weight_wins(
            weights in proptest::collection::vec(0..=1000_u16, 3),
            unknown in proptest::collection::vec("[a-z]{5,9}(;q=0\\.[0-9]{1,3})?", 0..4),
            turn in 0..7_usize,
        ) {
            let [zstd, gzip, identity] = weights[..] else { return Ok(()) };
            let known = [("zstd", zstd), ("gzip", gzip), ("identity", identity)];
            let spelled = known.map(|(name, q)| format!("{name};q={}.{:03}", q / 1000, q % 1000));
            let mut members = Vec::from(spelled);
            members.extend(unknown);
            let places = members.len();
            members.rotate_left(turn % places);
            let expected = match (zstd >= gzip, zstd.max(gzip)) {
                (_, best) if best == 0 || best < identity => None,
                (true, _) => Some("zstd"),
                (false, _) => Some("gzip"),
            };
            prop_assert_eq!(preferred(&[&members.join(", ")]).first().copied(), expected);
        }
    }
}

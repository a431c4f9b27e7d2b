//! The formats of the section `[telemetry]`.
//!
//! Owns what is accepted there. Must not know any key.

use toml::Value;
use url::Url;

use super::super::format::{Scope, ValueFormat};
use super::{is_anonymous, is_proxy};

/// Where a collector of spans is.
pub(in super::super) fn collector_url() -> ValueFormat<Url> {
    let expected = "the http:// or https:// URL of a collector with a host and a port only, such as \
                    \"http://127.0.0.1:4317\"";
    let parse =
        |text: &str, _: &Scope<'_>| Url::parse(text).ok().filter(|url| is_proxy(url) && is_anonymous(url));
    ValueFormat::text(expected, parse, Url::to_string)
}

/// A part of all.
pub(in super::super) fn share() -> ValueFormat<f64> {
    let parse = |value: &Value, _: &Scope<'_>| {
        let whole = || value.as_integer().and_then(|whole| i32::try_from(whole).ok()).map(f64::from);
        value.as_float().or_else(whole).filter(|share| (0.0..=1.0).contains(share))
    };
    ValueFormat::plain("a number from 0 to 1 such as 0.01", parse, |share| Value::Float(*share))
}

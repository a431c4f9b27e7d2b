//! The formats of values about the engine through which proxies agree.
//!
//! Owns what is accepted as each of them. Must not know any key.

use url::Url;

use super::super::format::{Scope, ValueFormat};

/// The longest prefix of keys, in bytes.
const LONGEST_PREFIX: usize = 64;

/// Where a Redis or Valkey is.
pub(in crate::config) fn engine_url() -> ValueFormat<Url> {
    let is_database = |path: &str| matches!(path, "" | "/") || path[1..].parse::<u16>().is_ok();
    let parse = move |text: &str, _: &Scope<'_>| {
        let url = Url::parse(text).ok()?;
        let is_plain = url.password().is_none() && url.query().is_none() && url.fragment().is_none();
        let is_engine = matches!(url.scheme(), "redis" | "rediss") && url.has_host();
        (is_engine && is_plain && is_database(url.path())).then_some(url)
    };
    ValueFormat::text(
        "a redis:// or rediss:// URL such as \"redis://127.0.0.1:6379/0\", without a password (`password_env` names its variable), query or fragment",
        parse,
        Url::to_string,
    )
}

/// What the names of keys begin with.
pub(in crate::config) fn key_prefix() -> ValueFormat<String> {
    let expected = format!("at most {LONGEST_PREFIX} visible ASCII characters without braces");
    let is_prefix = |text: &str| {
        text.len() <= LONGEST_PREFIX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}'))
    };
    ValueFormat::text(expected, move |text, _| is_prefix(text).then(|| text.to_owned()), String::clone)
}

//! The formats of secrets: digests of tokens, and variables that hold a token or a password.
//!
//! An error about a variable says whether it is unset, empty or malformed, and how, and shows nothing of its value. Owns that, and
//! what is accepted. Must not know any key.

use toml::Value;
use url::Url;

use super::super::format::{Scope, ValueFormat};
use super::super::value::Credential;
use crate::domain::{Sha256, percent};

/// The longest name of a variable that is repeated in an error.
const LONGEST_NAME: usize = 64;

/// The digest of a token. It is not printed.
pub(in crate::config) fn token_digest() -> ValueFormat<Sha256> {
    let expected = "64 lowercase hexadecimal digits, as `scriptorium token hash` prints them";
    ValueFormat::text(expected, |text, _| Sha256::from_hex(text).ok(), |_| "<redacted>".to_owned())
}

/// A variable that holds a token. The token is not printed.
pub(in crate::config) fn token_variable() -> ValueFormat<Credential> {
    variable("a token of visible ASCII characters", |token| {
        match token.chars().position(|letter| !letter.is_ascii_graphic()) {
            Some(at) => Err(format!("has another character at position {}", at + 1)),
            None => Ok(token.to_owned()),
        }
    })
}

/// A variable that holds a password.
pub(in crate::config) fn password_variable() -> ValueFormat<Credential> {
    variable("a password", |password| Ok(password.to_owned()))
}

/// A variable that holds `user:password`, or the whole URL of a proxy. The password is not printed.
pub(in crate::config) fn proxy_credential() -> ValueFormat<Credential> {
    variable("user:password", |value| {
        let pair = match Url::parse(value) {
            Ok(url) if url.has_host() => user_and_password(&url).ok_or("is a URL without a user")?,
            Ok(_) | Err(_) => value.to_owned(),
        };
        match pair.split_once(':') {
            None => Err("has no colon".to_owned()),
            Some(("", _)) => Err("has no user before the colon".to_owned()),
            Some(_) if pair.contains(char::is_control) => Err("has a control character".to_owned()),
            Some(_) => Ok(pair),
        }
    })
}

/// The user and the password in a URL, `user:password`.
pub(in crate::config) fn user_and_password(url: &Url) -> Option<String> {
    let user = percent::decode(url.username())?;
    let password = percent::decode(url.password().unwrap_or_default())?;
    (!user.is_empty()).then(|| format!("{user}:{password}"))
}

/// A variable that is set to `what`. `secret` reads it from the value, or says what is wrong with that.
fn variable(what: &'static str, secret: fn(&str) -> Result<String, String>) -> ValueFormat<Credential> {
    let expected = format!("the name of an environment variable that is set to {what}");
    let parse = move |value: &Value, scope: &Scope<'_>| {
        let variable = value.as_str().ok_or(None)?;
        let given = scope.env.get(variable).map(|value| value.trim());
        let wrong = |how: &str| {
            let named = named(variable, given.is_some());
            Some(format!("the environment variable{named} {how}; expected {what} in it"))
        };
        let token = match given {
            None => return Err(wrong("is not set")),
            Some("") => return Err(wrong("is empty")),
            Some(text) if text.contains(char::REPLACEMENT_CHARACTER) => {
                return Err(wrong("is no UTF-8 text"));
            }
            Some(text) => secret(text).map_err(|how| wrong(&how))?,
        };
        Ok(Credential { variable: variable.to_owned(), token: token.into() })
    };
    ValueFormat::judged(expected, parse, |credential: &Credential| Value::from(credential.variable.clone()))
}

/// The name of a variable, where it can be no secret in the wrong place: it is set, or written as such names are.
fn named(variable: &str, is_set: bool) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_loud = !variable.bytes().any(|byte| byte.is_ascii_lowercase());
    let is_quiet = !variable.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let is_name = (1..=LONGEST_NAME).contains(&variable.len()) && variable.bytes().all(is_plain);
    match is_set || (is_name && (is_loud || is_quiet)) {
        true => format!(" {variable}"),
        false => " of this name (not repeated here, for it does not look like one)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_repeated() {
        for shown in ["PUBLIC_READ_TOKEN", "https_proxy", "X"] {
            assert_eq!(named(shown, false), format!(" {shown}"));
        }
        for hidden in ["ghp_16C7e42F292c6912E7", "a3f5b2", "user:password", "", "Mixed1", &"X".repeat(65)] {
            assert!(!named(hidden, false).contains(hidden) || hidden.is_empty(), "{hidden}");
        }
        assert_eq!(named("Mixed1", true), " Mixed1");
    }
}

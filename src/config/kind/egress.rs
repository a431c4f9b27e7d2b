//! The kinds of values that the keys of the way out have.
//!
//! Owns what a proxy and its credential look like. Must not know how keys depend on one another.

use toml::Value;
use url::Url;

use super::super::value::{Credential, Exempt, PemFile};
use super::{FILE, Kind, parsed, printed, text};
use crate::domain::percent;

/// How a way through a proxy is written.
pub(in super::super) const PROXY: Kind<Url> = Kind {
    expected: "the http:// or https:// URL of a proxy with a host and a port only, such as \"http://proxy.corp:3128\"; \
               `proxy_auth_env` names its user and password",
    read: |scalar, _| {
        let url = Url::parse(text(scalar)?).ok()?;
        let has_nothing_else = url.username().is_empty() && url.password().is_none();
        (has_nothing_else && is_proxy(&url)).then_some(url)
    },
    print: printed,
};

/// A variable with `user:password`, or with a proxy's whole URL as the environment has it.
pub(in super::super) const PROXY_CREDENTIAL: Kind<Credential> = Kind {
    expected: "the name of an environment variable that is set to user:password",
    read: |scalar, scope| {
        let variable = text(scalar)?;
        let value = scope.env.get(variable)?.trim();
        let pair = match Url::parse(value) {
            Ok(url) if url.has_host() => user_and_password(&url)?,
            Ok(_) | Err(_) => value.to_owned(),
        };
        let whole = pair.split_once(':').is_some_and(|(user, _)| !user.is_empty());
        (whole && !pair.contains(char::is_control))
            .then(|| Credential { variable: variable.to_owned(), token: pair.into() })
    },
    print: |credential| Value::String(credential.variable.clone()),
};

pub(in super::super) const EXEMPT: Kind<Exempt> = Kind {
    expected: "\"*\", a host such as \"corp.example\", which stands for all names below it too, an address or a network",
    read: parsed,
    print: printed,
};

pub(in super::super) const PEM: Kind<PemFile> = Kind {
    expected: "the path of a PEM file",
    read: |scalar, scope| (FILE.read)(scalar, scope).map(PemFile::read),
    print: |file| Value::String(file.path().display().to_string()),
};

/// Whether `url` leads to a proxy: a scheme that is spoken, a host, and nothing behind the port.
pub(in super::super) fn is_proxy(url: &Url) -> bool {
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    bare && matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// What a URL says of who may use it.
pub(in super::super) fn user_and_password(url: &Url) -> Option<String> {
    let user = percent::decode(url.username())?;
    let password = percent::decode(url.password().unwrap_or_default())?;
    (!user.is_empty()).then(|| format!("{user}:{password}"))
}

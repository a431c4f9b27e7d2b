//! The capability document (specification, "Capabilities"), and which uploads and deliveries may be advertised through this proxy.
//!
//! | the registry says | shown where writes are relayed | shown elsewhere |
//! |---|---|---|
//! | flag true, profiles with `http-put` | true, `["http-put"]` | false, `[]` |
//! | flag true, no `http-put` among the profiles, or none | false, `[]` | false, `[]` |
//! | flag false | false, `[]` | false, `[]` |
//!
//! This proxy cannot carry any other profile. Where it shows releases of Git as its archives, `cdn` stands beside `git` in
//! `deliveryModes`: releases that it may not fetch stay with Git. Owns the document's shape, that rule and that table, which holds
//! for both kinds of uploads. Must not know the configuration.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::shape::CAPABILITIES;
use super::{Edits, Malformed, parse};
use crate::domain::Version;
use crate::domain::link::{Replacement, Template};
use crate::domain::members::span;

/// The profile of uploads that this proxy carries.
const CARRIED: &str = "http-put";

/// Namespaces that no extension may have.
const RESERVED: [&str; 3] = ["agent-volumes", "core", "spec"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CapabilityDocument<'a> {
    schema_version: String,
    api_version: String,
    #[serde(default)]
    compatible_spec_versions: Option<Vec<Version>>,
    #[serde(default)]
    extensions: Option<HashMap<String, IgnoredAny>>,
    #[serde(borrow, default)]
    delivery_modes: Option<&'a RawValue>,
    #[serde(borrow)]
    apis: Uploads<'a>,
    #[serde(borrow, default)]
    upload_profiles: Uploads<'a>,
}

/// The values for each kind of upload.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Uploads<'a> {
    #[serde(borrow, default)]
    release_uploads: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trust_uploads: Option<&'a RawValue>,
}

/// What a proxy does for clients besides passing documents on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OfferedService {
    /// It relays uploads.
    pub(crate) uploads: bool,
    /// It shows releases that Git delivers as its archives.
    pub(crate) git_as_cdn: bool,
}

/// The edits where nothing is offered.
pub(super) fn read(text: &str) -> Result<Edits, Malformed> {
    shown(text, OfferedService::default())
}

/// The document where this is offered; `None` when `body` is not a capability document.
pub(crate) fn advertising(body: &Bytes, offered: OfferedService) -> Option<Template> {
    let edits = shown(std::str::from_utf8(body).ok()?, offered).ok()?;
    Some(Template::with(body.clone(), edits))
}

fn shown(text: &str, offers: OfferedService) -> Result<Edits, Malformed> {
    let document: CapabilityDocument<'_> = parse(text, &CAPABILITIES)?;
    if document.schema_version != "1" || document.api_version != "v1" {
        return Err(Malformed("schemaVersion must be \"1\" and apiVersion \"v1\"".to_owned()));
    }
    let versions = document.compatible_spec_versions.unwrap_or_default();
    if versions.iter().collect::<HashSet<_>>().len() < versions.len() {
        return Err(Malformed("compatibleSpecVersions must name each version once".to_owned()));
    }
    if !document.extensions.unwrap_or_default().keys().all(|namespace| is_free(namespace)) {
        return Err(Malformed("extensions must be slugs, and none that is reserved".to_owned()));
    }
    let (flags, profiles) = (document.apis, document.upload_profiles);
    let kinds =
        [(flags.release_uploads, profiles.release_uploads), (flags.trust_uploads, profiles.trust_uploads)];
    let mut edits = Edits::new();
    if let Some(modes) = document.delivery_modes.filter(|_| offers.git_as_cdn)
        && let Some(with) = with_cdn(modes)
    {
        edits.push((span(text, modes), Replacement::Literal(with.into())));
    }
    for (flag, profiles) in kinds {
        let offered = offers.uploads && flag.is_some_and(|flag| flag.get() == "true") && carried(profiles);
        let mut put = |value: Option<&RawValue>, with: &'static str| {
            edits.extend(value.map(|value| (span(text, value), Replacement::Literal(with.into()))));
        };
        put(flag.filter(|_| !offered), "false");
        put(profiles, if offered { r#"["http-put"]"# } else { "[]" });
    }
    Ok(edits)
}

/// Whether an extension may have this name: a slug, or several with dots between, like a domain name.
fn is_free(namespace: &str) -> bool {
    let slug = |part: &str| {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(letter)
    };
    namespace.split('.').all(slug) && !RESERVED.contains(&namespace)
}

/// The modes with `cdn` beside `git`; `None` if it is there, or `git` is not.
fn with_cdn(modes: &RawValue) -> Option<String> {
    let named = serde_json::from_str::<Vec<String>>(modes.get()).ok()?;
    let names = |mode: &str| named.iter().any(|named| named == mode);
    let list = modes.get().strip_suffix(']').filter(|_| names("git") && !names("cdn"))?;
    Some(format!(r#"{list},"cdn"]"#))
}

/// Whether the profiles include the one that this proxy carries.
fn carried(profiles: Option<&RawValue>) -> bool {
    let named = profiles.and_then(|profiles| serde_json::from_str::<Vec<String>>(profiles.get()).ok());
    named.is_some_and(|named| named.iter().any(|profile| profile == CARRIED))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(flag: bool, profiles: Option<Value>) -> Bytes {
        let mut document = json!({
            "schemaVersion": "1", "apiVersion": "v1", "apis": {"releaseUploads": flag, "trustUploads": false},
        });
        if let Some(profiles) = profiles {
            document["uploadProfiles"] =
                json!({"releaseUploads": profiles, "trustUploads": ["http-put"], "x": 1});
        }
        document.to_string().into()
    }

    fn rendered(template: &Template) -> Value {
        serde_json::from_slice(&template.render("")).unwrap()
    }

    const RELAYING: OfferedService = OfferedService { uploads: true, git_as_cdn: false };

    #[test]
    fn only_what_is_carried_is_advertised() {
        let carried = json!(["http-put"]);
        for (flag, profiles, offered) in [
            (true, Some(json!(["http-put"])), true),
            (true, Some(json!(["tus", "http-put"])), true),
            (true, Some(json!(["tus"])), false),
            (true, Some(json!([])), false),
            (true, Some(json!("http-put")), false),
            (true, None, false),
            (false, Some(json!(["http-put"])), false),
        ] {
            let body = said(flag, profiles.clone());
            let relayed = rendered(&advertising(&body, RELAYING).unwrap());
            assert_eq!(relayed["apis"]["releaseUploads"], offered, "{flag} {profiles:?}");
            let text = std::str::from_utf8(&body).unwrap();
            let unrelayed = rendered(&Template::with(body.clone(), read(text).unwrap()));
            assert_eq!(unrelayed["apis"]["releaseUploads"], false, "{flag} {profiles:?}");
            if profiles.is_some() {
                let shown = if offered { &carried } else { &json!([]) };
                assert_eq!(&relayed["uploadProfiles"]["releaseUploads"], shown, "{flag} {profiles:?}");
                assert_eq!(relayed["uploadProfiles"]["trustUploads"], json!([]), "its flag is false");
                assert_eq!(relayed["uploadProfiles"]["x"], 1);
                assert_eq!(unrelayed["uploadProfiles"]["releaseUploads"], json!([]));
            }
        }
    }

    #[test]
    fn nothing_else_changes() {
        const SAID: &str = r#"{"schemaVersion":"1","apiVersion":"v1","apis":{ "releaseUploads":true },"uploadProfiles":{"releaseUploads":["http-put"]},"later":1.0}"#;
        assert_eq!(advertising(&SAID.into(), RELAYING).unwrap().render(""), SAID);
        assert!(advertising(&Bytes::from_static(b"{}"), RELAYING).is_none());
    }

    #[test]
    fn an_archive_stands_beside_git_where_releases_of_git_are_shown_as_one() {
        for (said, shown) in [
            (r#"["git"]"#, r#"["git","cdn"]"#),
            (r#"[ "git" ]"#, r#"[ "git" ,"cdn"]"#),
            (r#"["cdn","git"]"#, r#"["cdn","git"]"#),
            (r#"["cdn"]"#, r#"["cdn"]"#),
            ("[]", "[]"),
        ] {
            let of = |modes: &str| {
                format!(r#"{{"schemaVersion":"1","apiVersion":"v1","deliveryModes":{modes},"apis":{{}}}}"#)
            };
            let render = |offered| advertising(&of(said).into(), offered).unwrap().render("");
            assert_eq!(render(OfferedService { git_as_cdn: true, ..RELAYING }), of(shown));
            assert_eq!(render(RELAYING), of(said));
        }
    }
}

//! The parameters and bodies of the admin API.
//!
//! Owns their grammar. Must not know what they are used for.

use serde::Deserialize;
use url::form_urlencoded;

use crate::domain::{Version, VolumeName, VolumePattern};

/// Why a request is refused; the text says what to send instead.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("ask for one release: `?volume=@acme/x&version=1.2.3`, each once, and nothing else")]
    Question,
    #[error(
        "send {{\"volume\": \"@acme/x\"}}, with \"version\" for one release of it, or {{\"pattern\": \"@acme/*\"}}: {0}"
    )]
    Invalidate(String),
    #[error("{0}; write `@acme/lamp`, or a pattern such as `@acme/*`")]
    Form(&'static str),
}

/// The release to explain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExplainQuery {
    pub(super) volume: VolumeName,
    pub(super) version: Version,
}

impl ExplainQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Invalid> {
        let (mut volume, mut version) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "volume" => &mut volume,
                "version" => &mut version,
                _ => return Err(Invalid::Question),
            };
            if slot.replace(value).is_some() {
                return Err(Invalid::Question);
            }
        }
        let volume = volume.and_then(|volume| volume.parse().ok());
        let version = version.and_then(|version| version.parse().ok());
        volume.zip(version).map(|(volume, version)| Self { volume, version }).ok_or(Invalid::Question)
    }
}

/// The documents to invalidate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalidate {
    pub(super) volumes: VolumePattern,
    pub(super) version: Option<Version>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenInvalidation {
    volume: Option<VolumeName>,
    version: Option<Version>,
    pattern: Option<VolumePattern>,
}

impl Invalidate {
    pub(super) fn parse(body: Option<&[u8]>) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::Invalidate(why.to_owned());
        let body = body.ok_or_else(|| invalid("the body is too long, or did not come in time"))?;
        let written: WrittenInvalidation =
            serde_json::from_slice(body).map_err(|error| Invalid::Invalidate(error.to_string()))?;
        match written {
            WrittenInvalidation { volume: Some(volume), version, pattern: None } => {
                Ok(Self { volumes: VolumePattern::Exact(volume), version })
            }
            WrittenInvalidation { volume: None, version: None, pattern: Some(volumes) } => {
                Ok(Self { volumes, version: None })
            }
            _ => Err(invalid("either a volume, with or without a version, or a pattern")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_one_release() {
        let question = ExplainQuery::parse("version=1.2.3%2Bb&volume=%40acme%2Fx").unwrap();
        assert_eq!((question.volume.as_str(), question.version.to_string()), ("@acme/x", "1.2.3+b".into()));
        for bad in ["", "volume=x", "version=1.0.0", "volume=X&version=1.0.0", "volume=x&version=1"] {
            assert_eq!(ExplainQuery::parse(bad), Err(Invalid::Question), "{bad}");
        }
        for bad in ["volume=x&version=1.0.0&a=b", "volume=x&volume=x&version=1.0.0"] {
            assert_eq!(ExplainQuery::parse(bad), Err(Invalid::Question), "{bad}");
        }
    }

    #[test]
    fn an_invalidation_names_a_volume_a_release_or_a_pattern() {
        let parse = |body: &str| Invalidate::parse(Some(body.as_bytes()));
        assert!(parse(r#"{"volume":"@acme/x"}"#).is_ok());
        assert!(parse(r#"{"volume":"x","version":"1.0.0"}"#).unwrap().version.is_some());
        assert_eq!(parse(r#"{"pattern":"@acme/*"}"#).unwrap().volumes.to_string(), "@acme/*");
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"volume":"X"}"#,
            r#"{"volume":"x","pattern":"x"}"#,
            r#"{"pattern":"x","version":"1.0.0"}"#,
            r#"{"version":"1.0.0"}"#,
            r#"{"volume":"x","force":true}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Invalidate::parse(None).is_err());
    }
}

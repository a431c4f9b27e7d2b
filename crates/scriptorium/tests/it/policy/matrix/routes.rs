//! Every route to a release, once: how a client asks there, what it saw, and what asking makes known.
//!
//! Owns what is read off an answer. Must not know rules, nor which answer is right.

use serde_json::Value;

use super::matchers::{Known, artifact};
use crate::support::{Answer, Proxy, Release, hex_digest};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Row,
    Exact,
    ExactHead,
    Summary,
    Detail,
    Artifact,
    Archive,
    ArchiveHead,
    Range,
    /// The archive, if it is another than the one that the client has.
    Validated,
}

impl Route {
    pub(super) const ALL: [Self; 10] = [
        Self::Row,
        Self::Exact,
        Self::ExactHead,
        Self::Summary,
        Self::Detail,
        Self::Artifact,
        Self::Archive,
        Self::ArchiveHead,
        Self::Range,
        Self::Validated,
    ];

    pub(super) fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// What is known of a release once this was asked for. A trust view is compared with exact metadata.
    pub(super) fn knows(self) -> Known {
        match self {
            Self::Row => Known::AtOnce,
            Self::Exact | Self::ExactHead | Self::Summary | Self::Detail | Self::Artifact => {
                Known::AfterExact
            }
            Self::Archive | Self::ArchiveHead | Self::Range | Self::Validated => Known::AfterArchive,
        }
    }

    /// Whether the bytes of the archive, or word that they are the same, come this way.
    pub(super) fn is_of_archive(self) -> bool {
        self.knows() == Known::AfterArchive
    }

    fn send(self, proxy: &Proxy, release: &Release) -> Answer {
        let client = proxy.client();
        match self {
            Self::Row => client.get(&release.index()),
            Self::Exact => client.get(&release.exact()),
            Self::ExactHead => client.head(&release.exact()),
            Self::Summary => client.get(&release.trust("summary")),
            Self::Detail => client.get(&release.trust("detail")),
            Self::Artifact => client.get(&artifact(release).download(release)),
            Self::Archive => client.get(&release.download()),
            Self::ArchiveHead => client.head(&release.download()),
            Self::Range => client.get_with(&release.download(), "range", "bytes=3-9"),
            Self::Validated => {
                let tag = format!("\"{}\"", hex_digest(&release.archive()));
                client.get_with(&release.download(), "if-none-match", &tag)
            }
        }
    }

    /// What a client sees.
    #[track_caller]
    pub(super) fn ask(self, proxy: &Proxy, release: &Release) -> Seen {
        let answer = self.send(proxy, release);
        let is_head = matches!(self, Self::ExactHead | Self::ArchiveHead);
        let json = || if is_head { Value::Null } else { answer.json() };
        match (self, answer.status) {
            (Self::Row, 200) => {
                let rows = json()["items"].as_array().unwrap().clone();
                let status = rows.into_iter().find(|row| row["version"] == *release.version).unwrap();
                Seen::state(&status["status"])
            }
            (Self::Exact, 200) => {
                assert_eq!(json()["integrity"], release.integrity());
                Seen::state(&json()["status"])
            }
            (_, status) if status >= 400 => {
                assert_eq!(answer.header("etag"), None, "{self:?} {}", release.name);
                assert_eq!(answer.header("repr-digest"), None, "{self:?} {}", release.name);
                if is_head {
                    return Seen::Refused { status, rule: None, reason: None, ends: None };
                }
                let problem = json();
                Seen::Refused {
                    status,
                    rule: problem["policy"].as_str().map(str::to_owned),
                    reason: problem["detail"].as_str().map(str::to_owned),
                    ends: problem.get("until").map(|until| until.is_string()),
                }
            }
            (Self::ExactHead | Self::ArchiveHead | Self::Summary | Self::Detail, 200) => Seen::Served,
            (Self::Artifact, 200) => of_bytes(answer.body == artifact(release).bytes),
            (Self::Archive, 200) => of_bytes(answer.body == release.archive()),
            (Self::Range, 206) => of_bytes(answer.body == release.archive()[3..=9]),
            (Self::Validated, 304) => Seen::Served,
            (_, status) => panic!("{self:?} of {} answered {status}", release.name),
        }
    }
}

fn of_bytes(are_right: bool) -> Seen {
    assert!(are_right, "other bytes");
    Seen::Served
}

/// What a client learns of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Served,
    State { state: String, reason: Option<String> },
    Refused { status: u16, rule: Option<String>, reason: Option<String>, ends: Option<bool> },
}

impl Seen {
    fn state(status: &Value) -> Self {
        let reason = status["reason"].as_str().map(str::to_owned);
        Self::State { state: status["state"].as_str().unwrap().to_owned(), reason }
    }
}

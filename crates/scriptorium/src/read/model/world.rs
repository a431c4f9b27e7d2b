//! The registry as a transport: answers from the ledger, and writes into it what it told.
//!
//! Owns bodies, archives and validators. Must not know the proxy, nor what is promised.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bibliotheca::archive::TarMember;
use bibliotheca::{PublishedRelease, ScriptedReply};
use bytes::Bytes;
use http::HeaderValue;
use http::header::IF_NONE_MATCH;
use serde_json::{Value, json};

use super::ledger::{
    Exact, Fault, Id, Ledger, Lie, Outage, RELEASES, Row, Scope, Standing, Told, VERSIONS, VOLUMES,
    releases_of, volume_of,
};
use crate::clock::{Clock, ManualClock};
use crate::domain::LifecycleState;
use crate::domain::Purl;
use crate::upstream::testing::{HOME, REFUSED, received, response};
use crate::upstream::{Outgoing, RegistryResponse, Transport, TransportError};

/// How long a signed address is good at least, in milliseconds.
const GOOD_FOR: u64 = 100_000;
const CDN: &str = "https://cdn.example";

/// One content of a release.
pub(super) struct Content {
    pub(super) release: PublishedRelease,
    pub(super) integrity: String,
    pub(super) archive: Bytes,
}

/// The two contents of every release, made once for all runs.
pub(super) struct Shelf(Vec<[Content; 2]>);

impl Shelf {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self((0..RELEASES).map(|id| [content(id, 0), content(id, 1)]).collect()))
    }

    pub(super) fn content(&self, id: Id, content: usize) -> &Content {
        &self.0[id][content]
    }
}

fn content(id: Id, number: usize) -> Content {
    let (name, version) = name(id);
    let manifest = format!("[volume]\nname = \"{name}\"\nversion = \"{version}\"\n");
    let read_me = format!("content {number} of release {id}\n");
    let entries = vec![TarMember::file("README.md", read_me), TarMember::file("volume.toml", manifest)];
    let release = PublishedRelease::of(name, version, entries);
    Content { integrity: release.integrity(), archive: release.archive().into(), release }
}

pub(super) fn name(id: Id) -> (&'static str, &'static str) {
    (VOLUMES[volume_of(id)], VERSIONS[id % VERSIONS.len()])
}

pub(super) fn purl(id: Id) -> String {
    let (name, version) = name(id);
    Purl::new(&name.parse().unwrap(), &version.parse().unwrap()).to_string()
}

/// A route of a client, and the path it is asked under, here and upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Index(usize),
    Exact(Id),
    Archive(Id),
    Summary(Id),
    Detail(Id),
}

impl Route {
    pub(super) fn all() -> Vec<Self> {
        let of_a_release = |id| [Self::Exact(id), Self::Archive(id), Self::Summary(id), Self::Detail(id)];
        (0..VOLUMES.len()).map(Self::Index).chain((0..RELEASES).flat_map(of_a_release)).collect()
    }

    /// The release it is about; none for an index.
    fn release(self) -> Option<Id> {
        match self {
            Self::Index(_) => None,
            Self::Exact(id) | Self::Archive(id) | Self::Summary(id) | Self::Detail(id) => Some(id),
        }
    }

    pub(super) fn volume(self) -> usize {
        match self {
            Self::Index(volume) => volume,
            Self::Exact(id) | Self::Archive(id) | Self::Summary(id) | Self::Detail(id) => volume_of(id),
        }
    }

    /// Whether both are about one release, or one of them about the volume of the other.
    pub(super) fn is_near(self, other: Self) -> bool {
        let one_release = match (self.release(), other.release()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.volume() == other.volume() && one_release
    }

    pub(super) fn path(self) -> String {
        let exact = |id| {
            let (name, version) = name(id);
            format!("/api/v1/volumes/{name}/{version}")
        };
        match self {
            Self::Index(volume) => format!("/api/v1/index/volumes/{}", VOLUMES[volume]),
            Self::Exact(id) => exact(id),
            Self::Summary(id) => format!("{}/trust/summary", exact(id)),
            Self::Detail(id) => format!("{}/trust/detail", exact(id)),
            Self::Archive(id) => {
                let (name, version) = name(id);
                format!("/archives/{name}/{version}.tar.gz")
            }
        }
    }
}

/// What the entity tags of strangers begin with.
pub(super) const STRANGERS_TAG: &str = "\"stranger-";

/// Whether a tag is one of a stranger's.
pub(super) fn is_of_a_stranger(tag: &HeaderValue) -> bool {
    tag.as_bytes().starts_with(STRANGERS_TAG.as_bytes())
}

pub(super) struct World {
    pub(super) shelf: Arc<Shelf>,
    pub(super) clock: Arc<ManualClock>,
    ledger: Mutex<Ledger>,
    /// Whether it gives entity tags and honours them.
    validators: bool,
}

impl World {
    pub(super) fn new(shelf: Arc<Shelf>, validators: bool) -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(1_000_000));
        Arc::new(Self { shelf, clock, ledger: Mutex::default(), validators })
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// The reply at `path`, which the ledger notes.
    fn answer(&self, path: &str) -> ScriptedReply {
        let now = self.clock.now().0;
        let mut ledger = self.ledger();
        ledger.orders += 1;
        let order = ledger.orders;
        let reply = match Route::all().into_iter().find(|route| route.path() == path) {
            Some(Route::Index(volume)) => {
                let mut items = Vec::new();
                let then = now.saturating_sub(ledger.lags[0]);
                let mut is_published = false;
                for id in releases_of(volume) {
                    let release = &mut ledger.releases[id];
                    let told = release.as_of(then);
                    is_published |= told.standing.is_some();
                    let (what, epoch) = (told.rows(id), told.epoch);
                    items.extend(what.iter().map(|row| self.row(id, row)));
                    release.note_told(&told, &what, None, now);
                    release.known.rows = Some(Told { what, epoch, order, at: now });
                }
                match is_published {
                    true => ScriptedReply::answer(200, &json!({ "items": items })),
                    false => refused(404),
                }
            }
            Some(Route::Exact(id)) => {
                let then = now.saturating_sub(ledger.lags[1]);
                let release = &mut ledger.releases[id];
                let told = release.as_of(then);
                let (what, epoch) = (told.exact(), told.epoch);
                let reply = match &what {
                    Exact::Found { content, state, .. } => {
                        let exact = self.exact(id, *content, *state, told.lie, then);
                        ScriptedReply::answer(200, &exact)
                    }
                    Exact::Refused(status) => refused(*status),
                };
                release.note_told(&told, &[], Some(&what), now);
                release.known.exact = Some(Told { what, epoch, order, at: now });
                reply
            }
            Some(Route::Summary(id)) => self.trust(id, &ledger, PublishedRelease::trust_summary),
            Some(Route::Detail(id)) => self.trust(id, &ledger, PublishedRelease::trust_detail),
            Some(Route::Archive(_)) | None => refused(404),
        };
        ledger.answered.insert(path.to_owned(), (now, reply.status()));
        reply
    }

    fn row(&self, id: Id, row: &Row) -> Value {
        let mut written = self.shelf.content(id, row.content.unwrap_or(0)).release.row("");
        written["x-unknown"] = 1.5.into();
        written["status"]["state"] = json!(row.state);
        if !row.leads_home {
            written["release"]["url"] = "/releases/7".into();
        }
        if row.content.is_none() {
            written.as_object_mut().unwrap().remove("integrity");
        }
        written
    }

    fn exact(&self, id: Id, content: usize, state: LifecycleState, lie: Option<Lie>, then: u64) -> Value {
        let other = (id + VERSIONS.len()) % RELEASES;
        let mut written = self.shelf.content(id, content).release.metadata("");
        match lie {
            Some(Lie::ExactName) => written["name"] = name(other).0.into(),
            Some(Lie::ExactPurl) => written["purl"] = purl(other).into(),
            _ => {}
        }
        written["status"]["state"] = json!(state);
        written["dist"]["url"] = format!("{CDN}/{id}/{content}/{}.tar.gz", then / GOOD_FOR).into();
        written
    }

    fn trust(&self, id: Id, ledger: &Ledger, view: fn(&PublishedRelease) -> Value) -> ScriptedReply {
        match ledger.releases[id].standing {
            Some(Standing(_, 200 | 403)) => {
                ScriptedReply::answer(200, &view(&self.shelf.content(id, 0).release))
            }
            _ => refused(404),
        }
    }

    /// The archive at a path of the archive host: `/{release}/{content}/{signed}.tar.gz`, unless that has expired.
    fn download(&self, path: &str) -> Option<Bytes> {
        let parts = path.trim_matches('/').trim_end_matches(".tar.gz").split('/');
        let [id, content, signed] = parts.map(|part| part.parse().unwrap()).collect::<Vec<usize>>()[..]
        else {
            return None;
        };
        if signed as u64 + 1 < self.clock.now().0 / GOOD_FOR {
            return None;
        }
        let mut ledger = self.ledger();
        let release = &mut ledger.releases[id];
        release.downloads += 1;
        let swapped = release.lie == Some(Lie::Archive);
        release.refused |= swapped;
        Some(self.shelf.content(id, if swapped { 1 - content } else { content }).archive.clone())
    }
}

#[async_trait]
impl Transport for World {
    async fn send(&self, request: Outgoing<'_>) -> Result<RegistryResponse, TransportError> {
        let url = request.url.as_str();
        let (at_home, path) = match url.strip_prefix(HOME) {
            Some(path) => (true, path),
            None => (
                false,
                url.strip_prefix(CDN).ok_or(TransportError::Forbidden(crate::upstream::GuardRule::Host))?,
            ),
        };
        *self.ledger().asked.entry(path.to_owned()).or_default() += 1;
        self.ledger().sent_foreign |= request.headers.get(IF_NONE_MATCH).is_some_and(is_of_a_stranger);
        // Time for others to ask the same.
        tokio::task::yield_now().await;
        let outage = self.ledger().outage.filter(|Outage(_, scope)| scope.covers(path, at_home));
        if let Some(Outage(fault, _)) = outage {
            return match fault {
                Fault::Unreachable => Err(REFUSED),
                Fault::Broken => Err(TransportError::Broken),
                Fault::ServerError => Ok(page(500, "oh no")),
                Fault::Throttled => Ok(page(429, "")),
                Fault::Garbage => Ok(page(200, "<html>")),
                Fault::Page(status) => {
                    let now = self.clock.now().0;
                    self.ledger().paged.insert(path.to_owned(), (now, status));
                    Ok(page(status, "<html>"))
                }
            };
        }
        if !at_home {
            return Ok(match self.download(path) {
                Some(archive) => response(&ScriptedReply::archive(archive)),
                None => page(403, "<Error>expired</Error>"),
            });
        }
        if let Some(tag) = request.headers.get(IF_NONE_MATCH).filter(|_| self.ledger().confirming) {
            let now = self.clock.now().0;
            self.ledger().answered.insert(path.to_owned(), (now, 200));
            return Ok(response(&ScriptedReply::not_modified(tag.to_str().unwrap())));
        }
        let reply = self.answer(path);
        if !self.validators || reply.status() != 200 {
            return Ok(response(&reply));
        }
        Ok(response(&reply.tagged().to(&received(path, &request))))
    }
}

/// A page that is no answer in the form of the protocol.
fn page(status: u16, text: &str) -> RegistryResponse {
    response(&ScriptedReply::new(status, "text/html", text))
}

impl Scope {
    fn covers(self, path: &str, at_home: bool) -> bool {
        match self {
            Self::Everything => true,
            Self::Indexes => at_home && path.starts_with("/api/v1/index/"),
            Self::Releases => at_home && !path.starts_with("/api/v1/index/"),
            Self::Archives => !at_home,
        }
    }
}

fn refused(status: u16) -> ScriptedReply {
    let slug = match status {
        403 => "authorization-failed",
        409 => "inconsistent-registry-state",
        _ => "not-found",
    };
    ScriptedReply::problem(status, slug, slug, "Refused by the registry.")
}

//! The registry as a transport: answers from the ledger, and writes into it what it told.
//!
//! Owns bodies, archives and validators. Must not know the proxy, nor what is promised.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::ledger::{
    Exact, Fault, Id, Ledger, Lie, Outage, RELEASES, Row, Scope, Standing, Told, VERSIONS, VOLUMES,
    releases_of, volume_of,
};
use super::stranger::is_of_a_stranger;
use crate::archive::fixture::{Tar, TestFile, integrity_of};
use crate::clock::{Clock, ManualClock};
use crate::domain::{Purl, Sha256};
use crate::upstream::testing::{HOME, REFUSED};
use crate::upstream::{Outgoing, Response, Transport, TransportError};

/// How long a signed address is good at least, in milliseconds.
const GOOD_FOR: u64 = 100_000;
const CDN: &str = "https://cdn.example";

/// One content of a release.
pub(super) struct Content {
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
    let files: [TestFile; 2] =
        [("README.md".into(), false, read_me.into()), ("volume.toml".into(), false, manifest.into())];
    let tar = files.iter().fold(Tar::default(), |tar, (path, _, content)| tar.file(path, content));
    Content { integrity: integrity_of(&files).to_string(), archive: tar.gz().into() }
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

    /// What is told at `path`, written down as told.
    fn answer(&self, path: &str) -> (u16, Bytes) {
        let now = self.clock.now().0;
        let mut ledger = self.ledger();
        ledger.orders += 1;
        let order = ledger.orders;
        let (status, body) = match Route::all().into_iter().find(|route| route.path() == path) {
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
                    release.known.rows = Some(Told { what, epoch, order, at: now });
                }
                match is_published {
                    true => (200, json!({ "items": items }).to_string()),
                    false => refused(404),
                }
            }
            Some(Route::Exact(id)) => {
                let then = now.saturating_sub(ledger.lags[1]);
                let release = &mut ledger.releases[id];
                let told = release.as_of(then);
                let (what, epoch) = (told.exact(), told.epoch);
                let answer = match what {
                    Exact::Found { content, .. } => (200, self.exact(id, content, told.lie, (&what, then))),
                    Exact::Refused(status) => refused(status),
                };
                release.known.exact = Some(Told { what, epoch, order, at: now });
                answer
            }
            Some(Route::Summary(id)) => self.trust(id, &ledger, json!({ "artifacts": [] })),
            Some(Route::Detail(id)) => self.trust(id, &ledger, json!({ "attachments": [] })),
            Some(Route::Archive(_)) | None => refused(404),
        };
        ledger.answered.insert(path.to_owned(), (now, status));
        (status, body.into())
    }

    fn row(&self, id: Id, row: &Row) -> Value {
        let link = if row.leads_home { Route::Exact(id).path() } else { "/releases/7".to_owned() };
        let mut written = json!({
            "version": name(id).1, "x-unknown": 1.5, "status": { "state": row.state }, "release": { "url": link },
        });
        if let Some(content) = row.content {
            written["integrity"] = self.shelf.content(id, content).integrity.clone().into();
        }
        written
    }

    fn exact(&self, id: Id, content: usize, lie: Option<Lie>, (exact, then): (&Exact, u64)) -> String {
        let Exact::Found { state, .. } = exact else { return String::new() };
        let (name, version) = name(id);
        let other = (id + VERSIONS.len()) % RELEASES;
        json!({
            "name": if lie == Some(Lie::ExactName) { self::name(other).0 } else { name },
            "version": version,
            "purl": purl(if lie == Some(Lie::ExactPurl) { other } else { id }),
            "integrity": self.shelf.content(id, content).integrity,
            "status": { "state": state },
            "dist": { "source": "cdn", "mediaType": "application/gzip", "url": format!("{CDN}/{id}/{content}/{}.tar.gz", then / GOOD_FOR) },
        })
        .to_string()
    }

    fn trust(&self, id: Id, ledger: &Ledger, mut view: Value) -> (u16, String) {
        match ledger.releases[id].standing {
            Some(Standing(_, 200 | 403)) => {
                view["subject"] =
                    json!({ "purl": purl(id), "integrity": self.shelf.content(id, 0).integrity });
                view["revision"] = json!({ "revision": "1" });
                view["detailAvailable"] = true.into();
                (200, view.to_string())
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
    async fn send(&self, request: Outgoing<'_>) -> Result<Response, TransportError> {
        let url = request.url.as_str();
        let (at_home, path) = match url.strip_prefix(HOME) {
            Some(path) => (true, path),
            None => {
                (false, url.strip_prefix(CDN).ok_or(TransportError::Forbidden(crate::upstream::Rule::Host))?)
            }
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
                Fault::ServerError => Ok(response(500, HeaderMap::new(), "oh no".into())),
                Fault::Throttled => Ok(response(429, HeaderMap::new(), Bytes::new())),
                Fault::Garbage => Ok(response(200, HeaderMap::new(), "<html>".into())),
                Fault::Page(status) => {
                    let now = self.clock.now().0;
                    self.ledger().paged.insert(path.to_owned(), (now, status));
                    Ok(response(status, HeaderMap::new(), "<html>".into()))
                }
            };
        }
        if !at_home {
            return Ok(match self.download(path) {
                Some(archive) => response(200, HeaderMap::new(), archive),
                None => response(403, HeaderMap::new(), "<Error>expired</Error>".into()),
            });
        }
        if let Some(tag) = request.headers.get(IF_NONE_MATCH).filter(|_| self.ledger().confirming) {
            let now = self.clock.now().0;
            self.ledger().answered.insert(path.to_owned(), (now, 200));
            return Ok(response(304, HeaderMap::from_iter([(ETAG, tag.clone())]), Bytes::new()));
        }
        let (status, body) = self.answer(path);
        if !self.validators || status != 200 {
            return Ok(response(status, HeaderMap::new(), body));
        }
        let etag = HeaderValue::try_from(format!("\"{}\"", Sha256::of(&body).hex())).unwrap();
        let current = request.headers.get(IF_NONE_MATCH) == Some(&etag);
        let headers = HeaderMap::from_iter([(ETAG, etag)]);
        Ok(if current { response(304, headers, Bytes::new()) } else { response(200, headers, body) })
    }
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

fn refused(status: u16) -> (u16, String) {
    let slug = match status {
        403 => "authorization-failed",
        409 => "inconsistent-registry-state",
        _ => "not-found",
    };
    let problem = json!({
        "type": format!("https://agentvolumes.org/problems/{slug}"), "title": slug, "status": status,
    });
    (status, problem.to_string())
}

fn response(status: u16, headers: HeaderMap, body: Bytes) -> Response {
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: stream::iter([Ok(body)]).boxed(),
    }
}

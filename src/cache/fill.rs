//! The one fill of a document: what happens between asking an upstream and holding its answer.
//!
//! In order: look again, ask, check the answer on its own, remember, store. What it brings was not held against
//! anything else yet; that is `settle`. Owns that order. Must not know who waits, nor how old an answer may be.

use std::io;
use std::sync::Arc;

use tracing::error;

use super::definite::{Verdict, judge};
use super::document::{Document, refusal};
use super::documents::Documents;
use super::envelope::{Envelope, Meta};
use super::failure::Failure;
use super::freshness::Freshness;
use super::keeping::Keeping;
use super::place::place;
use crate::domain::DocumentKey;
use crate::store::StoreError;
use crate::upstream::{CouldNotAsk, Errand, Exchange, Head, Upstream};

/// How often a fill that others had started too early, or that an invalidation overtook, is started over.
const ATTEMPTS: u32 = 3;

/// What a fill brought.
#[derive(Debug, Clone)]
pub(super) struct Filled {
    pub(super) document: Arc<Document>,
    pub(super) status: u16,
    pub(super) stored: bool,
}

/// How a document is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// What is held may be confirmed.
    Conditionally,
    /// What is held is in doubt, and so is who confirmed it: all of it must come.
    Anew,
}

impl How {
    /// Whether `document` is an answer to a question put so after `since`.
    fn is_met(self, document: &Document, since: u64) -> bool {
        let asked = match self {
            Self::Conditionally => document.asked,
            Self::Anew => document.read,
        };
        asked > since && !document.outdated
    }
}

impl Documents {
    /// An answer to `key` that was asked for after the question `since`, and whether another had asked.
    pub(super) async fn fetch(
        self: &Arc<Self>,
        key: &DocumentKey,
        since: u64,
        errand: Errand<'_>,
    ) -> Result<(Filled, bool), Failure> {
        self.fetch_as(How::Conditionally, key, since, errand).await
    }

    /// The same from a second question, which is put without conditions: an edge that confirms what is out of date
    /// would confirm it again.
    pub(super) async fn fetch_anew(
        self: &Arc<Self>,
        key: &DocumentKey,
        since: u64,
        errand: Errand<'_>,
    ) -> Result<(Filled, bool), Failure> {
        self.fetch_as(How::Anew, key, since, errand).await
    }

    async fn fetch_as(
        self: &Arc<Self>,
        how: How,
        key: &DocumentKey,
        since: u64,
        errand: Errand<'_>,
    ) -> Result<(Filled, bool), Failure> {
        if errand.held_only {
            return Err(Failure::HeldOnly);
        }
        let upstream = self.upstream_of(key)?;
        let question = (Arc::clone(upstream.registry()), key.clone());
        let _waits = self.waits.enter(upstream.registry(), errand)?;
        for attempt in 1.. {
            let joined = self.fetches.join(&question, || self.fill(&upstream, how, key, since, errand)).await;
            let (filled, collapsed) = joined.map_err(|_| Failure::Lost)?;
            let filled = match filled {
                // What nobody waits for may be denied what a client is not.
                Err(failure) if collapsed && !errand.is_behind() && failure.is_over_budget() => {
                    if attempt < ATTEMPTS {
                        continue;
                    }
                    return Err(failure);
                }
                filled => filled?,
            };
            if how.is_met(&filled.document, since) || attempt == ATTEMPTS {
                return Ok((filled, collapsed));
            }
        }
        Err(Failure::Lost)
    }

    /// Renews `key` behind the answer that was given, and settles it, unless that is under way.
    pub(super) fn refresh(self: &Arc<Self>, key: &DocumentKey, seen: Option<&Document>, errand: Errand<'_>) {
        let Some(registry) = self.registry_of(key) else { return };
        if errand.held_only || self.fetches.is_open(&(registry, key.clone())) {
            return;
        }
        let since = seen.map_or(0, |seen| seen.asked);
        let (documents, key, errand) = (Arc::clone(self), key.clone(), errand.behind().kept());
        tokio::spawn(async move {
            if let Ok((filled, _)) = documents.fetch(&key, since, errand.lend()).await {
                documents.settle_behind(&key, &filled.document, errand.lend());
            }
        });
    }

    fn fill(
        self: &Arc<Self>,
        upstream: &Arc<Upstream>,
        how: How,
        key: &DocumentKey,
        since: u64,
        errand: Errand<'_>,
    ) -> impl Future<Output = Result<Filled, Failure>> + Send + 'static {
        let (documents, upstream) = (Arc::clone(self), Arc::clone(upstream));
        let (key, errand) = (key.clone(), errand.kept());
        async move {
            if let Some(document) = documents.filled_meanwhile(&upstream, how, &key, since) {
                let (status, stored) = (document.meta.status, document.stored);
                return Ok(Filled { document, status, stored });
            }
            let filled = documents.renew(&upstream, how, &key, errand.lend()).await?;
            // What is not kept is settled by whoever asked for it, or each of its settlements would ask for more.
            let withheld = filled.document.meta.keeping.withheld;
            if !withheld && !filled.document.is_from_between() {
                documents.is_kept_again(&key, &filled.document);
            }
            if let DocumentKey::Index(name) = &key {
                if !filled.document.settled {
                    documents.doubt_releases(name, &filled.document).await;
                    if !withheld {
                        documents.settle_behind(&key, &filled.document, errand.lend());
                    }
                }
                documents.recheck_blocks(name, &filled.document, errand.lend());
            }
            // Whoever asked for it: where both sides agree by now, that is the end of their divergence.
            if !withheld && documents.divergence_of(&key).is_some() {
                documents.settle_behind(&key, &filled.document, errand.lend());
            }
            Ok(filled)
        }
    }

    /// What another fill brought between the starter's look and this fill's turn.
    fn filled_meanwhile(
        &self,
        upstream: &Upstream,
        how: How,
        key: &DocumentKey,
        since: u64,
    ) -> Option<Arc<Document>> {
        let document = self.remembered(key).filter(|held| held.meta.is_of(upstream.registry()))?;
        let is_fresh = self.freshness(key, &document) == Freshness::Fresh;
        (how.is_met(&document, since) && is_fresh).then_some(document)
    }

    async fn renew(
        &self,
        upstream: &Upstream,
        how: How,
        key: &DocumentKey,
        errand: Errand<'_>,
    ) -> Result<Filled, Failure> {
        let max = self.live().max_document;
        let held = self.held(key).await.filter(|held| held.meta.is_of(upstream.registry()));
        let known = held.as_ref().filter(|held| !held.is_refusal());
        let asker = known.filter(|known| how == How::Conditionally && !known.outdated);
        let etag = asker.and_then(|known| known.meta.etag.as_deref());
        let path = key.to_string();
        // An answer is as old as the question: what changed while it was on its way is not in it.
        let (asked, fetched_at) = (self.question(), self.now());
        let exchange = upstream.document(key.resource(), &path, etag, errand, max).await?;
        let landed = self.question();
        let keeping = |head: &Head, body: &[u8]| match upstream.is_obeyed() {
            true => Keeping::of(key, head.cache_control.as_deref(), body),
            false => Keeping::default(),
        };
        let meta = |status, head: Head, keeping| Meta {
            key: path.clone(),
            status,
            fetched_at,
            upstream_age: head.age,
            upstream: upstream.name().to_owned(),
            origin: upstream.origin().to_owned(),
            etag: head.etag,
            at: head.at,
            keeping,
        };
        match exchange {
            Exchange::Found { body, head, share } => {
                let keeping = keeping(&head, &body);
                let meta = meta(200, head, keeping);
                let document = self.read(key, Envelope { meta, body }, known.cloned(), errand).await?;
                let document = Document { asked, read: asked, landed, ..document };
                drop(share);
                Ok(self.keep(key, held.as_deref(), document, 200).await)
            }
            Exchange::NotModified { head } => {
                let known = known.ok_or(Failure::Malformed)?;
                // What is not said anew stays said.
                let keeping = match head.cache_control.is_some() || !upstream.is_obeyed() {
                    true => keeping(&head, known.content.body()),
                    false => known.meta.keeping,
                };
                let head = Head { etag: known.meta.etag.clone(), at: known.meta.at.clone(), ..head };
                let document = known.confirmed(meta(200, head, keeping));
                let kept = self.keep(key, held.as_deref(), Document { asked, landed, ..document }, 304).await;
                Ok(Filled { stored: false, ..kept })
            }
            Exchange::Refused { status, problem, body } => {
                let verdict = judge(held.as_deref(), status, problem.is_some());
                match verdict {
                    Verdict::Definite | Verdict::Passing => {}
                    Verdict::NoAnswer => return Err(CouldNotAsk::Unexpected(status).into()),
                    Verdict::Refused => {
                        let problem = problem.unwrap_or_else(|| refusal(status));
                        return Err(Failure::Refused(Box::new(problem)));
                    }
                }
                let envelope = Envelope { meta: meta(status, Head::default(), Keeping::default()), body };
                let document = self.read(key, envelope, None, errand).await?;
                let document = Document { asked, read: asked, landed, ..document };
                // Absences that replace nothing stay in memory: inventing names must not fill the disk.
                let replaces = held.as_ref().is_some_and(|held| !held.is_absence());
                if verdict == Verdict::Passing || (status == 404 && !replaces) {
                    let document = self.remember(key, document);
                    return Ok(Filled { document, status, stored: false });
                }
                Ok(self.keep(key, held.as_deref(), document, status).await)
            }
        }
    }

    /// Reads an answer, which may say what is `known`. One that is none is logged once, here.
    async fn read(
        &self,
        key: &DocumentKey,
        envelope: Envelope,
        known: Option<Arc<Document>>,
        errand: Errand<'_>,
    ) -> Result<Document, Failure> {
        let (upstream, asked, length) = (envelope.meta.upstream.clone(), key.clone(), envelope.body.len());
        let read = move || {
            let says_the_same = |known: &Arc<Document>| {
                known.meta.at == envelope.meta.at && *known.content.body() == envelope.body
            };
            match known.filter(says_the_same) {
                Some(known) => Ok(known.confirmed(envelope.meta)),
                None => Document::new(&asked, envelope),
            }
        };
        self.parsing.run(length, read).await?.map_err(|malformed| {
            self.metrics.integrity_failure("document");
            let resource = key.resource().as_str();
            error!(upstream, resource, key = %key, request_id = errand.id, reason = %malformed, "an upstream document is not believed");
            Failure::Malformed
        })
    }

    /// Remembers and stores an answer. A store that fails costs persistence, not the answer.
    async fn keep(
        &self,
        key: &DocumentKey,
        held: Option<&Document>,
        mut document: Document,
        status: u16,
    ) -> Filled {
        // An index is held against what is divergent even where it did not change.
        if let DocumentKey::Index(name) = key
            && !self.divergences_of(name).is_empty()
        {
            document.settled = false;
        }
        if !document.settled {
            document.before = held.and_then(|held| match held.settled {
                true => Some(Arc::clone(&held.content)),
                false => held.before.clone(),
            });
        }
        if document.meta.keeping.withheld {
            return self.pass_on(key, held, document, status).await;
        }
        // Stored before it is told, so that a crash does not bring back what was refused already.
        let put = self.put(key, held, &document).await;
        let stored = put.is_ok();
        document.stored = stored;
        if let Err(error) = put {
            error!(%error, key = %key, "cannot store a document");
        }
        let mut document = self.remember(key, document);
        if let DocumentKey::Index(name) = key {
            // What it shares with its predecessor may show what is over since.
            document = self.show(name).unwrap_or(document);
        }
        Filled { document, status, stored }
    }

    /// Stores an answer in place of what was `held`. Where there is no room beside it, what says something else goes
    /// first: it must not come back after a restart. What says the same stays.
    async fn put(
        &self,
        key: &DocumentKey,
        held: Option<&Document>,
        document: &Document,
    ) -> Result<(), StoreError> {
        let (place, envelope) = (place(&document.meta.registry(), key), document.envelope());
        let encoded = self.parsing.patiently(envelope.body.len(), move || envelope.encode()).await;
        let bytes =
            encoded.ok_or_else(|| StoreError::from(io::Error::other("the writing of a document died")))?;
        let Err(error) = self.store.write(&place, bytes.clone()).await else { return Ok(()) };
        let says_the_same = |held: &Document| {
            held.is_refusal() == document.is_refusal() && held.content.body() == document.content.body()
        };
        if held.is_some_and(says_the_same) {
            return Err(error);
        }
        self.store.remove(&place).await?;
        self.store.write(&place, bytes).await
    }
}

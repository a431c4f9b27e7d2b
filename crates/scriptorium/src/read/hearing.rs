//! What follows from what other proxies on the bucket changed.
//!
//! News names what changed and of which volumes, never what it is now: that is in the bucket. So what memory holds of these volumes
//! is left to the store, and lists are read again. Owns that, and taking up what another process stored. Must not know how news
//! comes.

use std::sync::Arc;

use async_trait::async_trait;

use super::Documents;
use crate::clock::Timestamp;
use crate::cluster::{ClusterNode, Hearing, News, NewsKind};
use crate::consistency::refusals::ArchiveRefusal;
use crate::domain::{DocumentKey, Integrity, Purl, Registry, VolumeName, VolumePattern};
use crate::store::StoreError;

impl Documents {
    /// Works with the other proxies on the bucket from now on.
    pub(crate) fn join(self: &Arc<Self>, cluster: &Arc<ClusterNode>) {
        self.env.join(cluster);
        cluster.join(Arc::clone(self) as Arc<dyn Hearing>);
    }

    /// The other proxies on the bucket, if there are any.
    pub(crate) fn cluster(&self) -> Option<&Arc<ClusterNode>> {
        self.env.cluster()
    }

    /// The refusal of this archive, also if another proxy made it a moment ago.
    pub(crate) async fn refused_elsewhere(
        &self,
        registry: &Registry,
        release: &Purl,
        integrity: &Integrity,
    ) -> Option<Arc<ArchiveRefusal>> {
        let refusals = &self.shelf.refusals;
        refusals.reread(self.env.damaged()).await.ok()?;
        refusals.of(registry, release).filter(|refusal| refusal.integrity == *integrity)
    }

    /// Takes up what a process beside this one stored, and has other proxies do the same.
    ///
    /// # Errors
    /// When the store cannot be listed; then memory is as it was.
    pub(crate) async fn reread(&self) -> Result<(), StoreError> {
        let reread = self.begin_anew().await;
        self.env.tell(NewsKind::Everything, || VolumePattern::All);
        reread
    }

    async fn begin_anew(&self) -> Result<(), StoreError> {
        self.judge.evidence.forget();
        self.judge.looked_up.invalidate_all();
        self.shelf.reread().await
    }
}

/// The volumes about which there is news.
#[derive(Default)]
struct Concerned<'a> {
    names: ahash::HashSet<&'a VolumeName>,
    patterns: Vec<&'a VolumePattern>,
}

impl<'a> Concerned<'a> {
    fn by(news: impl Iterator<Item = &'a News>) -> Self {
        let mut concerned = Self::default();
        for news in news {
            match &news.volumes {
                VolumePattern::Exact(name) => {
                    concerned.names.insert(name);
                }
                pattern => concerned.patterns.push(pattern),
            }
        }
        concerned
    }

    fn is(&self, name: &VolumeName) -> bool {
        self.names.contains(name) || self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether there is news about `key`. A question about no volume is concerned by news about all of them.
    fn is_about(&self, key: &DocumentKey) -> bool {
        key.volume().map_or_else(|| self.patterns.contains(&&VolumePattern::All), |name| self.is(name))
    }
}

#[async_trait]
impl Hearing for Documents {
    async fn hear(&self, news: &[News]) -> Result<(), StoreError> {
        let says = |kind: NewsKind| news.iter().any(|news| news.kind == kind);
        if says(NewsKind::Everything) {
            return self.begin_anew().await;
        }
        let (shelf, env) = (&self.shelf, &self.env);
        if says(NewsKind::Invalidation) {
            let of_invalidations =
                Concerned::by(news.iter().filter(|news| news.kind == NewsKind::Invalidation));
            shelf.invalidations.reread(env.now(), env.question(), env.damaged()).await?;
            shelf.divergences.doubt(|open| of_invalidations.is(&open.volume));
        }
        if says(NewsKind::Refusal) {
            shelf.refusals.reread(env.damaged()).await?;
            shelf.count_divergences();
        }
        let of_divergences = Concerned::by(news.iter().filter(|news| news.kind == NewsKind::Divergence));
        if says(NewsKind::Divergence) {
            shelf.divergences.reread(|name| of_divergences.is(name), env.damaged()).await?;
            shelf.count_divergences();
        }
        let concerned = Concerned::by(news.iter());
        shelf.give_way(|key| concerned.is_about(key));
        Ok(())
    }

    fn is_current_until(&self, until: Timestamp) {
        self.env.be_current_until(until);
    }
}

//! A rendition: a document for clients who use one base URL, and the same compressed.
//!
//! A short one is put together once, so that a hit sends what lies there. A longer one is never put together: it is sent
//! piece by piece out of the document that all share. Owns that, the codings a document may be sent in, and that each is
//! made once, behind the answers, and proven to decode to the very bytes of the document. Must not know which coding a
//! client takes, nor how many renditions are kept.

use std::iter;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::Semaphore;

use crate::domain::link::Rendering;
use crate::domain::{Sha256, Template};

mod coding;

pub use coding::Coding;

/// Shorter bodies are sent as they are: beside the headers there is nothing to gain.
const SMALLEST: usize = 1024;

/// Longer ones are not put together: all that is gained by it is a copy for each base URL.
pub(super) const LONGEST: usize = 64 << 10;

/// Longest base URL whose links are put in beforehand; a host name and what stands around it are shorter.
pub(super) const LONGEST_BASE: usize = 320;

/// How much of a longer body is put together at once.
const PIECE: usize = 16 << 10;

/// Bodies being compressed at once: the work nobody waits for takes one core, never all.
const AT_ONCE: usize = 1;

/// A document ready to be sent to clients who use one base URL.
#[derive(Debug)]
pub struct Rendition {
    /// `None` when it is the same for all.
    base: Option<Box<str>>,
    template: Template,
    /// The body with its links, where that was put together.
    whole: Option<Bytes>,
    /// How long the body is.
    pub length: usize,
    /// A strong validator of the body.
    pub etag: HeaderValue,
    /// Tells this rendition from others of its document.
    mark: u64,
    /// Whether others will find it.
    is_kept: bool,
    /// The body in each coding; `None` when it is too short for any.
    coded: Option<[Coded; Coding::ALL.len()]>,
}

/// A body in one coding.
#[derive(Debug)]
struct Coded {
    etag: HeaderValue,
    /// `None` within when the coding does not pay.
    body: OnceLock<Option<Bytes>>,
}

/// Compresses renditions on threads that serve nobody, a bounded number at a time.
#[derive(Debug)]
pub struct Coders(Arc<Semaphore>);

impl Rendition {
    /// `template` for clients who use `base`, none of it put together.
    pub(super) fn new(template: &Template, base: &str) -> Self {
        let base = (template.links() > 0).then_some(base);
        let length = template.length(base.map_or(0, str::len));
        let digest =
            Sha256::of(&[template.digest().as_bytes(), base.unwrap_or_default().as_bytes()].concat());
        let tag = &digest.hex()[..32];
        let coded = is_coded(length).then(|| Coding::ALL.map(|coding| Coded::new(tag, coding)));
        Self {
            base: base.map(Into::into),
            template: template.clone(),
            whole: None,
            length,
            etag: self::tag(tag, ""),
            mark: digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)),
            is_kept: false,
            coded,
        }
    }

    /// The same for those who ask later, put together where that pays.
    pub(super) fn kept(self) -> Self {
        let base = self.base.as_deref().unwrap_or_default();
        let is_short = self.length <= LONGEST && base.len() <= LONGEST_BASE;
        let whole = is_short.then(|| self.template.render(base));
        Self { whole, is_kept: true, ..self }
    }

    /// Whether it is for clients who use `base`, which is given in two parts.
    pub(super) fn is_for(&self, [start, end]: [&str; 2]) -> bool {
        self.base.as_ref().is_none_or(|base| base.strip_prefix(start) == Some(end))
    }

    /// Whether it is for all clients.
    pub(super) fn is_for_all(&self) -> bool {
        self.base.is_none()
    }

    /// What tells it from others of its document.
    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// The body, where it lies there as a whole.
    #[must_use]
    pub fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// The body piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let mut rendering = self.rendering();
        iter::from_fn(move || rendering.next(PIECE))
    }

    pub(super) fn rendering(&self) -> Rendering {
        self.template.rendering(self.base.as_deref().unwrap_or_default())
    }

    /// Whether what is sent depends on the codings that a client takes.
    #[must_use]
    pub fn varies(&self) -> bool {
        self.coded.is_some()
    }

    /// The validator of the body in `coding`, whether or not that was made yet.
    #[must_use]
    pub fn etag_in(&self, coding: Coding) -> Option<&HeaderValue> {
        self.coded(coding).map(|coded| &coded.etag)
    }

    /// The body in `coding`, if it is there. If not, `coders` make it for those who ask later.
    pub(super) fn body_in(self: &Arc<Self>, coding: Coding, coders: &Coders) -> Option<&Bytes> {
        let coded = self.coded(coding)?;
        match coded.body.get() {
            Some(body) => body.as_ref(),
            None => {
                if self.is_kept {
                    coders.make(self, coding);
                }
                None
            }
        }
    }

    fn coded(&self, coding: Coding) -> Option<&Coded> {
        self.coded.as_ref().map(|[zstd, gzip]| match coding {
            Coding::Zstd => zstd,
            Coding::Gzip => gzip,
        })
    }
}

/// Whether a body of `length` is worth compressing.
fn is_coded(length: usize) -> bool {
    length >= SMALLEST
}

/// The most memory that one rendition of `template` takes: what may be put together of it, and half of the document in
/// each coding.
pub(super) fn room(template: &Template) -> usize {
    let whole = if template.overhead() == 0 { 0 } else { template.length(LONGEST_BASE).min(LONGEST) };
    let length = template.original().len();
    whole + if is_coded(template.length(LONGEST_BASE)) { length } else { 0 }
}

impl Coded {
    fn new(digest: &str, coding: Coding) -> Self {
        let etag = tag(digest, &["-", coding.token()].concat());
        Self { etag, body: OnceLock::new() }
    }
}

fn tag(digest: &str, suffix: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{digest}{suffix}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

impl Default for Coders {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Coders {
    /// Begins the body in `coding`. While all are busy, also with it, a later request tries again.
    fn make(&self, rendition: &Arc<Rendition>, coding: Coding) {
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else { return };
        let rendition = Arc::clone(rendition);
        tokio::task::spawn_blocking(move || {
            let _held = place;
            if let Some(coded) = rendition.coded(coding) {
                coded.body.get_or_init(|| coding.apply(&rendition));
            }
        });
    }
}

#[cfg(test)]
mod tests;

//! A rendition: a document for clients that use one base URL, plain and compressed.
//!
//! A short rendition is assembled once, so that a hit sends bytes that are ready. A long one is never assembled: it is sent
//! piece by piece from the shared document. Compression runs in the background, so the first response may be plain; each
//! compressed body is decoded and compared before it is used. Owns that. Must not know which coding a client accepts, nor
//! how many renditions are kept.

use std::iter;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::Semaphore;

use crate::domain::link::Rendering;
use crate::domain::{Sha256, Template};

mod coding;

pub(crate) use coding::BodyCoding;

/// Shorter bodies are not compressed.
const SMALLEST: usize = 1024;

/// Longer renditions are not assembled: that would be a copy for each base URL.
pub(super) const LONGEST: usize = 64 << 10;

/// Renditions for longer base URLs are not assembled.
pub(super) const LONGEST_BASE: usize = 320;

/// The size of a piece of a longer body.
const PIECE: usize = 16 << 10;

/// Bodies that are compressed at once: background work takes one core, never all.
const AT_ONCE: usize = 1;

#[derive(Debug)]
pub(crate) struct Rendition {
    /// `None` if the document has no links, so that it is the same for all.
    base: Option<Box<str>>,
    template: Template,
    /// The assembled body.
    whole: Option<Bytes>,
    pub(crate) length: usize,
    /// Strong validator of the plain body.
    pub(crate) etag: HeaderValue,
    /// Distinguishes this rendition from others of its document.
    mark: u64,
    /// Whether it is kept for other requests.
    is_kept: bool,
    /// The compressed bodies; `None` if the body is too short.
    coded: Option<[Coded; BodyCoding::ALL.len()]>,
}

/// A body in one coding.
#[derive(Debug)]
struct Coded {
    etag: HeaderValue,
    /// `None` inside if compression does not pay.
    body: OnceLock<Option<Bytes>>,
}

/// Compresses renditions on blocking threads, a bounded number at a time.
#[derive(Debug)]
pub(crate) struct Coders(Arc<Semaphore>);

impl Rendition {
    /// `template` for clients that use `base`, not assembled.
    pub(super) fn new(template: &Template, base: &str) -> Self {
        let base = (template.links() > 0).then_some(base);
        let length = template.length(base.map_or(0, str::len));
        let digest =
            Sha256::of(&[template.digest().as_bytes(), base.unwrap_or_default().as_bytes()].concat());
        let tag = &digest.hex()[..32];
        let coded = is_coded(length).then(|| BodyCoding::ALL.map(|coding| Coded::new(tag, coding)));
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

    /// The same, kept for other requests and assembled if it is short.
    pub(super) fn kept(self) -> Self {
        let base = self.base.as_deref().unwrap_or_default();
        let is_short = self.length <= LONGEST && base.len() <= LONGEST_BASE;
        let whole = is_short.then(|| self.template.render(base));
        Self { whole, is_kept: true, ..self }
    }

    /// Whether it is for clients that use `base`, given in two parts.
    pub(super) fn is_for(&self, [start, end]: [&str; 2]) -> bool {
        self.base.as_ref().is_none_or(|base| base.strip_prefix(start) == Some(end))
    }

    /// Whether it is for all clients.
    pub(super) fn is_for_all(&self) -> bool {
        self.base.is_none()
    }

    pub(super) fn mark(&self) -> u64 {
        self.mark
    }

    /// The assembled body, if there is one.
    #[must_use]
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// The body piece by piece.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Bytes> + Send + use<> {
        let mut rendering = self.rendering();
        iter::from_fn(move || rendering.next(PIECE))
    }

    pub(super) fn rendering(&self) -> Rendering {
        self.template.rendering(self.base.as_deref().unwrap_or_default())
    }

    /// Whether the response depends on the codings that a client accepts.
    #[must_use]
    pub(crate) fn varies(&self) -> bool {
        self.coded.is_some()
    }

    /// The validator of the body in `coding`, even if it is not compressed yet.
    #[must_use]
    pub(crate) fn etag_in(&self, coding: BodyCoding) -> Option<&HeaderValue> {
        self.coded(coding).map(|coded| &coded.etag)
    }

    /// The body in `coding`, if it is ready; otherwise `coders` make it for later requests.
    pub(super) fn body_in(self: &Arc<Self>, coding: BodyCoding, coders: &Coders) -> Option<&Bytes> {
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

    fn coded(&self, coding: BodyCoding) -> Option<&Coded> {
        self.coded.as_ref().map(|[zstd, gzip]| match coding {
            BodyCoding::Zstd => zstd,
            BodyCoding::Gzip => gzip,
        })
    }
}

/// Whether a body of `length` is worth compressing.
fn is_coded(length: usize) -> bool {
    length >= SMALLEST
}

/// The most memory that one rendition of `template` takes: its assembled body, and half of the document in each coding.
pub(super) fn room(template: &Template) -> usize {
    let whole = if template.overhead() == 0 { 0 } else { template.length(LONGEST_BASE).min(LONGEST) };
    let length = template.original().len();
    whole + if is_coded(template.length(LONGEST_BASE)) { length } else { 0 }
}

impl Coded {
    fn new(digest: &str, coding: BodyCoding) -> Self {
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
    /// Starts compressing; if all coders are busy, a later request tries again.
    fn make(&self, rendition: &Arc<Rendition>, coding: BodyCoding) {
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

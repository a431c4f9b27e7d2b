//! A document rendered for a client piece by piece, so that replacing links needs no copy of the whole.
//!
//! Owns the position between the document's bytes and the links. Must not know who takes the pieces, nor when.

use std::ops::Range;

use bytes::Bytes;

use super::Template;

/// Spans of this length are shared with the document; shorter ones are copied together with the links.
const LONG: usize = 8 << 10;

/// The rest of a document for one base URL.
#[derive(Debug)]
pub(crate) struct Rendering {
    template: Template,
    base: Box<str>,
    /// The next byte of the document.
    at: usize,
    /// The next edit, and how many bytes of its text are done.
    edit: usize,
    within: usize,
    left: usize,
}

impl Rendering {
    pub(super) fn new(template: Template, base: &str) -> Self {
        let left = template.length(base.len());
        Self { template, base: base.into(), at: 0, edit: 0, within: 0, left }
    }

    /// The next piece, of at most `most` bytes; `None` at the end. A long piece shares the document's bytes.
    pub(crate) fn next(&mut self, most: usize) -> Option<Bytes> {
        let mut piece = Vec::new();
        while piece.len() < most {
            if self.unedited().len() >= LONG {
                return if piece.is_empty() { self.shared(most) } else { Some(piece.into()) };
            }
            piece.reserve_exact(if piece.is_empty() { most.min(self.left) } else { 0 });
            if !self.copy(&mut piece, most) {
                break;
            }
        }
        (!piece.is_empty()).then(|| piece.into())
    }

    /// The same, always as a copy, which does not keep the document in memory.
    pub(crate) fn copied(&mut self, most: usize) -> Option<Bytes> {
        let mut piece = Vec::with_capacity(most.min(self.left));
        while piece.len() < most && self.copy(&mut piece, most) {}
        (!piece.is_empty()).then(|| piece.into())
    }

    pub(super) fn whole(mut self) -> Bytes {
        let (mut whole, length) = (Vec::with_capacity(self.left), self.left);
        while self.copy(&mut whole, length) {}
        whole.into()
    }

    /// The bytes before the next edit.
    fn unedited(&self) -> Range<usize> {
        let parts = &self.template.0;
        self.at..parts.edits.get(self.edit).map_or(parts.body.len(), |edit| edit.start).max(self.at)
    }

    fn shared(&mut self, most: usize) -> Option<Bytes> {
        let span = self.unedited();
        let piece = self.template.0.body.slice(span.start..span.end.min(span.start + most));
        self.at += piece.len();
        self.left -= piece.len();
        Some(piece)
    }

    /// Appends the rest of a span, or of an edit's text, to `piece`, up to a length of `most`. False at the end.
    fn copy(&mut self, piece: &mut Vec<u8>, most: usize) -> bool {
        let parts = &self.template.0;
        let (span, before) = (self.unedited(), piece.len());
        if !span.is_empty() {
            let end = span.end.min(span.start + (most - before));
            piece.extend_from_slice(&parts.body[span.start..end]);
            self.at = end;
        } else if let Some(edit) = parts.edits.get(self.edit) {
            let text = parts.text(self.edit).as_bytes();
            let quoted = [&b"\""[..], self.base.as_bytes(), text, b"\""];
            let written = if edit.is_link { &quoted[..] } else { &quoted[2..3] };
            let (mut skipped, mut is_cut) = (0, false);
            for part in written {
                let gone = self.within.saturating_sub(skipped).min(part.len());
                let rest = &part[gone..];
                let taken = rest.len().min(most - piece.len());
                piece.extend_from_slice(&rest[..taken]);
                is_cut |= taken < rest.len();
                skipped += part.len();
            }
            if is_cut {
                self.within += piece.len() - before;
            } else {
                (self.at, self.edit, self.within) = (edit.end, self.edit + 1, 0);
            }
        } else {
            return false;
        }
        self.left -= piece.len() - before;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Replacement;
    use super::*;

    /// What a document is for one base URL, put together in the plainest way.
    fn plainly(body: &[u8], edits: &[(Range<usize>, Replacement)], base: &str) -> Vec<u8> {
        let (mut plain, mut at) = (Vec::new(), 0);
        for (span, with) in edits {
            plain.extend_from_slice(&body[at..span.start]);
            match with {
                Replacement::Link(path) => plain.extend_from_slice(format!("\"{base}{path}\"").as_bytes()),
                Replacement::Literal(text) => plain.extend_from_slice(text.as_bytes()),
            }
            at = span.end;
        }
        plain.extend_from_slice(&body[at..]);
        plain
    }

    prop_compose! {
        /// A body with edits at any places, also side by side, at its ends and of nothing.
        fn edited()(
            gaps in prop::collection::vec(
                (prop_oneof![8 => 0..40_usize, 1 => LONG - 1..2 * LONG], 0..20_usize, "[a-z/]{0,12}", any::<bool>()),
                0..8,
            ),
            end in prop_oneof![0..40_usize, LONG - 1..2 * LONG],
        ) -> (Bytes, Vec<(Range<usize>, Replacement)>) {
            let (mut at, mut edits) = (0, Vec::new());
            for (gap, length, text, is_link) in gaps {
                let start = at + gap;
                at = start + length;
                let with = if is_link { Replacement::Link(text) } else { Replacement::Literal(text.into()) };
                edits.push((start..at, with));
            }
            ((0..at + end).map(|at| b' ' + (at % 90) as u8).collect(), edits)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn pieces_of_any_size_are_together_what_is_rendered_as_a_whole(
            (body, edits) in edited(),
            base in "[a-z:/.]{0,30}",
            most in prop_oneof![1 => 1..50_usize, 3 => 50..4 * LONG],
        ) {
            let expected = plainly(&body, &edits, &base);
            let template = Template::with(body, edits);
            prop_assert_eq!(template.length(base.len()), expected.len());
            prop_assert_eq!(&template.render(&base)[..], &expected[..]);
            for next in [Rendering::next, Rendering::copied] {
                let (mut rendering, mut streamed) = (template.rendering(&base), Vec::new());
                prop_assert_eq!(rendering.left, expected.len());
                while let Some(piece) = next(&mut rendering, most) {
                    prop_assert!((1..=most).contains(&piece.len()));
                    streamed.extend_from_slice(&piece);
                    prop_assert_eq!(rendering.left, expected.len() - streamed.len());
                }
                prop_assert_eq!(&streamed[..], &expected[..]);
            }
        }

        #[test]
        fn what_is_shown_otherwise_has_another_digest((body, edits) in edited()) {
            let template = Template::with(body.clone(), edits.clone());
            prop_assert_eq!(template.digest(), Template::with(body.clone(), edits.clone()).digest());
            if !edits.is_empty() {
                prop_assert_ne!(template.digest(), Template::with(body.clone(), edits[1..].to_vec()).digest());
                let (span, _) = edits[0].clone();
                let other = || std::iter::once((span.clone(), "other".to_owned()));
                prop_assert_ne!(template.digest(), template.replacing(other()).digest());
                prop_assert_eq!(template.replacing(other()).digest(), template.replacing(other()).digest());
            }
        }
    }

    #[test]
    fn nothing_in_the_place_of_something_ends_no_document() {
        let body: Bytes = vec![b'x'; LONG + 1].into();
        let gone = |at: usize| (at..at + 1, Replacement::Literal("".into()));
        let mut rendering = Template::with(body, vec![gone(0)]).rendering("");
        assert_eq!(rendering.next(2 * LONG).unwrap().len(), LONG);
        assert!(rendering.next(1).is_none());
    }

    #[test]
    fn a_long_span_is_handed_on_as_it_lies() {
        let body: Bytes = vec![b'x'; 4 * LONG].into();
        let template = Template::with(body.clone(), vec![(0..1, Replacement::Link("/p".into()))]);
        let mut rendering = template.rendering("b");
        assert_eq!(rendering.next(LONG).unwrap(), "\"b/p\"");
        let piece = rendering.next(LONG).unwrap();
        assert_eq!((piece.len(), piece.as_ptr()), (LONG, body[1..].as_ptr()));
        assert_ne!(rendering.copied(LONG).unwrap().as_ptr(), body[1 + LONG..].as_ptr());
    }
}

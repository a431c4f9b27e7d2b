//! Pictures as SVG: stacked bars, and one bar that is filled.
//!
//! Owns the drawing; colours are classes of the sheet. Must not know what is drawn.

use maud::{Markup, html};

/// The height of the longest bar, and the length of a whole one.
const FULL: u64 = 1000;

/// A part of a bar: the class of its colour, and how much it is.
pub(super) type Piece = (&'static str, u64);

/// One bar with its name for each element of `bars`; `text` stands for the picture where it is not seen.
pub(super) fn stacked<const N: usize>(bars: &[(String, [Piece; N])], text: &str) -> Markup {
    let all = |pieces: &[Piece; N]| pieces.iter().map(|(_, much)| *much).fold(0, u64::saturating_add);
    let most = bars.iter().map(|(_, pieces)| all(pieces)).max().unwrap_or_default();
    html! {
        svg.bars role="img" aria-label=(text) viewBox={ "0 0 " (bars.len() * 10) " " (FULL) } preserveAspectRatio="none" {
            @for (at, (name, pieces)) in bars.iter().enumerate() {
                @if all(pieces) > 0 {
                    g {
                        title { (name) }
                        @for (class, from, length) in piled(pieces, most) {
                            rect class=(class) x=(at * 10 + 1) y=(FULL - from - length) width="8" height=(length) {}
                        }
                    }
                }
            }
        }
    }
}

/// One bar of which the pieces fill their parts of `whole`.
pub(super) fn filled(pieces: &[Piece], whole: u64, text: &str) -> Markup {
    html! {
        svg.fill role="img" aria-label=(text) viewBox={ "0 0 " (FULL) " 10" } preserveAspectRatio="none" {
            rect.rest x="0" y="0" width=(FULL) height="10" {}
            @for (class, from, length) in piled(pieces, whole) {
                rect class=(class) x=(from) y="0" width=(length) height="10" {}
            }
        }
    }
}

/// The pieces one after the other: the class, where it begins, and its length. What is there is seen.
fn piled(pieces: &[Piece], whole: u64) -> Vec<(&'static str, u64, u64)> {
    let length = |much: u64| (u128::from(much) * u128::from(FULL) / u128::from(whole.max(1))) as u64;
    let mut piled = Vec::with_capacity(pieces.len());
    let mut end = 0;
    for (class, much) in pieces.iter().copied().filter(|(_, much)| *much > 0) {
        let length = length(much).max(4).min(FULL - end);
        piled.push((class, end, length));
        end += length;
    }
    piled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_bar_stand_on_each_other() {
        assert_eq!(piled(&[("hit", 2), ("stale", 0), ("miss", 1)], 4), [("hit", 0, 500), ("miss", 500, 250)]);
        assert_eq!(piled(&[("hit", 1)], 1_000_000), [("hit", 0, 4)], "what is there is seen");
        assert_eq!(piled(&[("hit", u64::MAX), ("miss", 5)], 10), [("hit", 0, 1000), ("miss", 1000, 0)]);
        assert_eq!(piled(&[("hit", 0)], 0), []);
    }

    #[test]
    fn a_picture_has_a_text_and_its_longest_bar_is_whole() {
        let bars = [("a".to_owned(), [("hit", 3), ("miss", 1)]), ("b".to_owned(), [("hit", 0), ("miss", 0)])];
        let shown = stacked(&bars, "four lookups").into_string();
        assert!(
            shown.contains(r#"aria-label="four lookups""#) && shown.contains("<title>a</title>"),
            "{shown}"
        );
        assert!(shown.contains(r#"class="miss" x="1" y="0" width="8" height="250""#), "{shown}");
        assert!(!shown.contains("<title>b</title>"), "{shown}");
    }
}

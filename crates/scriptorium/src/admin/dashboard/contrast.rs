//! The contrast of the sheet's colours, in both schemes, by the formula of WCAG 2.

use std::collections::HashMap;

use super::STYLE;

/// Words, and what they stand on.
const TEXT: [(&str, &str); 16] = [
    ("ink", "paper"),
    ("ink", "card"),
    ("quiet", "paper"),
    ("quiet", "card"),
    ("link", "paper"),
    ("link", "card"),
    ("on-accent", "accent"),
    ("on-good", "good"),
    ("on-warn", "warn"),
    ("on-bad", "bad"),
    ("on-idle", "idle"),
    ("on-said", "said"),
    ("card", "quiet"),
    ("card", "refused"),
    ("card", "stale"),
    ("card", "hit"),
];

/// What is drawn, on a card.
const DRAWN: [&str; 9] =
    ["hit", "stale", "miss", "refused", "failed", "archives", "documents", "records", "others"];

/// The colours of a part of the sheet.
fn colours(part: &str) -> HashMap<&str, f64> {
    let declared =
        part.split([';', '{', '}']).filter_map(|line| line.trim().strip_prefix("--")?.split_once(": #"));
    declared.map(|(name, hex)| (name, luminance(hex))).collect()
}

fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn contrast(one: f64, other: f64) -> f64 {
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn words_can_be_read_and_pictures_seen_in_both_schemes() {
    let (light, rest) = STYLE.split_once("@media (prefers-color-scheme: dark)").unwrap();
    let dark = rest.split_once("\n}\n").unwrap().0;
    for (scheme, part) in [("light", light), ("dark", dark)] {
        let of = colours(part);
        for (words, ground) in TEXT {
            let contrast = contrast(of[words], of[ground]);
            assert!(contrast >= 4.5, "{scheme}: {words} on {ground}: {contrast:.2}");
        }
        for drawn in DRAWN {
            let contrast = contrast(of[drawn], of["card"]);
            assert!(contrast >= 3.0, "{scheme}: {drawn}: {contrast:.2}");
        }
    }
    assert!((contrast(luminance("000000"), luminance("ffffff")) - 21.0).abs() < 0.01);
}

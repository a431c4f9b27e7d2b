//! Paths that mean the same on every system, and paths that do not.

use super::*;

#[test]
fn accepts_every_relative_path() {
    let longest = format!("{}b", "abcd/".repeat(MAX_PATH / 5));
    for good in [
        "a",
        "a/b.c",
        "...a",
        ".git",
        "a..b/..c",
        "docs/안녕.txt",
        "a b",
        "%2e%2e/é",
        "fig",
        "console.md",
        "com.txt",
        "com10",
        "nullable",
        "a~",
        "~1x",
        "a~1.json",
        "long-name~1.md",
        "BZhou.md",
        "volume.toml",
        "x/VOLUME.TOML",
        "volume.tom",
        "שלום.md",
        "❤️.md",
        "a+b'c$d",
        "comé",
        &longest,
    ] {
        assert_eq!(accept_path(good.as_bytes()), Ok(good));
    }
}

#[test]
fn refuses_each_path_for_its_reason() {
    let too_long = "abcd/".repeat(MAX_PATH / 5) + "abcd";
    let long_segment = "a".repeat(MAX_SEGMENT + 1);
    for (bad, expected) in [
        (&b""[..], PathFault::Empty),
        (b"/", PathFault::Absolute),
        (b"/etc/passwd", PathFault::Absolute),
        (b".", PathFault::DotSegment),
        (b"./a", PathFault::DotSegment),
        (b"a/./b", PathFault::DotSegment),
        (b"a/..", PathFault::DotSegment),
        (b"../a", PathFault::DotSegment),
        ("a/．．/b".as_bytes(), PathFault::DotSegment),
        ("‥/b".as_bytes(), PathFault::DotSegment),
        ("..\u{200b}/b".as_bytes(), PathFault::DotSegment),
        ("a/\u{feff}".as_bytes(), PathFault::DotSegment),
        (b"a//b", PathFault::EmptySegment),
        (b"a/", PathFault::EmptySegment),
        (b"a\0b", PathFault::Control),
        (b"a\nb", PathFault::Control),
        (b"a\x1b[2J", PathFault::Control),
        (b"a\x7f", PathFault::Control),
        ("a\u{85}b".as_bytes(), PathFault::Control),
        ("a\u{2028}b".as_bytes(), PathFault::Control),
        ("a\u{202e}txt.md".as_bytes(), PathFault::Control),
        ("\u{2066}a".as_bytes(), PathFault::Control),
        (b"a/\xff", PathFault::NotUtf8),
        (b"..\\a", PathFault::Backslash),
        (b"a\\b", PathFault::Backslash),
        (b"C:/a", PathFault::Colon),
        (b"x:a", PathFault::Colon),
        (b"a/b:stream", PathFault::Colon),
        (b"a?b", PathFault::Replaced),
        (b"a/*", PathFault::Replaced),
        (b"<a>", PathFault::Replaced),
        (b"a|b", PathFault::Replaced),
        (b"\"a\"/b", PathFault::Replaced),
        (b"volume.toml.", PathFault::Trailing),
        (b"a /b", PathFault::Trailing),
        (b"...", PathFault::Trailing),
        (b"con", PathFault::Device),
        (b"a/Aux.md", PathFault::Device),
        (b"NUL.tar.gz", PathFault::Device),
        (b"com1/a", PathFault::Device),
        ("lpt².txt".as_bytes(), PathFault::Device),
        (b"con .md", PathFault::Device),
        (b"conout$", PathFault::Device),
        (b"volume~1.tom", PathFault::ShortName),
        (b"a/PROGR~12", PathFault::ShortName),
        (b"VOLUME.TOML", PathFault::Manifest),
        (b"Volume.toml", PathFault::Manifest),
        (b"VOLUME.TOML/below", PathFault::Manifest),
        ("ｖolume.toml".as_bytes(), PathFault::Manifest),
        ("volume.tom\u{200b}l".as_bytes(), PathFault::Manifest),
        (b"pax_global_header", PathFault::GlobalHeader),
        (b"pax_global_header/below", PathFault::GlobalHeader),
        (b"BZh91AY&SY.md", PathFault::Magic),
        (too_long.as_bytes(), PathFault::TooLong),
        (long_segment.as_bytes(), PathFault::TooLong),
    ] {
        let refused = accept_path(bad);
        assert!(matches!(refused, Err(Violation::Path { fault, .. }) if fault == expected), "{refused:?}");
    }
}

#[test]
fn names_that_a_file_system_could_merge_fold_alike() {
    for (one, other) in [
        ("README", "readme"),
        ("É", "e\u{301}"),
        ("straße", "STRASSE"),
        ("ﬁle", "FILE"),
        ("Å", "\u{212b}"),
        ("ſ", "S"),
        ("K", "\u{212a}"),
        ("ᾳ", "ΑΙ"),
        ("a\u{200d}b", "ab"),
        ("１", "1"),
        ("ς", "Σ"),
        ("가", "\u{1100}\u{1161}"),
    ] {
        assert_eq!(fold(one), fold(other), "{one} {other}");
    }
    for (one, other) in [("a", "b"), ("é", "e"), ("ı", "i"), ("中", "文"), ("a-b", "a_b")] {
        assert_ne!(fold(one), fold(other), "{one} {other}");
    }
}

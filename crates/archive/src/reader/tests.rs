//! Tars in every valid framing, and tars with every fault.

use tar::Header;

use super::super::fixture::{Dialect, Tar, gz, header, record};
use super::super::{Excess, PathFault};
use super::*;

/// The parts of an entry that its tree needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File { executable: bool },
}

type Found = (String, Kind, Vec<u8>);

const FILE: Kind = Kind::File { executable: false };

fn read(tar: &[u8]) -> Result<Vec<Found>, ArchiveError> {
    read_within(tar, 1 << 30)
}

fn read_within(tar: &[u8], limit: u64) -> Result<Vec<Found>, ArchiveError> {
    let packed = gz(tar);
    let mut entries = TarReader::archive(&packed[..], limit);
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry()? {
        let mut content = Vec::new();
        while let Some(bytes) = entries.content()? {
            content.extend_from_slice(bytes);
        }
        assert_eq!(content.len() as u64, entry.size);
        let kind = match entry.kind {
            EntryKind::File => Kind::File { executable: entry.mode & 0o111 != 0 },
            other => {
                assert_eq!(other, EntryKind::Directory);
                Kind::Directory
            }
        };
        found.push((entry.path, kind, content));
    }
    assert_eq!(entries.unpacked(), tar.len() as u64);
    Ok(found)
}

fn violation(tar: &[u8]) -> Violation {
    match read(tar) {
        Err(ArchiveError::Profile(violation)) => violation,
        other => panic!("expected a violation, got {other:?}"),
    }
}

const ALLOWED: &str = "regular files and directories";

#[test]
fn reads_files_and_directories_of_every_dialect() {
    let file = |path: &str, executable| (path.to_owned(), executable, vec![7; 700]);
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(90));
    let longer = "x/".repeat(300) + "end";
    let tar = Tar::default()
        .entry(b'5', "dir/", "")
        .file_in(Dialect::Ustar, &file(&long, true))
        .entry(b'g', "pax_global", record("comment", "0123abc"))
        .file_in(Dialect::Pax, &file(&longer, false))
        .file_in(Dialect::Gnu, &file(&longer.replace('x', "y"), true))
        .block(header(Header::new_old(), 0, b"v7", 1), "x")
        .block(header(Header::new_old(), 0, b"v7dir/", 0), "")
        .entry(b'7', "contiguous", vec![1; 512])
        .entry(b'K', "././@LongLink", "target\0")
        .file("last", "")
        .ended();
    let executable = Kind::File { executable: true };
    let expected = [
        ("dir".to_owned(), Kind::Directory, vec![]),
        (long, executable, vec![7; 700]),
        (longer.clone(), FILE, vec![7; 700]),
        (longer.replace('x', "y"), executable, vec![7; 700]),
        ("v7".to_owned(), FILE, b"x".to_vec()),
        ("v7dir".to_owned(), Kind::Directory, vec![]),
        ("contiguous".to_owned(), FILE, vec![1; 512]),
        ("last".to_owned(), FILE, vec![]),
    ];
    assert_eq!(read(&tar).unwrap(), expected);
}

#[test]
fn any_execute_bit_counts() {
    for (mode, executable) in [(0o644, false), (0o100, true), (0o010, true), (0o001, true), (0o7666, false)] {
        let mut entry = header(Header::new_ustar(), b'0', b"a", 0);
        entry.set_mode(mode);
        let found = read(&Tar::default().block(entry, "").ended()).unwrap();
        assert_eq!(found[0].1, Kind::File { executable }, "{mode:o}");
    }
}

#[test]
fn a_binary_size_is_read_whole() {
    let binary = |prefix: u8| {
        let mut entry = header(Header::new_gnu(), b'0', b"a", 0);
        entry.as_old_mut().size = [0x80, 0, 0, prefix, 0, 0, 0, 0, 0, 0, 0, 3];
        Tar::default().block(entry, "abc").ended()
    };
    assert_eq!(read(&binary(0)).unwrap(), [("a".to_owned(), FILE, b"abc".to_vec())]);
    assert_eq!(violation(&binary(1)), Violation::Header);
}

#[test]
fn ends_with_zero_blocks_or_at_a_block_boundary() {
    let tar = Tar::default().file("a", "x");
    assert_eq!(read(tar.bytes()).unwrap().len(), 1);
    let mut padded = tar.clone().ended();
    padded.resize(300_000, 0);
    assert_eq!(read(&padded).unwrap().len(), 1);
    assert_eq!(read(b"").unwrap(), []);

    let mut hidden = tar.clone().ended();
    hidden.extend_from_slice(tar.bytes());
    assert_eq!(violation(&hidden), Violation::TrailingData);
    let mut one_block = [tar.bytes(), &[0; 512]].concat();
    one_block.push(1);
    assert_eq!(violation(&one_block), Violation::TrailingData);
}

#[test]
fn a_cut_tar_is_refused_wherever_it_is_cut() {
    let tar = Tar::default().entry(b'x', "p", record("path", "b")).file("a", [1; 600]);
    let whole = tar.bytes();
    for end in 1..whole.len() {
        assert_eq!(violation(&whole[..end]), Violation::Truncated, "cut at {end}");
    }
    let dangling = Tar::default().entry(b'L', "l", "name\0").ended();
    assert_eq!(violation(&dangling), Violation::Truncated);
}

#[test]
fn a_damaged_header_is_refused() {
    let good = Tar::default().file("a", "x").ended();
    for at in [0, 100, 124, 148, 156, 400, 511] {
        let mut tar = good.clone();
        tar[at] ^= 1;
        assert_eq!(violation(&tar), Violation::Header, "byte {at}");
    }
    for field in [100..108, 124..136] {
        let mut entry = header(Header::new_ustar(), b'0', b"a", 1);
        entry.as_mut_bytes()[field].fill(b'9');
        assert_eq!(violation(&Tar::default().block(entry, "x").ended()), Violation::Header);
    }
}

#[test]
fn refuses_everything_but_files_and_directories() {
    for (kind, expected) in [
        (b'1', "a hard link"),
        (b'2', "a symbolic link"),
        (b'3', "a character device"),
        (b'4', "a block device"),
        (b'6', "a FIFO"),
        (b'S', "a sparse file"),
        (b's', "of an unknown type"),
        (b'V', "of an unknown type"),
        (b'X', "of an unknown type"),
    ] {
        let tar = Tar::default().entry(kind, "odd\n", "").ended();
        assert_eq!(
            violation(&tar),
            Violation::EntryType { path: Excerpt::new(b"odd\n"), found: expected, allowed: ALLOWED }
        );
    }
    let sparse = Tar::default().entry(b'x', "p", record("GNU.sparse.major", "1")).file("a", "x").ended();
    assert_eq!(
        violation(&sparse),
        Violation::EntryType { path: "a".into(), found: "a sparse file", allowed: ALLOWED }
    );
    let full = Tar::default().entry(b'5', "dir", "x").ended();
    assert_eq!(violation(&full), Violation::UnexpectedContent("dir".into()));
}

#[test]
fn path_rules_apply_to_every_way_of_writing_a_path() {
    let paths = [
        (&b"/a"[..], PathFault::Absolute),
        (b"../a", PathFault::DotSegment),
        (b"a//b", PathFault::EmptySegment),
        (b"a/", PathFault::EmptySegment),
        (b"\xff", PathFault::NotUtf8),
        (b"", PathFault::Empty),
    ];
    for (path, fault) in paths {
        let expected = Violation::Path { path: Excerpt::new(path), fault };
        assert_eq!(violation(&Tar::default().entry(b'0', path, "").ended()), expected);
        let gnu = Tar::default().entry(b'L', "l", [path, b"\0"].concat()).file("a", "").ended();
        assert_eq!(violation(&gnu), expected);
        // An empty path in pax is a record that readers disagree about.
        let Some(text) = str::from_utf8(path).ok().filter(|text| !text.is_empty()) else { continue };
        let pax = Tar::default().entry(b'x', "p", record("path", text)).file("a", "").ended();
        assert_eq!(violation(&pax), expected);
    }
    for dir in ["/", "./", "a//", "../"] {
        let refused = violation(&Tar::default().entry(b'5', dir, "").ended());
        assert!(matches!(refused, Violation::Path { .. }), "{dir}");
    }
    let nul = Tar::default().entry(b'L', "l", "a\0b\0").file("a", "").ended();
    assert!(matches!(violation(&nul), Violation::Path { fault: PathFault::Control, .. }));
}

#[test]
fn extension_headers_cannot_disagree_or_grow() {
    let pax = record("path", "b");
    let twice = Tar::default().entry(b'x', "p", &pax).entry(b'x', "p", &pax).file("a", "").ended();
    assert_eq!(violation(&twice), Violation::Ambiguous);
    let both = Tar::default().entry(b'x', "p", &pax).entry(b'L', "l", "c\0").file("a", "").ended();
    assert_eq!(violation(&both), Violation::Ambiguous);
    let global = Tar::default().entry(b'g', "g", &pax).file("a", "").ended();
    assert_eq!(violation(&global), Violation::GlobalOverride("path".into()));
    assert_eq!(violation(&Tar::default().entry(b'x', "p", "junk").ended()), Violation::Pax);
    for kind in *b"xgLK" {
        let size = MAX_EXTENSION + 1;
        let announced = header(Header::new_ustar(), kind, b"p", size);
        let expected = Violation::ExtensionSize { size, limit: MAX_EXTENSION };
        assert_eq!(violation(&Tar::default().block(announced, "").ended()), expected);
    }
}

#[test]
fn the_pax_size_equals_the_headers_and_never_applies_to_an_extension() {
    let sized =
        |size: &str| Tar::default().entry(b'x', "p", record("size", size)).entry(b'K', "k", "link target\0");
    let tar = sized("3").file("a", "abc").file("b", "").ended();
    let expected = [("a".to_owned(), FILE, b"abc".to_vec()), ("b".to_owned(), FILE, vec![])];
    assert_eq!(read(&tar).unwrap(), expected);
    for size in ["2", "0", "512"] {
        let refused = violation(&sized(size).file("a", "abc").ended());
        assert_eq!(refused, Violation::PaxSize("a".into()));
    }
    let huge = sized(&(LARGEST_OCTAL + 1).to_string()).file("a", "abc").ended();
    assert!(matches!(read(&huge), Err(ArchiveError::TooLarge(_))));
}

#[test]
fn an_announced_size_over_the_budget_is_refused_at_once() {
    let tar = Tar::default().file("a", [0; 512]).ended();
    let size = tar.len() as u64;
    assert_eq!(read_within(&tar, size).unwrap().len(), 1);
    for limit in [0, 511, 512, size - 1] {
        let refused = read_within(&tar, limit);
        assert!(matches!(refused, Err(ArchiveError::TooLarge(Excess::Unpacked(_)))), "{limit}: {refused:?}");
    }
    for size in [1 << 30, u64::MAX >> 1] {
        let mut announced = header(Header::new_gnu(), b'0', b"a", 0);
        announced.set_size(size);
        let refused = read_within(&Tar::default().block(announced, "").ended(), 1 << 20);
        assert!(matches!(refused, Err(ArchiveError::TooLarge(_))), "{refused:?}");
        let pax =
            Tar::default().entry(b'x', "p", record("size", &u64::MAX.to_string())).file("a", "").ended();
        assert!(matches!(read(&pax), Err(ArchiveError::TooLarge(_))));
    }
}
